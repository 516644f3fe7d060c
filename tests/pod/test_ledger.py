"""The cold start of a pod, from what its containers tell the agent; the kubelet's own directory is held in
tests/real/test_kubelet.py."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import coldstart
import ledger
import pod as preparing
import pytest
import starts
from ledger import Ledger

AGO = 300


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """As a kubelet has put them there five minutes ago."""
    placed = datetime.now(UTC) - timedelta(seconds=AGO)
    directory = f"{placed:..%Y_%m_%d_%H_%M_%S}.1234567890"
    (tmp_path / "scripts" / directory).mkdir(parents=True)
    (tmp_path / "scripts" / "..data").symlink_to(directory)
    return tmp_path / "scripts"


def said(stage: object, seconds: object) -> bytes:
    return b"<190>tandem: " + json.dumps({"stage": stage, "seconds": seconds}).encode()


def test_a_start_begins_when_the_kubelet_had_the_pods_files_and_ends_with_the_first_token(
    tmp_path: Path, scripts: Path
) -> None:
    one = Ledger(tmp_path / "start.json", scripts, first=True)
    assert one.look().stages == {"image": pytest.approx(AGO, abs=5)}
    one.add(said("weights", 41.5))
    assert one.look().figures() == {}
    one.add(said("ready", 97.25))
    assert one.look().stages == {"image": pytest.approx(AGO, abs=5), "weights": 41.5, "ready": 97.25}
    assert one.look().whole == pytest.approx(AGO, abs=5)
    assert one.look().figures().keys() == {"StartImage", "StartWeights", "StartReady", "StartWhole"}


def test_an_agent_that_starts_again_goes_on_and_a_server_that_does_is_no_other_start(
    tmp_path: Path, scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "start.json"
    Ledger(file, scripts, first=True).add(said("ready", 97.25))
    before = Ledger(file, scripts, first=False).look()
    later = time.time() + 5000
    monkeypatch.setattr(ledger.time, "time", lambda: later)
    again = Ledger(file, scripts, first=False)
    again.add(said("ready", 12.0))
    assert again.look().whole == before.whole
    assert again.look().stages["ready"] == 12.0


def test_an_agent_of_a_pod_that_had_no_ledger_makes_none_up(tmp_path: Path, scripts: Path) -> None:
    """As after an `up` that brought it: the kubelet then has put newer files beside a server of days ago."""
    one = Ledger(tmp_path / "start.json", scripts, first=False)
    one.add(said("ready", 97.25))
    assert (one.look().stages, one.look().whole) == ({"ready": 97.25}, None)


@pytest.mark.parametrize(
    "line",
    [
        said("other", 1.0),
        said("image", 1.0),
        said("weights", -1),
        said("weights", 1e9),
        said("weights", "nan"),
        said("weights", None),
        said(["weights"], 1.0),
        b'<190>tandem: {"stage": "weights"}',
        b'<190>tandem: {"stage": "we',
        b'"stage"',
        b'<190>tandem: [{"stage": "weights"}]',
        b'<190>Nov 29 nginx: {"request_id": "r", "path": "\\"stage\\"", "status": 200}',
    ],
)
def test_what_is_no_stage_changes_nothing(line: bytes, tmp_path: Path, scripts: Path) -> None:
    one = Ledger(tmp_path / "start.json", scripts, first=True)
    before = one.look()
    one.add(line)
    assert one.look() == before


def test_without_a_kubelet_the_agent_begins_it(tmp_path: Path) -> None:
    one = Ledger(tmp_path / "start.json", tmp_path, first=True)
    assert one.look().stages == {"image": pytest.approx(0, abs=5)}


@pytest.fixture
def agent() -> socket.socket:
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", 0))
    taken.settimeout(10)
    return taken


def test_preparation_tells_how_long_the_weights_took(
    agent: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scripts: Path
) -> None:
    port = agent.getsockname()[1]
    monkeypatch.setenv("TANDEM_POD", json.dumps({"agent_port": port}))
    monkeypatch.setattr(preparing, "prepare", lambda _pod: time.sleep(0.05))
    assert preparing.main(["prepare"]) == 0
    line = agent.recv(65536)
    assert json.loads(line[line.index(b"{") :]).keys() == {"stage", "start", "seconds", "outcome"}
    one = Ledger(tmp_path / "start.json", scripts, first=True)
    one.add(line)
    assert 0.05 <= one.look().stages["weights"] < 5


def test_a_server_tells_of_its_first_token_and_of_no_other(
    agent: socket.socket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import server

    monkeypatch.setattr(server, "LOCAL", tmp_path)
    monkeypatch.setattr(server.probe, "trouble", lambda *_, **__: "")
    (tmp_path / "starts").write_text(json.dumps([1, time.time() - 97]))
    settings = {"port": 1, "probe": {}, "agent_port": agent.getsockname()[1]}
    assert [server.ready(settings), server.ready(settings)] == ["", ""]
    line = agent.recv(65536)
    found = json.loads(line[line.index(b"{") :])
    assert (found["stage"], found["outcome"]) == ("ready", "done")
    assert found["seconds"] == pytest.approx(97, abs=5)
    agent.setblocking(False)
    with pytest.raises(BlockingIOError):
        agent.recv(65536)
    starts.count(tmp_path / "starts")
    assert server.ready(settings) == ""
    assert b'"ready"' in agent.recv(65536)


def test_nobody_waits_for_an_agent_that_is_not_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for _ in range(3):
        ledger.tell(port, "weights", time.time())


def test_a_full_disk_tells_again(tmp_path: Path) -> None:
    once = coldstart.Once(lambda: coldstart.ColdStart({}, 5.0), tmp_path / "no" / "told")
    (tmp_path / "no").write_text("a file")
    once.told()
    assert once.figures() == {"StartWhole": 5.0}
    (tmp_path / "no").unlink()
    once.told()
    assert once.figures() == {}
