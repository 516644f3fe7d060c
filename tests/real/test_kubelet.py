"""The pods of a stack on a real kubelet: Debian's containerd, the real hub client, our scripts, a stub for the server.

What is the program's own and what is not, kubelet_stack.py says.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator

import kubelet
import pytest
from asking import Answer, ask
from edge import key_of
from kubelet_stack import (
    BATCH,
    DRIVER,
    LOAD_SECONDS,
    QUEUE,
    Cluster,
    containers_of,
    on_a_node,
    preparation_of,
    server_of,
    since,
    waiting,
    when,
)
from machines import expected, until

from infra.kubernetes.pod import HUNG_GRACE_SECONDS, PROBE_SECONDS, USER
from infra.kubernetes.serving import _last_line
from pulumi_rehearsal.kubernetes.control_plane import BAD_DIGEST
from pulumi_rehearsal.kubernetes.nodes import add_nodes, is_ready
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.kubernetes.rollouts import _troubles, look, stage
from tandem.ports import EDGE_AGENT_PORT, SERVER_PORT
from tandem.scripts import sources
from tandem.timing import DEREGISTRATION_SECONDS

pytestmark = pytest.mark.real

WAY = ("pulls its images", "has the model brought", "starts", "serves")
WRITABLE = ("/local", "/tmp", "/dev/shm")
OLD_DRIVER = "570.86.15"
LOOK_SECONDS = 25
"""What probe.py takes to see that an engine hangs."""
LOOK_INSIDE = """
import json, os, pathlib
def stat(path):
    found = os.stat(path)
    return [oct(found.st_mode & 0o7777), found.st_uid, found.st_gid]
def writes(path):
    try:
        pathlib.Path(path, "probe").write_text("")
    except OSError as error:
        return os.strerror(error.errno)
    pathlib.Path(path, "probe").unlink()
    return ""
print(json.dumps({
    "status": dict(line.split(":\\t", 1) for line in open("/proc/1/status").read().splitlines() if ":\\t" in line),
    "variables": dict(os.environ),
    "writes": {path: writes(path) for path in ("/", "/tandem", "/cache", *WRITABLE)},
    "files": {path: stat(path) for path in ("/tandem/server.py", "/cache", *WRITABLE)},
    "scripts": {path.name: path.read_text() for path in pathlib.Path("/tandem").glob("*.py")},
    "seen": [path for path in ("/var/run/secrets", "/run/secrets", "/run/tandem", "/etc/tandem", "/models")
             if os.path.exists(path)],
    "marker": [path.read_text() for path in pathlib.Path("/local/hub").rglob("*.complete")],
}))
""".replace("*WRITABLE", repr(WRITABLE)[1:-1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with on_a_node(tmp_path_factory.mktemp("kubelet")) as found:
        yield found


@pytest.fixture(scope="module")
def stages(cluster: Cluster) -> dict[str, list[str]]:
    """The stages of both pods, by name, until they serve."""
    found: dict[str, list[str]] = {}

    def all_serve() -> bool:
        for pod in cluster.pods():
            told = found.setdefault(pod["metadata"]["name"], [])
            if told[-1:] != [stage(pod)]:
                told.append(stage(pod))
        return [told[-1] for told in found.values()] == ["serves"] * 2

    until(all_serve, f"both pods serve: {found}", 120)
    return found


@pytest.fixture(scope="module")
def hung(cluster: Cluster, stages: dict[str, list[str]]) -> Iterator[tuple[str, float]]:
    """The name of a pod whose engine hangs, with a client that waits for it, and since when."""
    name = min(stages)
    cluster.signal(name, signal.SIGUSR1)
    with cluster.stream(cluster.pod(name)):
        yield name, time.time()


@pytest.fixture(scope="module")
def nowhere(cluster: Cluster, stages: dict[str, list[str]]) -> tuple[str, str]:
    """The names of two pods with an image that no registry has: one on this node, one on a node of kwok's, to which no
    replica may go."""
    taint = {"key": "tests", "effect": "NoSchedule"}
    [played] = add_nodes(cluster.node.plane.api, ["us-east-1b"], INSTANCE_TYPES["g6e.12xlarge"], taints=[taint])
    image = f"registry.invalid/vllm@{BAD_DIGEST}"
    return cluster.alone(image, kubelet.NODE), cluster.alone(image, played)


@pytest.fixture
def sound(hung: tuple[str, float], nowhere: tuple[str, str], stages: dict[str, list[str]]) -> str:
    """The name of the other one. What takes long to give up has begun meanwhile."""
    return max(stages)


def test_one_pod_has_the_model_sent_and_both_have_it(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    """By the hub's real client, with the token from the file; the other waited for it."""
    assert cluster.hub.downloads() == ["model.safetensors from 0"]
    rows = [list(row) for row in expected(cluster.hub)]
    [shared] = [json.loads(path.read_text()) for path in cluster.efs.rglob("*.complete")]
    assert shared == rows
    for name in stages:
        assert list(map(json.loads, json.loads(cluster.inside(name, LOOK_INSIDE))["marker"])) == [rows]


def test_a_server_has_its_rights_and_no_more(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    """What the namespace's level and the pod's own say, seen from inside."""
    found = json.loads(cluster.inside(min(stages), LOOK_INSIDE))
    status = {key: value.split() for key, value in found["status"].items()}
    assert (status["Uid"], status["Gid"], status["Groups"]) == (["2000"] * 4, ["0"] * 4, ["0", "2000"])
    assert {digit for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb") for digit in status[name][0]} == {"0"}
    assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])
    assert found["seen"] == [], "no token of Kubernetes or AWS, nothing of the edge, no other model's weights"
    assert [name for name in found["variables"] if name.startswith(("AWS_", "TANDEM_SECRETS", "HF_TOKEN"))] == []
    assert [name for name in found["variables"] if name.startswith("VLLM_MAIN")] == [], "no links to services"
    read_only = dict.fromkeys(("/", "/tandem", "/cache"), os.strerror(errno.EROFS))
    assert found["writes"] == {**read_only, **dict.fromkeys(WRITABLE, "")}


def test_files_arrive_as_the_scripts_expect(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    found = json.loads(cluster.inside(min(stages), LOOK_INSIDE))
    assert found["scripts"] == sources("pod", "shared")
    assert found["files"] == {
        "/tandem/server.py": ["0o644", 0, USER],
        "/local": ["0o2777", 0, USER],
        "/tmp": ["0o2777", 0, USER],
        "/dev/shm": ["0o3777", 0, USER],
        "/cache": ["0o750", USER, USER],
    }
    assert len(cluster.store.tokens) == 2, "each pod brings its own token for its role"


def test_a_pod_tells_how_long_its_start_took(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    """As the kubelet says when its containers began and ended, to the second."""
    pod = cluster.pod(min(stages))
    asked = f"urllib.request.urlopen('http://127.0.0.1:{EDGE_AGENT_PORT}').read().decode()"
    text = cluster.inside(min(stages), f"import urllib.request; print({asked})")
    told = {name: float(value) for name, value in re.findall(r"(?m)^(tandem_sta\w+(?:{.*})?) (\S+)$", text)}
    image, weights, ready = (told[f'tandem_stage_seconds{{stage="{one}"}}'] for one in ("image", "weights", "ready"))
    agent, prepared = containers_of(pod)["keys"]["state"]["running"], preparation_of(pod)["state"]["terminated"]
    assert image == pytest.approx(when(agent["startedAt"]) - when(pod["status"]["startTime"]), abs=3)
    assert image > 0.1, "from when the kubelet had the files, not from the agent's own begin"
    assert weights == pytest.approx(when(prepared["finishedAt"]) - when(prepared["startedAt"]), abs=3)
    server_began = when(server_of(pod)["state"]["running"]["startedAt"])
    assert LOAD_SECONDS <= ready <= since(pod, "Ready") - server_began + 3
    whole = told["tandem_start_seconds"]
    assert whole == pytest.approx(server_began + ready - when(pod["status"]["startTime"]), abs=3)
    assert whole >= image + weights + ready - 3


def test_the_edge_lets_in_who_is_known_and_nobody_reaches_the_server(
    cluster: Cluster, stages: dict[str, list[str]]
) -> None:
    """From outside the pod, as the load balancer and other pods are."""
    pod = cluster.pod(min(stages))
    assert cluster.completes(pod, key=None).status == 401
    assert cluster.completes(pod, key="tdm_wrong").status == 401
    assert cluster.completes(pod).status == 200
    with pytest.raises(ConnectionRefusedError):
        ask(SERVER_PORT, {}, None, host=pod["status"]["podIP"])
    url = f"http://{pod['status']['podIP']}:{SERVER_PORT}/health"
    other = f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=5).status)"
    with pytest.raises(AssertionError, match="refused"):
        cluster.inside(max(stages), other)


def test_a_revoked_key_is_refused_within_a_minute_and_its_stream_goes_on(
    cluster: Cluster, stages: dict[str, list[str]]
) -> None:
    """Without a restart of anything, on both pods; and with the store away nobody is refused."""
    pod, before = cluster.pod(min(stages)), {name: _restarts(cluster, name) for name in stages}
    answers: list[Answer] = []
    stream = threading.Thread(target=lambda: answers.append(cluster.completes(pod, 400, stream=True)))
    stream.start()
    time.sleep(1)
    cluster.admits("bob")
    changed = time.monotonic()
    for name in stages:
        until(lambda name=name: cluster.completes(cluster.pod(name)).status == 401, f"{name} refuses it", 60)
        assert cluster.completes(cluster.pod(name), key=key_of("bob")).status == 200
    print(f"refused on both after {time.monotonic() - changed:.0f} s")
    stream.join(90)
    [answer] = answers
    assert answer.body.endswith(b"data: [DONE]\n\n")
    cluster.store.away = True
    time.sleep(25)
    assert {cluster.completes(cluster.pod(name), key=key_of("bob")).status for name in stages} == {200}
    cluster.store.away = False
    cluster.admits("alice")
    for name in stages:
        until(lambda name=name: cluster.completes(cluster.pod(name)).status == 200, f"{name} knows it again", 60)
    assert {name: _restarts(cluster, name) for name in stages} == before


def _restarts(cluster: Cluster, name: str) -> dict[str, int]:
    return {one: status["restartCount"] for one, status in containers_of(cluster.pod(name)).items()}


def test_a_pod_is_ready_once_its_server_makes_tokens(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    """Each server opens its port LOAD_SECONDS after its start; the startup probe holds the others back."""
    for name, told in stages.items():
        assert [one for one in WAY if one in told] == [one for one in told if one in WAY]
        assert told[-2:] == ["starts", "serves"]
        pod = cluster.pod(name)
        seconds = since(pod, "Ready") - when(server_of(pod)["state"]["running"]["startedAt"])
        print(f"{name}: ready {seconds:.0f} s after its server's start")
        assert LOAD_SECONDS - 1 <= seconds <= LOAD_SECONDS + PROBE_SECONDS + 10
        looked = [event for event in cluster.events(name) if "Startup probe failed" in event]
        assert any("tandem: it does not answer" in event or "timed out" in event for event in looked), looked
        assert cluster.restarts(name) == 0


def test_a_full_server_stays_ready(cluster: Cluster, sound: str) -> None:
    """As many streams as it takes: the probes' own requests are refused, and its engine moves."""
    pod = cluster.pod(sound)
    with contextlib.ExitStack() as streams:
        for _ in range(BATCH + QUEUE):
            streams.enter_context(cluster.stream(pod))

        def is_full() -> bool:
            """A look that came before one of the streams waits with them: one more takes its place."""
            streams.enter_context(cluster.stream(pod))
            try:
                return cluster.completes(pod, seconds=3).status == 503
            except TimeoutError:
                return False

        until(is_full, "it is full")
        full, before = time.time(), _refused(cluster, sound)
        while time.time() - full < 20:
            assert is_ready(cluster.pod(sound))
            time.sleep(0.5)
        assert cluster.completes(pod).status == 503, "it was full all the time"
        probes = _refused(cluster, sound) - before  # the edge refuses before its server would
    assert cluster.restarts(sound) == 0
    assert probes >= 4, f"{probes} requests of probes were refused"


def _refused(cluster: Cluster, pod: str) -> int:
    """Requests that a server has refused."""
    url = f"http://127.0.0.1:{SERVER_PORT}/metrics"
    asks = f"import urllib.request; print(urllib.request.urlopen('{url}').read().decode())"
    return int(float(re.findall(r"vllm:admission_rejections_total\{.*\} (\S+)", cluster.inside(pod, asks))[0]))


def test_a_server_that_ends_is_started_again_and_nothing_is_prepared_anew(cluster: Cluster, sound: str) -> None:
    before, asked = preparation_of(cluster.pod(sound)), len(cluster.hub.asked)
    cluster.signal(sound, signal.SIGUSR2)
    ended = time.time()
    until(lambda: cluster.restarts(sound) == 1, "its server is started again", 60)
    until(lambda: is_ready(cluster.pod(sound)), "it serves again", 60)
    print(f"ready again {time.time() - ended:.1f} s after its server's end")
    assert preparation_of(cluster.pod(sound)) == before
    assert len(cluster.hub.asked) == asked
    assert server_of(cluster.pod(sound))["lastState"]["terminated"]["exitCode"] == 0


def test_a_pod_that_leaves_ends_its_answer(cluster: Cluster, sound: str, stages: dict[str, list[str]]) -> None:
    """It answers while the load balancer lets go of it, then has SIGTERM, ends what runs, and goes at once."""
    pod, tokens = cluster.pod(sound), 10 * (DEREGISTRATION_SECONDS + 5)
    answers: list[Answer] = []
    stream = threading.Thread(target=lambda: answers.append(cluster.completes(pod, tokens, stream=True)))
    stream.start()
    time.sleep(1)
    cluster.driver(OLD_DRIVER)  # for the test after this one
    deleted = time.monotonic()
    cluster.node.plane.api.delete(pod)
    until(lambda: cluster.completes(pod).status == 500, "SIGTERM reaches it", 60)
    told = time.monotonic() - deleted
    [successor] = [one for one in cluster.pods() if one["metadata"]["name"] not in stages]
    waits = stage(successor)
    stream.join(60)
    answered = time.monotonic() - deleted
    until(lambda: sound not in [one["metadata"]["name"] for one in cluster.pods()], "it is gone", 60)
    gone = time.monotonic() - deleted
    print(f"SIGTERM after {told:.1f} s, the answer whole after {answered:.1f} s, gone after {gone:.1f} s")
    [answer] = answers
    assert answer.body.count(b"data: {") == tokens
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert DEREGISTRATION_SECONDS <= told <= DEREGISTRATION_SECONDS + 5
    assert answered <= gone <= answered + 5
    assert waits.startswith("waits for a node"), "its GPUs are its own until it is gone"


def test_a_driver_that_is_too_old_is_told_where_people_look(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    """By `kubectl describe`, by `up` and by `tandem rollout`, also in the minute in which the kubelet itself shows no
    back-off; before the hub is asked for anything. The next try finds it mended."""
    [name] = [pod["metadata"]["name"] for pod in cluster.pods() if pod["metadata"]["name"] not in stages]
    asked = len(cluster.hub.asked)
    until(lambda: stage(cluster.pod(name)) == "CrashLoopBackOff", "it gave up", 60)
    said = f"tandem: NVIDIA driver {OLD_DRIVER} is older than branch 580, which the image's CUDA needs"
    for _ in range(6):
        [rollout], _pods = look(cluster.kubectl)
        assert rollout.state == "failing"
        [failure] = rollout.failures
        assert failure.startswith(f"{name}: CrashLoopBackOff: ")
        assert _last_line(name, cluster.kubectl) == f"(prepare said: {said})"
        time.sleep(0.5)
    print(failure, preparation_of(cluster.pod(name))["state"])
    assert preparation_of(cluster.pod(name))["lastState"]["terminated"]["message"].splitlines()[-1] == said
    assert len(cluster.hub.asked) == asked
    cluster.driver(DRIVER)
    until(lambda: stage(cluster.pod(name)) in ("starts", "serves"), "it starts", 120)


def test_pods_of_an_image_that_is_nowhere_are_as_kwok_plays_them(cluster: Cluster, nowhere: tuple[str, str]) -> None:
    for name in nowhere:
        until(lambda name=name: stage(cluster.pod(name)) == "ImagePullBackOff", f"{name} gives up", 60)
    real, kwoks = map(cluster.pod, nowhere)
    first, *others = ("keys", "edge", "keeper", "prepare", "vllm")
    assert waiting(real) == {first: "ImagePullBackOff", **dict.fromkeys(others, "PodInitializing")}
    assert waiting(kwoks) == waiting(real)
    assert kwoks["status"]["phase"] == real["status"]["phase"] == "Pending"
    [failure], [told] = list(_troubles(kwoks)), list(_troubles(real))
    assert told.partition(": ")[2].startswith(failure.partition(": ")[2])


def test_pods_and_nodes_report_what_kwok_plays_of_them(
    cluster: Cluster, stages: dict[str, list[str]], nowhere: tuple[str, str]
) -> None:
    """Whatever a played one shows, a real one shows, too, and of the same kind."""
    api = cluster.node.plane.api
    [played] = [node for node in api.list("v1", "Node") if node["metadata"]["name"] != kubelet.NODE]
    node = api.get("v1", "Node", kubelet.NODE)
    assert node
    assert played["status"]["allocatable"].keys() <= node["status"]["allocatable"].keys()
    assert played["status"]["allocatable"]["pods"] == node["status"]["allocatable"]["pods"]
    of_ec2 = {"node.kubernetes.io/instance-type", "topology.kubernetes.io/region", "karpenter.sh/capacity-type"}
    assert played["metadata"]["labels"].keys() - of_ec2 <= node["metadata"]["labels"].keys()
    name = cluster.alone(cluster.image, played["metadata"]["name"])
    until(lambda: is_ready(cluster.pod(name)), "kwok plays it", 30)
    status, real = cluster.pod(name)["status"], cluster.pod(min(stages))["status"]
    assert status.keys() <= real.keys()
    assert {one["type"] for one in status["conditions"]} <= {one["type"] for one in real["conditions"]}
    for name in ("prepare", "vllm"):
        one, other = (containers_of({"status": found})[name] for found in (status, real))
        assert one.keys() <= other.keys()
        [(state, more)] = one["state"].items()
        assert more.keys() <= other["state"][state].keys()


def test_a_hung_server_is_not_ready_and_started_again(cluster: Cluster, hung: tuple[str, float]) -> None:
    """By its probes; SIGTERM does not end it, so that it has all of its grace."""
    name, start = hung
    until(lambda: cluster.restarts(name) == 1, "its server is started again", 180)
    ended = server_of(cluster.pod(name))["lastState"]["terminated"]
    events = cluster.events(name)
    until(lambda: is_ready(cluster.pod(name)), "it serves again", 60)
    print(f"ended after {when(ended['finishedAt']) - start:.0f} s: {events}")
    assert ended["exitCode"] == 128 + signal.SIGKILL
    assert any(one.startswith("Killing: Container vllm failed liveness probe, will be restarted") for one in events)
    looks = 2 * LOOK_SECONDS
    assert looks + HUNG_GRACE_SECONDS - 1 <= when(ended["finishedAt"]) - start <= looks + HUNG_GRACE_SECONDS + 30
