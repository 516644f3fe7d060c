"""The agent beside a pod's edge, as the process that it is: what it writes, counts, and how it ends."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import agent
import keysync
import pytest

from pulumi_rehearsal.servers import free_ports

PLAYED = """
import pathlib, sys
import agent, keysync
agent.RUN = pathlib.Path(sys.argv[1])
agent.KEPT = agent.RUN / "kept.json"
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

    def __init__(self, directory: Path, *documents: Path) -> None:
        self.run, self.port = directory / "run", free_ports(1)[0]
        self.run.mkdir(exist_ok=True)
        variables = {
            "TANDEM_POD": json.dumps({"served_model_name": "qwen", "agent_port": self.port}),
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

    def run(*documents: Path) -> Agent:
        started.append(Agent(tmp_path, *documents))
        return started[-1]

    yield run
    for one in started:
        one.process.kill()
        one.process.communicate()


def written(file: Path, *digests: str) -> Path:
    file.write_text(json.dumps({"clients": {"alice": {"keys": [{"sha256": one} for one in digests]}}}))
    return file


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
