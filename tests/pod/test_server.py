"""The server of a pod: its probe, what its start does after starts that failed, and whose compile cache it takes."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import probe
import pytest
import server
import starts
from played_server import PlayedServer, played_server

from infra.kubernetes.pod import LOOK_SECONDS

GRAPH = "torch_compile_cache/graph"


@pytest.fixture
def vllm() -> Iterator[PlayedServer]:
    with played_server() as running:
        yield running


@pytest.fixture
def pod(tmp_path: Path, vllm: PlayedServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name in ("LOCAL", "SHARED"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(server, name, tmp_path / name)
    monkeypatch.setattr(server, "gpu", lambda: "NVIDIA-L40S")
    return {
        "port": vllm.port,
        "probe": {"path": "/v1/completions", "body": {"model": "m", "prompt": "1", "max_tokens": 1}},
        "over_pcie": True,
        "start_seconds": 1800,
        "kind": "0123",
        "agent_port": 9,
    }


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the pod became, start by start."""
    found: list[list[str]] = []
    monkeypatch.setattr(server.os, "execvp", lambda file, command: found.append(command))
    monkeypatch.delenv("NCCL_P2P_DISABLE", raising=False)
    return found


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes a second in place of 25."""
    monkeypatch.setattr(probe, "SECONDS", 1.0)
    monkeypatch.setattr(probe, "LAST", 0.5)


def test_a_server_that_makes_a_token_is_ready(pod: dict[str, Any]) -> None:
    assert server.ready(pod) == ""


@pytest.mark.parametrize("step", [0.03, 0.05, 0.1, 0.25])
def test_a_full_server_fails_no_probe_however_long_its_steps_are(
    pod: dict[str, Any], vllm: PlayedServer, step: float
) -> None:
    vllm.step, vllm.refuses = step, True
    assert [server.ready(pod) for _ in range(8)] == [""] * 8


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["hangs", "refuses"])
def test_a_server_that_hangs_is_not_ready(pod: dict[str, Any], vllm: PlayedServer, how: str) -> None:
    """Also while it refuses, because it is full and stays so."""
    setattr(vllm, how, True)
    started = time.monotonic()
    assert server.ready(pod).startswith("no token in 1.0 s: ")
    assert time.monotonic() - started < 1.5


def test_a_look_ends_before_the_kubelet_cuts_it_off() -> None:
    """Python itself takes a second at most to start in the image."""
    assert probe.SECONDS + 2 < LOOK_SECONDS


def test_a_server_that_is_gone_is_one_line_and_status_1(pod: dict[str, Any]) -> None:
    done = subprocess.run(
        [sys.executable, server.__file__, "ready"],
        env={**os.environ, "PYTHONPATH": str(Path(probe.__file__).parent), "TANDEM_POD": json.dumps(pod | {"port": 1})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tandem: it does not answer: ")
    assert done.stderr.count("\n") == 1


def compile_something(text: str) -> None:
    (server.LOCAL / "cache" / GRAPH).parent.mkdir(exist_ok=True)
    (server.LOCAL / "cache" / GRAPH).write_text(text)


def compiled() -> str:
    path = server.LOCAL / "cache" / GRAPH
    return path.read_text() if path.exists() else ""


def another_pod(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setattr(server, "LOCAL", tmp_path / name)


def test_what_one_pod_compiles_the_next_one_begins_with_and_neither_changes_the_others(
    pod: dict[str, Any], ran: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve(pod, ["vllm", "serve"])
    compile_something("compiled")
    (server.LOCAL / "cache/gpu_p2p_access_cache_for_0,1.json").write_text("{}")
    assert server.ready(pod) == ""
    server.keep(pod)
    compile_something("changed later")
    another_pod(tmp_path, "second", monkeypatch)
    server.serve(pod, ["vllm", "serve"])
    assert compiled() == "compiled"
    assert [path.name for path in (server.LOCAL / "cache").iterdir()] == ["torch_compile_cache"]
    compile_something("of the second")
    assert server.ready(pod) == ""
    server.keep(pod)
    assert (server.SHARED / "NVIDIA-L40S-0123" / GRAPH).read_text() == "compiled"
    another_pod(tmp_path, "third", monkeypatch)
    server.serve(pod | {"kind": "of other arguments"}, ["vllm", "serve"])
    assert compiled() == ""
    assert ran == [["vllm", "serve"]] * 3


def test_nothing_is_kept_before_a_token_nor_half(
    pod: dict[str, Any], ran: list[list[str]], vllm: PlayedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve(pod, ["vllm"])
    compile_something("compiled")
    assert server.ready(pod | {"port": 1}) != ""
    assert not (server.LOCAL / "token").exists()
    monkeypatch.setattr(server.compiled.shutil, "copytree", full)
    with pytest.raises(OSError, match="No space"):
        server.keep(pod)
    assert [*server.SHARED.iterdir()] == []


def full(_own: Path, part: Path, **_options: Any) -> None:
    """A copy that ends in the middle."""
    part.mkdir()
    (part / "graph").write_text("half")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_of_two_that_keep_at_once_one_is_first_and_nothing_else_stays(
    pod: dict[str, Any], ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve(pod, ["vllm"])
    compile_something("of the second")
    first, copy = server.SHARED / "NVIDIA-L40S-0123", server.compiled.shutil.copytree

    def overtaken(own: Path, part: Path, *more: Any, **options: Any) -> None:
        copy(own, part, *more, **options)
        if Path(part).parent == server.SHARED:
            first.mkdir()
            (first / "graph").write_text("of the first")

    monkeypatch.setattr(server.compiled.shutil, "copytree", overtaken)
    server.keep(pod)
    assert [*server.SHARED.iterdir()] == [first]
    assert (first / "graph").read_text() == "of the first"


def test_a_damaged_cache_is_left_after_three_ends_and_no_later_pod_gets_it(
    pod: dict[str, Any], ran: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (server.SHARED / "NVIDIA-L40S-0123" / GRAPH).parent.mkdir(parents=True)
    (server.SHARED / "NVIDIA-L40S-0123" / GRAPH).write_text("damaged")
    found = []
    for _ in range(4):
        server.serve(pod, ["vllm"])
        found.append(compiled())
    assert found == ["damaged", "damaged", "damaged", ""]
    compile_something("sound")
    assert server.ready(pod) == ""
    server.keep(pod)
    another_pod(tmp_path, "second", monkeypatch)
    server.serve(pod, ["vllm"])
    assert compiled() == "sound"
    assert [path.name for path in server.SHARED.iterdir()] == ["NVIDIA-L40S-0123"]


@pytest.mark.parametrize("said", ["../../hub", "/models/hub", "NVIDIA-L40S-4567", "..", "", "a/b-0123", "-0123"])
def test_a_server_cannot_have_anything_else_written_or_taken_away(
    pod: dict[str, Any], ran: list[list[str]], said: str
) -> None:
    server.serve(pod, ["vllm"])
    compile_something("planted")
    (server.SHARED / "NVIDIA-L40S-4567").mkdir()
    (server.LOCAL / "kept").write_text(said)
    (server.LOCAL / "damaged").touch()
    server.keep(pod)
    assert [path.name for path in server.SHARED.iterdir()] == ["NVIDIA-L40S-4567"]
    assert [path.name for path in server.SHARED.parent.iterdir() if path.name == "hub"] == []


ATTEND = """
import json, pathlib, sys
import server
server.LOCAL, server.SHARED, server.LOOK_SECONDS = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), 0.05
server.attend(json.loads(sys.argv[3]))
"""


def attending(pod: dict[str, Any]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", ATTEND, str(server.LOCAL), str(server.SHARED), json.dumps(pod)]
    path = f"{Path(server.__file__).parent}:{Path(probe.__file__).parent}"
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def ends_by_itself(process: subprocess.Popen[bytes]) -> bool:
    """Whether it catches SIGTERM."""
    told = Path(f"/proc/{process.pid}/status").read_text().split()
    return bool(int(told[told.index("SigCgt:") + 1], 16) >> (signal.SIGTERM - 1) & 1)


def test_who_attends_keeps_at_the_first_token_and_never_again(pod: dict[str, Any], ran: list[list[str]]) -> None:
    server.serve(pod, ["vllm"])
    compile_something("compiled")
    place = server.SHARED / "NVIDIA-L40S-0123" / GRAPH
    beside = attending(pod)
    time.sleep(0.5)
    assert [*server.SHARED.iterdir()] == [], "before a token"
    assert server.ready(pod) == ""
    until(place.exists)
    compile_something("planted by whoever got in")
    for name in ("damaged", "token"):
        (server.LOCAL / name).touch()
    again = attending(pod)
    until(lambda: ends_by_itself(again))
    time.sleep(0.5)
    assert place.read_text() == "compiled"
    for process in (beside, again):
        process.terminate()
        assert process.wait(10) == 0, "on SIGTERM, as the first process of a container"


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(("said", "name"), [("NVIDIA L40S\nNVIDIA L40S\n", "NVIDIA-L40S"), (None, "gpu")])
def test_the_kind_of_gpu_is_a_name(monkeypatch: pytest.MonkeyPatch, said: str | None, name: str) -> None:
    def run(*_: Any, **__: Any) -> SimpleNamespace:
        if said is None:
            raise FileNotFoundError("nvidia-smi")
        return SimpleNamespace(stdout=said)

    monkeypatch.setattr(server.subprocess, "run", run)
    assert server.gpu() == name


def test_a_token_between_begins_the_count_anew(pod: dict[str, Any], ran: list[list[str]]) -> None:
    server.serve(pod, ["vllm"])
    compile_something("compiled")
    for _ in range(5):
        server.serve(pod, ["vllm"])
        assert server.ready(pod) == ""
    assert compiled() == "compiled"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1e9)
    for module in (server, starts):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


ALONE = ["vllm", "--disable-custom-all-reduce"]


@pytest.mark.parametrize(
    ("seconds", "opened", "over_pcie", "then"),
    [
        (1810, False, True, ALONE),
        (1810, False, False, ["vllm"]),
        (1810, True, True, ["vllm"]),
        (90, False, True, ["vllm"]),
    ],
)
def test_a_start_that_never_opened_its_port_is_made_again_without_peers(
    pod: dict[str, Any],
    ran: list[list[str]],
    clock: SimpleNamespace,
    seconds: float,
    opened: bool,
    over_pcie: bool,
    then: list[str],
) -> None:
    """The kubelet ends it at start_seconds. One that ended by itself, or that opened its port, did not hang so."""
    pod |= {"over_pcie": over_pcie}
    server.serve(pod, ["vllm"])
    if opened:
        (server.LOCAL / "opened").touch()
    clock.now += seconds
    server.serve(pod, ["vllm"])
    assert ran == [["vllm"], then]
    assert (os.environ.get("NCCL_P2P_DISABLE") == "1") is (then == ALONE)
    clock.now += 10
    server.serve(pod, ["vllm"])
    assert ran[-1] == then, "and so for the rest of the pod's life"


@pytest.mark.usefixtures("hasty")
def test_an_open_port_without_a_token_is_noted(pod: dict[str, Any], vllm: PlayedServer) -> None:
    vllm.hangs = True
    server.ready(pod)
    assert (server.LOCAL / "opened").exists()


class Connection:
    """One that is open to this address; `Path.read_text` as the kernel would answer, of this connection alone."""

    def __init__(self, address: str) -> None:
        self.listener = socket.create_server((address, 0))
        self.port = f":{self.listener.getsockname()[1]:04X}"
        self.stage = socket.create_connection(self.listener.getsockname())
        self.leader, _ = self.listener.accept()

    def exists(self) -> bool:
        return True

    def read_text(self) -> str:
        head, *lines = Path("/proc/net/tcp").read_text().splitlines()
        return "\n".join([head, *(line for line in lines if self.port in line)])

    def close(self) -> None:
        for one in (self.leader, self.stage, self.listener):
            one.close()


@pytest.fixture
def connection(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Connection]:
    found = Connection(request.param)
    monkeypatch.setattr(server, "CONNECTIONS", (tmp_path / "no IPv6", found))
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.01)
    yield found
    found.close()


@pytest.mark.parametrize("connection", ["127.0.0.2"], indirect=True)
def test_a_worker_stays_as_long_as_its_leader_and_no_longer(connection: Connection) -> None:
    assert server.connected()
    ends = threading.Timer(0.3, connection.leader.close)
    started = time.monotonic()
    ends.start()
    server.accompany(60)
    assert 0.3 <= time.monotonic() - started < 10
    ends.join()


@pytest.mark.parametrize("connection", ["127.0.0.2"], indirect=True)
def test_a_worker_stays_no_longer_than_it_may(connection: Connection) -> None:
    server.accompany(0.2)
    assert server.connected()


@pytest.mark.parametrize("connection", ["127.0.0.1"], indirect=True)
def test_what_a_worker_says_to_itself_holds_it_up_in_nothing(connection: Connection) -> None:
    assert connection.leader.getpeername()[0] == "127.0.0.1"
    assert not server.connected()
