"""A machine's canary: who may serve before it has passed, what is told of it, and what it survives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import canary
import pytest
import trial

from pulumi_rehearsal.servers import QuietServer, serving

VERSION = "0" * 12


class Machine:
    """With two servers that answer as they are told."""

    def __init__(self, directory: Path, version: str = VERSION, **changes: Any) -> None:
        case = {"name": "echo", "path": "/v1/chat/completions", "body": {"messages": []}, "expect": {"exact": "blue"}}
        self.document = {"suite": [case], "model": "m", "stored": None, "judge": None}
        self.document |= {"every": 3600, "gate": True, **changes}
        self.answers: dict[str, Any] = {"vllm-0": "blue", "vllm-1": "blue"}
        self.said: list[str] = []
        self.told, self.proven = directory / "run/canary.json", directory / "shared/canary"
        servers = {name: self._ask(name) for name in self.answers}
        self.trial = trial.Trial(self.document, version, servers, self.told, self.proven, self.secret, self.said.append)

    def _ask(self, name: str) -> canary.Ask:
        def ask(path: str, body: Mapping[str, Any]) -> tuple[int, str]:
            if isinstance(self.answers[name], int):
                return self.answers[name], "busy"
            message = {"content": self.answers[name]}
            choice = {"message": message, "finish_reason": "stop", "logprobs": None}
            return 200, json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3}})

        return ask

    def secret(self, arn: str) -> str | None:
        raise RuntimeError(f"{arn}: denied")

    @property
    def open(self) -> bool:
        return trial.opened(self.told).exists()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "PAUSE", 0)


def proven(machine: Machine, version: str) -> None:
    machine.proven.mkdir(parents=True)
    (machine.proven / version).touch()


def until(found: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_passes_opens_and_is_proven_for_the_others(tmp_path: Path) -> None:
    first = Machine(tmp_path / "a")
    assert not first.open
    assert first.trial.once()
    assert first.open
    assert (first.proven / VERSION).exists()
    assert trial.figures(first.told) == {"CanaryFailed": 0.0}


def test_what_fails_stays_closed_and_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    proven(machine, "1" * 12)
    machine.answers["vllm-1"] = "green"
    closed: list[bool] = []
    machine.trial.start(lambda: closed.append(True))
    until(lambda: closed)
    assert not machine.open
    assert not (machine.proven / VERSION).exists()
    assert trial.failed(machine.told) == ["vllm-1, echo: 'blue' was wanted, 'green' came"]
    assert trial.figures(machine.told) == {"CanaryFailed": 1.0}
    assert trial.text(machine.told) == "# TYPE tandem_canary_failed gauge\ntandem_canary_failed 1\n"
    assert machine.said == ["canary: vllm-1, echo: 'blue' was wanted, 'green' came"]


def test_a_version_that_was_proven_heals_whatever_its_canary_says_later(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    proven(machine, VERSION)
    machine.answers["vllm-0"] = "green"
    closed: list[bool] = []
    machine.trial.start(lambda: closed.append(True))
    until(lambda: trial.failed(machine.told))
    assert machine.open
    assert not closed


def test_a_suite_that_nobody_has_passed_closes_nothing_and_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.answers["vllm-0"] = "green"
    closed: list[bool] = []
    machine.trial.start(lambda: closed.append(True))
    until(lambda: trial.failed(machine.told))
    assert machine.open
    assert not closed
    assert trial.figures(machine.told) == {"CanaryFailed": 1.0}


def test_another_version_is_not_proven_by_it(tmp_path: Path) -> None:
    Machine(tmp_path).trial.once()
    trial.opened(tmp_path / "run/canary.json").unlink()
    other = Machine(tmp_path, version="1" * 12)
    other.answers["vllm-0"] = "green"
    other.trial.once()
    assert not other.open


def test_without_a_gate_it_only_tells(tmp_path: Path) -> None:
    machine = Machine(tmp_path, gate=False)
    machine.answers["vllm-0"] = "green"
    machine.trial.start()
    until(lambda: trial.failed(machine.told))
    assert machine.open


def test_who_does_not_answer_is_asked_again_and_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "RETRY", 0.01)
    machine = Machine(tmp_path)
    machine.answers["vllm-1"] = 503
    assert not machine.trial.once()
    assert trial.failed(machine.told) is None
    assert (trial.figures(machine.told), trial.text(machine.told)) == ({}, "")
    machine.trial.start()
    machine.answers["vllm-1"] = "blue"
    until(lambda: machine.open)


def test_what_was_known_stays_while_a_server_is_full(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.answers["vllm-0"] = "green"
    machine.trial.once()
    machine.answers["vllm-0"] = 503
    assert not machine.trial.once()
    assert trial.figures(machine.told) == {"CanaryFailed": 1.0}
    machine.answers["vllm-0"] = "blue"
    machine.trial.once()
    assert machine.said[-1] == "canary: all is well again"


def test_a_store_that_is_gone_holds_nobody_up(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.proven.parent.mkdir(parents=True)
    machine.proven.write_text("no directory")
    assert machine.trial.once()
    assert machine.open


def test_whatever_goes_wrong_it_tries_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "RETRY", 0.01)
    machine = Machine(tmp_path)
    run, errors = canary.run, [KeyError("x")]

    def sometimes(*arguments: Any, **more: Any) -> Any:
        if errors:
            raise errors.pop()
        return run(*arguments, **more)

    monkeypatch.setattr(canary, "run", sometimes)
    machine.trial.start()
    until(lambda: len(machine.said) == 2)
    assert machine.said == ["canary: KeyError: 'x'", "canary: all is well again"]


def test_a_judge_whose_key_cannot_be_read_fails_nothing(tmp_path: Path) -> None:
    judge = {"url": "http://127.0.0.1:1", "model": "g", "keySecretArn": "arn:aws:secretsmanager:one"}
    machine = Machine(tmp_path, judge=judge)
    machine.document["suite"][0]["expect"]["judge"] = "It is a colour."
    assert machine.trial.once()
    assert machine.open


def test_a_server_is_asked_by_http() -> None:
    seen: list[Any] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append((self.path, self.headers["Authorization"], sent))
            self.send_response(400 if sent else 200)
            self.end_headers()
            self.wfile.write(b"words")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Server)
    with serving(server):
        ask = trial.asker(f"http://127.0.0.1:{server.server_port}", "tdm_key")
        assert ask("/v1/x", {}) == (200, "words")
        assert ask("/v1/x", {"a": 1}) == (400, "words")
    assert seen == [("/v1/x", "Bearer tdm_key", {}), ("/v1/x", "Bearer tdm_key", {"a": 1})]
    with pytest.raises(OSError, match="refused"):
        ask("/v1/x", {})
