"""The agent beside a pod's edge, as the process that it is: what it writes, counts, and how it ends."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import agent
import keysync
import pytest

from pulumi_rehearsal.servers import QuietServer, free_port, serving

PLAYED = """
import pathlib, sys
import agent, canary, keysync
agent.RUN = pathlib.Path(sys.argv[1])
agent.KEPT = agent.RUN / "kept.json"
agent.TOLD = agent.RUN / "canary.json"
agent.CANARY, agent.PROVEN = agent.RUN.with_name("asked.json"), agent.RUN.with_name("proven")
canary.PAUSE = 0
keysync.EVERY = 0.2
raise SystemExit(agent.main())
"""
KEY = hashlib.sha256(b"tdm_key").hexdigest()


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + 20
    while not (now := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return now


class Agent:
    """One that runs, and the directory that it shares with nginx."""

    def __init__(self, directory: Path, *documents: Path, server: int = 0) -> None:
        self.run, self.port = directory / "run", free_port()
        self.run.mkdir(exist_ok=True)
        variables = {
            "TANDEM_POD": json.dumps({"served_model_name": "qwen", "agent_port": self.port, "port": server}),
            "TANDEM_VERSION": "0" * 12,
            "TANDEM_SECRETS": json.dumps({"keys": [str(one) for one in documents], "hubToken": None}),
            "PYTHONPATH": os.pathsep.join(str(Path(one.__file__).parent) for one in (agent, keysync)),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLAYED, str(self.run)], env={**os.environ, **variables}, stderr=subprocess.PIPE
        )

    def knows(self, digest: str) -> bool:
        return (self.run / "keys" / digest).exists()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    started: list[Agent] = []

    def run(*documents: Path, **more: int) -> Agent:
        started.append(Agent(tmp_path, *documents, **more))
        return started[-1]

    yield run
    for one in started:
        one.process.kill()
        one.process.communicate()


def written(file: Path, *digests: str) -> Path:
    file.write_text(json.dumps({"clients": {"alice": {"keys": [{"sha256": one} for one in digests]}}}))
    return file


def test_an_edge_serves_its_model_and_its_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_POD", json.dumps({"served_model_name": "qwen", "adapters": [{"name": "sql"}]}))
    monkeypatch.setenv("TANDEM_SECRETS", json.dumps({"keys": []}))
    assert agent.edge().models == ["qwen", "sql"]


def test_a_changed_document_reaches_the_edge_and_outlives_its_store(
    start: Callable[..., Agent], tmp_path: Path
) -> None:
    document = written(tmp_path / "keys.json", KEY)
    one = start(document)
    until(lambda: one.knows(KEY))
    written(document, "0" * 64)
    until(lambda: one.knows("0" * 64) and not one.knows(KEY))
    document.unlink()
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(10) == 0
    again = start(document)
    until(lambda: b"those that were known stay" in again.process.stderr.readline())
    assert again.knows("0" * 64)


def test_it_counts_what_the_edge_tells(start: Callable[..., Agent], tmp_path: Path) -> None:
    one = start(written(tmp_path / "keys.json", KEY))
    until(lambda: one.knows(KEY))

    def counts() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{one.port}/metrics", timeout=5) as answer:
                text = answer.read()
                return b"tandem_edge_requests_total" in text and b"tandem_keys_age_seconds 0." in text
        except OSError:
            return False

    until(counts)


def test_without_a_document_it_ends_with_a_line(start: Callable[..., Agent], tmp_path: Path) -> None:
    """The kubelet starts it again, and `up` and `tandem rollout` tell why."""
    one = start(tmp_path / "none.json")
    _, said = one.process.communicate(timeout=20)
    assert one.process.returncode == 1
    assert said.startswith(b"tandem: the clients' keys: FileNotFoundError: ")
    assert said.count(b"\n") == 1


@contextlib.contextmanager
def answers(text: str) -> Iterator[int]:
    """A server that says so, on a port.

    Stands for: vLLM's chats, as a canary asks them.
    Held by: tests/real/test_canary.py::test_the_same_version_calls_nobody (the same questions, of the real one)
    """

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": None}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3}}).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Server)
    with serving(server):
        yield server.server_port


def asks(directory: Path) -> None:
    case = {"name": "echo", "path": "/v1/chat/completions", "body": {"messages": []}, "expect": {"exact": "blue"}}
    document = {"suite": [case], "model": "qwen", "stored": None, "judge": None}
    (directory / "asked.json").write_text(json.dumps({**document, "every": 3600, "gate": True}))


def test_a_pod_whose_canary_passes_is_ready_and_proves_its_version(start: Callable[..., Agent], tmp_path: Path) -> None:
    asks(tmp_path)
    with answers("blue") as server:
        one = start(written(tmp_path / "keys.json", KEY), server=server)
        until(lambda: (one.run / "canary.open").exists())
        until(lambda: (tmp_path / "proven" / ("0" * 12)).exists())
    assert one.knows(KEY)


def test_a_pod_of_a_version_whose_canary_fails_is_not_ready_and_says_why(
    start: Callable[..., Agent], tmp_path: Path
) -> None:
    """The agent ends, which the kubelet counts, and `up` and `tandem rollout` see."""
    asks(tmp_path)
    (tmp_path / "proven").mkdir()
    written(tmp_path / "proven" / ("1" * 12))
    with answers("green") as server:
        one = start(written(tmp_path / "keys.json", KEY), server=server)
        _, said = one.process.communicate(timeout=20)
    assert one.process.returncode == 1
    assert b"tandem: canary: vllm, echo: 'blue' was wanted, 'green' came" in said
    assert not (one.run / "canary.open").exists()
    assert json.loads((one.run / "canary.json").read_text()) == ["vllm, echo: 'blue' was wanted, 'green' came"]
