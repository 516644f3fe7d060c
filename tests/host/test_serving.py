"""Replicas: pairs of GPUs by topology, the container of each, the watchdog, the way out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from scripts import Load

# `nvidia-smi topo -m` on four GPUs behind two PCIe switches; the columns after the GPUs are to be ignored.
PCIE = """\t\x1b[4mGPU0\tGPU1\tGPU2\tGPU3\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tSYS\tPXB\tSYS\t0-23\t0\t\tN/A
GPU1\tSYS\t X \tSYS\tPHB\t24-47\t1\t\tN/A
GPU2\tPXB\tSYS\t X \tSYS\t0-23\t0\t\tN/A
GPU3\tSYS\tPHB\tSYS\t X \t24-47\t1\t\tN/A

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
"""
NVSWITCH = "\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\n" + "".join(
    f"GPU{row}\t" + "\t".join(" X " if row == column else "NV18" for column in range(4)) + "\tPIX\n" for row in range(4)
)

# As it came from two H100 of a host with driver 580.159.04.
TWO_H100 = """\t\x1b[4mGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tNV18\t0-31\t0\t\tN/A
GPU1\tNV18\t X \t0-31\t0\t\tN/A

Legend:
"""


def test_what_a_real_driver_prints_is_read(load: Load) -> None:
    serve = load().serve
    assert serve.topology(TWO_H100)[0, 1] == serve.topology(TWO_H100)[1, 0] == 118
    assert serve.pairs(2, serve.topology(TWO_H100)) == [(0, 1)]


def test_pairs_are_those_with_the_fastest_slowest_link(load: Load) -> None:
    serve = load().serve
    assert serve.pairs(4, serve.topology(PCIE)) == [(0, 2), (1, 3)]


def test_equal_links_pair_neighbours(load: Load) -> None:
    serve = load().serve
    assert serve.topology(NVSWITCH)[0, 3] == 118
    assert serve.pairs(4, serve.topology(NVSWITCH)) == [(0, 1), (2, 3)]
    assert serve.pairs(8, {}) == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert serve.pairs(2, {}) == [(0, 1)]


def test_one_fast_pair_does_not_leave_a_slow_one(load: Load) -> None:
    """Greedy would take the NVLink first and leave 1 and 3 a link across sockets."""
    serve = load().serve
    speed = {(0, 2): 104, (0, 1): 4, (0, 3): 4, (1, 2): 4, (2, 3): 4, (1, 3): 0}
    assert serve.pairs(4, speed) == [(0, 1), (2, 3)]


@pytest.fixture
def command(load: Load) -> list[str]:
    return load().serve.command(1, [1, 3], 8002)


def test_a_replica_gets_its_two_gpus_and_no_key(command: list[str]) -> None:
    text = " ".join(command)
    assert "--device=nvidia.com/gpu=1 --device=nvidia.com/gpu=3" in text
    assert "--tensor-parallel-size 2" in text
    assert "--user 2000:0" in text
    assert "--cgroup-parent vllm.slice" in text
    assert text.endswith("--host 127.0.0.1 --port 8002 --config /run/secrets/vllm.yaml")
    assert "api-key" not in text
    assert "API_KEY" not in text


def test_the_image_is_named_by_digest_and_serves_offline(command: list[str]) -> None:
    assert f"docker.io/vllm/vllm-openai@sha256:{'0' * 64}" in command
    assert "--env=HF_HUB_OFFLINE=1" in command
    assert "--env=VLLM_HTTP_TIMEOUT_KEEP_ALIVE=330" in command


def test_streaming_from_s3_needs_the_role(load: Load) -> None:
    scripts = load()
    scripts.weights.ENGINE["weights"] = "s3"
    assert "vllm.slice" not in scripts.serve.command(0, [0, 1], 8001)


def test_starting_writes_keys_ports_and_units(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    commands = []

    def sh(*command: str, **_: object) -> str:
        commands.append(command)
        return PCIE if command[0] == "nvidia-smi" else ""

    monkeypatch.setattr(scripts.serve, "sh", sh)
    monkeypatch.setattr(scripts.aws, "secret", lambda arn: '{"default": "k1", "batch": "k2"}')
    assert scripts.serve.run() == "replicas on GPUs [(0, 2), (1, 3)]"
    keys = scripts.root / "run/tandem/secrets/vllm.yaml"
    assert json.loads(keys.read_text()) == {"api-key": ["k1", "k2"]}
    assert keys.stat().st_mode & 0o777 == 0o440
    assert (scripts.root / "run/tandem/upstream.conf").read_text() == (
        "server 127.0.0.1:8001 max_conns=512;\nserver 127.0.0.1:8002 max_conns=512;\n"
    )
    assert commands[-1] == (
        "systemctl", "start", "vllm@0", "vllm@1", "tandem-edge", "tandem-watchdog", "tandem-notices",
    )  # fmt: skip


class Server(BaseHTTPRequestHandler):
    """Stands for a vLLM server: answers or hangs, and counts tokens."""

    hangs = False
    refuses = False
    tokens = 0
    tokens_per_look = 0

    def do_GET(self) -> None:
        kind = type(self)
        kind.tokens += kind.tokens_per_look
        self.answer(
            "# HELP vllm:generation_tokens_total Number of generation tokens processed.\n"
            f'vllm:generation_tokens_total{{model_name="m",engine="0"}} {kind.tokens}.0\n'
            'vllm:generation_tokens_created{model_name="m"} 1.7e+09\n'
            'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_waiting{engine="0"} 1.0\n'
        )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Authorization"] == "Bearer k1"
        if self.refuses:
            self.send_error(503)
        elif self.hangs:
            self.server.release.wait(20)  # type: ignore[attr-defined]
        else:
            self.answer('{"choices": [{"text": "1"}]}')

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    kind = type("One", (Server,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.kind, server.release = kind, threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.release.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.fixture
def replica(load: Load, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    scripts = load()
    scripts.host.write(scripts.serve.KEYS, '{"api-key": ["k1"]}')
    monkeypatch.setattr(scripts.watchdog, "PATIENCE", 0.3)
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(scripts.watchdog, "sh", lambda *command, **_: commands.append(command))
    watched = scripts.watchdog.Replica({"replica": 1, "port": server.server_port})
    return SimpleNamespace(watched=watched, commands=commands, kind=server.kind, scripts=scripts)  # type: ignore[attr-defined]


def test_a_token_is_health(replica: SimpleNamespace) -> None:
    assert replica.watched.check() is True
    assert replica.watched.ready_by == 0


def test_a_server_that_loads_is_left_alone(replica: SimpleNamespace) -> None:
    replica.kind.hangs = True
    assert [replica.watched.check() for _ in range(5)] == [False] * 5
    assert replica.commands == []


def test_a_server_that_hangs_after_it_worked_is_killed_at_the_third_look(replica: SimpleNamespace) -> None:
    replica.watched.check()
    replica.kind.hangs = True
    looks = []
    for _ in range(3):
        replica.watched.check()
        looks.append(list(replica.commands))
    assert looks == [[], [], [("docker", "kill", "vllm-1")]]
    assert (replica.watched.restarts, replica.watched.strikes) == (1, 0)
    assert (replica.scripts.root / "dev/console").read_text() == "tandem: vllm-1: no token in 3 checks: restart 1\n"


def test_a_server_that_ended_after_it_worked_is_left_to_systemd(
    replica: SimpleNamespace, server: ThreadingHTTPServer
) -> None:
    replica.watched.check()
    server.shutdown()
    server.server_close()
    assert [replica.watched.check() for _ in range(5)] == [False] * 5
    assert replica.commands == []
    assert replica.watched.ready_by > time.monotonic(), "as patient as at its first start"


@pytest.mark.parametrize("how", ["hangs", "refuses"])
def test_a_busy_server_is_not_punished(replica: SimpleNamespace, how: str) -> None:
    """The probe waits in a full queue, or is refused by it, while others' tokens come."""
    replica.watched.check()
    setattr(replica.kind, how, True)
    replica.kind.tokens_per_look = 100
    assert [replica.watched.check() for _ in range(4)] == [True] * 4
    assert replica.commands == []


def test_metrics_add_up_by_their_exact_names(replica: SimpleNamespace, server: ThreadingHTTPServer) -> None:
    metric = replica.scripts.probe.metric
    assert metric(server.server_port, "num_requests_running", "num_requests_waiting") == 3
    assert metric(server.server_port, "generation_tokens_total") == 0


@pytest.fixture
def leaving(load: Load, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    scripts = load()
    scripts.host.write(scripts.serve.REPLICAS, '[{"replica": 0, "port": 1}, {"replica": 1, "port": 2}]')
    scripts.host.write(scripts.watchdog.HEALTHY, "ok")
    events: list[str] = []
    scripts.busy = [3, 2, 0]

    def metric(port: int, *_: str) -> int:
        return scripts.busy[0] if port == 2 else 0

    def target(action: str) -> str:
        events.append(action)
        return "draining"

    def wait(seconds: float) -> bool:
        events.append(f"wait {seconds}")
        if seconds == 1:
            scripts.busy.pop(0)
        return True

    monkeypatch.setattr(scripts.probe, "metric", metric)
    monkeypatch.setattr(scripts.aws, "target", target)
    monkeypatch.setattr(scripts.aws, "complete", lambda result: events.append(f"complete {result}") or "yes")
    monkeypatch.setattr(scripts.leave, "wait", wait)
    monkeypatch.setattr(scripts.leave, "sh", lambda *command, **_: events.append(" ".join(command)))
    scripts.events = events
    return scripts


def test_leaving_is_ordered(leaving: SimpleNamespace) -> None:
    assert leaving.leave.leave() == "lifecycle hook completed"
    assert leaving.events == [
        "DeregisterTargets",
        "wait 15",
        "DescribeTargetHealth",
        "wait 1",
        "DescribeTargetHealth",
        "wait 1",
        "systemctl stop --no-block tandem-watchdog vllm@0 vllm@1",
        "docker stop -t 86385 vllm-0 vllm-1",
        "complete CONTINUE",
    ]
    assert not leaving.watchdog.HEALTHY.exists()
    assert leaving.serve.LEAVING.exists(), "or the watchdog would report health again"


def test_a_load_balancer_out_of_reach_does_not_keep_a_host(
    leaving: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def target(action: str) -> str:
        raise RuntimeError("curl -sS: exit 28")

    monkeypatch.setattr(leaving.aws, "target", target)
    leaving.leave.leave()
    assert leaving.events == [
        "systemctl stop --no-block tandem-watchdog vllm@0 vllm@1",
        "docker stop -t 86385 vllm-0 vllm-1",
        "complete CONTINUE",
    ]


def test_a_spot_notice_gives_the_moment(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    notice = '{"action": "terminate", "time": "2026-11-21T08:22:00Z"}'
    monkeypatch.setattr(scripts.aws, "metadata", lambda path: notice if path.endswith("spot/instance-action") else None)
    assert scripts.leave.spot_end() == 1795249320
    monkeypatch.setattr(scripts.aws, "metadata", lambda path: None)
    assert scripts.leave.spot_end() is None


@pytest.mark.parametrize(
    "answers",
    [
        {"meta-data/spot/instance-action": '{"action": "stop", "time": "2026-11-21T08:22:00Z"}'},
        {"meta-data/autoscaling/target-lifecycle-state": "Terminated"},
    ],
)
def test_notices_end_the_membership(load: Load, monkeypatch: pytest.MonkeyPatch, answers: dict[str, str]) -> None:
    scripts = load()
    looks, commands = [], []
    before = {"meta-data/autoscaling/target-lifecycle-state": "InService"}

    def metadata(path: str) -> str | None:
        looks.append(path)
        return (answers if len(looks) > 4 else before).get(path)

    monkeypatch.setattr(scripts.aws, "metadata", metadata)
    monkeypatch.setattr(scripts.leave.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(scripts.leave, "sh", lambda *command, **_: commands.append(command))
    scripts.leave.watch()
    assert commands == [("systemctl", "stop", "tandem-member")]
