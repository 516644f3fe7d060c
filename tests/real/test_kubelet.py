"""The pods of a stack on a real kubelet: Debian's containerd, the real hub client, our scripts, a stub for the server.

The manifests are the program's own, as it would send them. What differs from an EKS node with GPUs:

* the image, under its own name: the guest's stub of vLLM with the hub's real client; its environment has HF_ENDPOINT,
  which leads to the played hub, and STUB_LOAD_SECONDS, for a start that takes a while;
* EFS and Secrets Manager are a directory and files, handed out by drivers of a few lines (node_plugins.py), through the
  volumes that the manifests declare. The access point's owner is played: its directory is there before the pods;
* GPUs are numbers of a played device plugin, which brings a played nvidia-smi;
* CPU and memory of a pod are what this machine has (CPU, MEMORY);
* a hung server is given up sooner (SOONER): at the manifest's own pace it takes four and a half minutes;
* nothing enforces network policies, and no load balancer opens readiness gates: its webhook adds them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import kubelet
import node_plugins
import pytest
from clients import Answer, ask
from machines import expected, until

from infra.kubernetes.kubectl import Kubectl
from infra.kubernetes.rollouts import look, stage
from infra.kubernetes.serving import _last_line
from infra.kubernetes.shared import NAMESPACE, PORT
from infra.kubernetes.workload import DEREGISTRATION_SECONDS, GPU, GPU_NODE, HUNG_GRACE_SECONDS, PROBE_SECONDS, USER
from infra.scripts import sources
from rehearsal.host import registry
from rehearsal.host.hub import Hub, serving
from rehearsal.kubernetes.api import Object
from rehearsal.kubernetes.build import KUBECTL
from rehearsal.kubernetes.nodes import is_ready
from tests.infra.kubernetes.samples import BASE, manifests_of

pytestmark = pytest.mark.real

MODEL, KEY, TOKEN = BASE["inference"]["model"], "first-key-0123456789", "hf_" + "t" * 30
NAME, GPUS, LOAD_SECONDS, BOUND = "vllm-main", 4, 6, 512
CPU, MEMORY = "100m", "512Mi"
SOONER = {"readinessProbe": {"failureThreshold": 1}, "livenessProbe": {"failureThreshold": 2, "periodSeconds": 5}}
LOOK_SECONDS = 25
"""What probe.py takes to see that an engine hangs."""

SETTINGS = BASE | {"scaling": {"minReplicas": 1}, "huggingFaceToken": TOKEN}
OF_CHARTS = (
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "secrets-store.csi.k8s.io"},
        "spec": {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"]},
    },
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "efs.csi.aws.com"},
        "spec": {"attachRequired": False},
    },
)
"""As the drivers' own charts declare themselves."""
WAY = ("pulls its images", "has the model brought", "starts", "serves")
WRITABLE = ("/local", "/cache", "/tmp", "/dev/shm")
OLD_DRIVER, DRIVER = "570.86.15", "580.159.04"
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
    "writes": {path: writes(path) for path in ("/", "/tandem", "/run/secrets/tandem", "/models", *WRITABLE)},
    "files": {path: stat(path) for path in ("/tandem/server.py", "/run/secrets/tandem/vllm.yaml", *WRITABLE)},
    "scripts": {path.name: path.read_text() for path in pathlib.Path("/tandem").glob("*.py")},
    "token": os.path.exists("/var/run/secrets/kubernetes.io"),
    "marker": [path.read_text() for path in pathlib.Path("/local/hub").rglob("*.complete")],
}))
""".replace("*WRITABLE", repr(WRITABLE)[1:-1])
PAUSE = ["python3", "-c", "import signal; signal.pause()"]


def declared() -> list[Object]:
    """What a stack's program sends of Kubernetes' own kinds, with the pod changed as the top of this file says."""
    own = [one for one in manifests_of(SETTINGS) if one["apiVersion"].count(".") < 1 or ".k8s.io/" in one["apiVersion"]]
    own = [one for one in own if not one["apiVersion"].startswith(("secrets-store", "elbv2"))]
    [deployment] = [one for one in own if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        container["resources"]["requests"] |= {"cpu": CPU, "memory": MEMORY}
        container["resources"]["limits"]["memory"] = MEMORY
    for probe, changed in SOONER.items():
        pod["containers"][0][probe] |= changed
    return own


@dataclass
class Cluster:
    """A cluster of one real node, with the stack's manifests.

    Attributes:
        hub: where pods download.
        efs: what they share.
        secrets: the driver that gives them keys.
        tool: their nvidia-smi.
    """

    node: kubelet.Node
    hub: Hub
    efs: Path
    secrets: node_plugins.StorageDriver
    tool: Path

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.node.plane.kubeconfig, str(KUBECTL.command("kubectl")))

    def pods(self) -> list[Object]:
        """The servers', oldest first."""
        found = self.node.plane.api.list("v1", "Pod", NAMESPACE)
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def pod(self, name: str) -> Object:
        """A pod that is there."""
        found = self.node.plane.api.get("v1", "Pod", name, NAMESPACE)
        assert found, f"pod {name} is gone"
        return found

    def restarts(self, name: str) -> int:
        return server_of(self.pod(name))["restartCount"]

    def events(self, name: str) -> list[str]:
        """Reason and message of a pod's."""
        found = self.node.plane.api.list("v1", "Event", NAMESPACE, fieldSelector=f"involvedObject.name={name}")
        return [f"{one['reason']}: {one['message']}" for one in found]

    def scale(self, replicas: int) -> None:
        """As the autoscaler does."""
        [deployment] = self.node.plane.api.list("apps/v1", "Deployment", NAMESPACE)
        self.node.plane.api.patch(deployment, {"spec": {"replicas": replicas}})

    def inside(self, pod: str, program: str) -> str:
        """What a Python program says in a server's container."""
        command = [KUBECTL.command("kubectl"), "--kubeconfig", self.node.plane.kubeconfig, "-n", NAMESPACE, "exec", pod]
        done = subprocess.run(
            [*command, "-c", "vllm", "--", "python3", "-c", program], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def signal(self, pod: str, number: signal.Signals) -> None:
        """To a server; where that ends, so does everything in its container."""
        with contextlib.suppress(AssertionError):
            self.inside(pod, f"import os; os.kill(1, {number.value})")

    def stream(self, pod: Object) -> socket.socket:
        """A client's connection, with a request whose answer takes a minute."""
        body = json.dumps({"model": MODEL, "prompt": "1", "max_tokens": 600, "stream": True})
        found = socket.create_connection((pod["status"]["podIP"], PORT))
        head = f"POST /v1/completions HTTP/1.1\r\nHost: server\r\nAuthorization: Bearer {KEY}\r\n"
        found.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return found

    def completes(self, pod: Object, tokens: int = 1, **more: Any) -> Answer:
        """A client's request."""
        body = {"model": MODEL, "prompt": "1", "max_tokens": tokens, **more}
        return ask(PORT, body, KEY, host=pod["status"]["podIP"])

    def driver(self, version: str) -> None:
        """What the node's nvidia-smi says; written in place, as containers have the file itself."""
        self.tool.write_text(f"#!/usr/bin/python3\nprint('{version}')\n")


def server_of(pod: Object) -> Object:
    """The status of its server."""
    [found] = pod["status"]["containerStatuses"]
    return found


def preparation_of(pod: Object) -> Object:
    """The status of its init container."""
    [found] = pod["status"]["initContainerStatuses"]
    return found


def when(text: str) -> float:
    """Seconds since 1970 of a time in the API, which is whole seconds."""
    return datetime.fromisoformat(text).timestamp()


def since(pod: Object, condition: str) -> float:
    """When a condition of a pod became what it is."""
    return next(when(one["lastTransitionTime"]) for one in pod["status"]["conditions"] if one["type"] == condition)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One node with four played GPUs, and the stack's manifests with two replicas."""
    directory = tmp_path_factory.mktemp("kubelet")
    efs = directory / "efs"
    for place in (efs, efs / "compile", efs / "compile" / NAME):
        place.mkdir(mode=0o750)
        os.chown(place, USER, USER)
    hub = Hub(MODEL, {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 4096}, token=TOKEN)
    layers = registry.stub_layers(directory)  # before: in there is no network
    with kubelet.node() as node, serving(hub, kubelet.ADDRESS) as url:
        secrets = node_plugins.secrets({"vllm.yaml": json.dumps({"api-key": [KEY]}), "hub-token": TOKEN})
        found = Cluster(node, hub, efs, secrets, directory / "nvidia-smi")
        found.driver(DRIVER)
        found.tool.chmod(0o755)
        manifests = declared()
        [deployment] = [one for one in manifests if one["kind"] == "Deployment"]
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        server = registry.image(layers, HF_ENDPOINT=url, STUB_LOAD_SECONDS=str(LOAD_SECONDS))
        registry.archive({image: server, kubelet.PAUSE: registry.image(layers, PAUSE)}, directory / "images.tar")
        node.bring(directory / "images.tar")
        plugins = [secrets, node_plugins.efs(efs, node.inside), node_plugins.Gpus(GPUS, found.tool)]
        taint = {"key": GPU, "value": "true", "effect": "NoSchedule"}
        with (
            node_plugins.serving(plugins, node.plugins),
            node.kubelet({GPU_NODE: "true", "topology.kubernetes.io/zone": "us-east-1a"}, [taint]),
        ):
            until(lambda: _gpus(node) == GPUS, "the node has its GPUs", 60)
            for one in (*OF_CHARTS, *manifests):
                node.plane.api.apply(one, "tandem")
            found.scale(2)
            yield found


def _gpus(node: kubelet.Node) -> int:
    [found] = node.plane.api.list("v1", "Node")
    return int(found["status"]["allocatable"].get(GPU, 0))


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


@pytest.fixture
def sound(cluster: Cluster, hung: tuple[str, float], stages: dict[str, list[str]]) -> str:
    """The name of the other one."""
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
    assert {name: set(status[name][0]) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == dict.fromkeys(
        ("CapPrm", "CapEff", "CapBnd", "CapAmb"), {"0"}
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == (["1"], ["2"])
    assert not found["token"]
    assert [name for name in found["variables"] if name.startswith("VLLM_MAIN")] == [], "no links to services"
    read_only = dict.fromkeys(("/", "/tandem", "/run/secrets/tandem", "/models"), os.strerror(errno.EROFS))
    assert found["writes"] == {**read_only, **dict.fromkeys(WRITABLE, "")}


def test_files_arrive_as_the_scripts_expect(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    found = json.loads(cluster.inside(min(stages), LOOK_INSIDE))
    assert found["scripts"] == sources("pod", "shared")
    assert found["files"] == {
        "/tandem/server.py": ["0o644", 0, USER],
        "/run/secrets/tandem/vllm.yaml": ["0o644", 0, 0],
        **dict.fromkeys(("/local", "/tmp"), ["0o2777", 0, USER]),
        "/dev/shm": ["0o3777", 0, USER],
        "/cache": ["0o750", USER, USER],
    }
    asked = {one["csi.storage.k8s.io/pod.name"]: one for one in cluster.secrets.asked}
    assert {(one["secretProviderClass"], one["csi.storage.k8s.io/serviceAccount.name"]) for one in asked.values()} == {
        (NAME, "inference")
    }
    assert asked.keys() == stages.keys()


def test_a_pod_is_ready_once_its_server_makes_tokens(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    """Each server opens its port LOAD_SECONDS after its start; the startup probe holds the others back."""
    for name, told in stages.items():
        assert [one for one in WAY if one in told] == [one for one in told if one in WAY]
        assert told[-2:] == ["starts", "serves"]
        pod = cluster.pod(name)
        seconds = since(pod, "Ready") - when(server_of(pod)["state"]["running"]["startedAt"])
        print(f"{name}: ready {seconds:.0f} s after its server's start")
        assert LOAD_SECONDS - 1 <= seconds <= LOAD_SECONDS + PROBE_SECONDS + 10
        assert any("Startup probe failed: tandem: it does not answer" in event for event in cluster.events(name))
        assert cluster.restarts(name) == 0


def test_a_full_server_stays_ready(cluster: Cluster, sound: str) -> None:
    """As many streams as it takes: the probes' own requests are refused, and its engine moves."""
    pod = cluster.pod(sound)
    with contextlib.ExitStack() as streams:
        for _ in range(BOUND):
            streams.enter_context(cluster.stream(pod))
        until(lambda: cluster.completes(pod).status == 503, "it is full", 30)
        full, before = time.time(), _refused(cluster, sound)
        while time.time() - full < 20:
            assert is_ready(cluster.pod(sound))
            time.sleep(0.5)
        assert cluster.completes(pod).status == 503, "it was full all the time"
        probes = _refused(cluster, sound) - before - 1
    assert cluster.restarts(sound) == 0
    assert probes >= 4, f"{probes} requests of probes were refused"


def _refused(cluster: Cluster, pod: str) -> int:
    """Requests that a server has refused."""
    asks = f"import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:{PORT}/metrics').read().decode())"
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
    cluster.node.plane.api.delete(pod)
    deleted = time.monotonic()
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
    assert DEREGISTRATION_SECONDS <= told <= DEREGISTRATION_SECONDS + 3
    assert answered <= gone <= answered + 5
    assert waits == "waits for a node", "its GPUs are its own until it is gone"


def test_a_driver_that_is_too_old_is_told_where_people_look(cluster: Cluster, stages: dict[str, list[str]]) -> None:
    """By `kubectl describe`, by `up` and by `tandem rollout`, also in the minute in which the kubelet itself shows no
    back-off; before the hub is asked for anything. The next try finds it mended."""
    [name] = [pod["metadata"]["name"] for pod in cluster.pods() if pod["metadata"]["name"] not in stages]
    asked = len(cluster.hub.asked)
    until(lambda: stage(cluster.pod(name)) == "CrashLoopBackOff", "it gave up", 60)
    said = f"tandem: NVIDIA driver {OLD_DRIVER} is older than branch 580, which the image's CUDA needs"
    for _ in range(6):
        [rollout], _pods = look(cluster.kubectl, pipelines=False)
        assert rollout.state == "failing"
        [failure] = rollout.failures
        assert failure.startswith(f"{name}: CrashLoopBackOff: ")
        assert _last_line(name, cluster.kubectl) == f"(prepare said: {said})"
        time.sleep(0.5)
    print(failure, preparation_of(cluster.pod(name))["state"])
    assert preparation_of(cluster.pod(name))["lastState"]["terminated"]["message"].splitlines()[-1] == said
    assert len(cluster.hub.asked) == asked
    cluster.driver(DRIVER)
    until(lambda: is_ready(cluster.pod(name)), "it serves", 120)


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
