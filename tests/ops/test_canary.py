"""`tandem canary`: what it asks whom, what it stores and compares, and how it ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pulumi_rehearsal.servers import QuietServer, serving
from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.cli import app
from tandem.ops.commands import canary as command
from tandem.ops.smoke import Target

MODEL = "Qwen/Qwen3-8B"
SUITE = """
cases:
  - {name: echo, messages: [{role: user, content: Say blue.}], expect: {exact: blue}}
  - {name: tool, needs: {tools: true}, messages: [{role: user, content: Say t.}], expect: {exact: t}}
  - {name: tokens, prompt: Once, expect: {drift: {}}}
"""


class Api:
    """What it says, and what it was asked."""

    def __init__(self) -> None:
        self.said = {"Say blue.": "blue", "Say t.": "t"}
        self.tokens: list[str] = ["1", "2"]
        self.status, self.asked, self.url = 200, list[dict[str, Any]](), ""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body)
        usage = {"prompt_tokens": 3}
        if "prompt" in body:
            tops = [{token: -0.1} for token in self.tokens]
            logprobs = {"tokens": self.tokens, "token_logprobs": [-0.1] * len(self.tokens), "top_logprobs": tops}
            return {"choices": [{"text": "x", "finish_reason": "length", "logprobs": logprobs}], "usage": usage}
        text = self.said.get(body["messages"][-1]["content"], "PASS")
        choice = {"message": {"content": text}, "finish_reason": "stop", "logprobs": None}
        return {"choices": [choice], "usage": usage}


@pytest.fixture
def api() -> Iterator[Api]:
    """Stands for: an API of chats and completions, as vLLM has it.
    Held by: tests/real/test_canary.py::test_the_same_version_calls_nobody (the same command, and the real one)
    """
    played = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(200, {"data": [{"id": MODEL}, {"id": "other"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._reply(played.status, played.answer(body))

        def _reply(self, status: int, value: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Handler)
    with serving(server):
        played.url = f"http://127.0.0.1:{server.server_port}"
        yield played


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command.machine, "PAUSE", 0)
    (tmp_path / "suite.yaml").write_text(SUITE)


@pytest.fixture
def run(api: Api, tmp_path: Path) -> Any:
    def canary(*words: object, stack: str | None = None) -> Result:
        where = [stack] if stack else ["--url", api.url, "--suite", str(tmp_path / "suite.yaml")]
        environment = {"TANDEM_API_KEY": "tdm_any", "COLUMNS": "200"}
        return CliRunner().invoke(app, ["canary", *where, *map(str, words)], env=environment)

    return canary


def test_what_passes_is_told_and_can_be_stored(run: Any, api: Api, tmp_path: Path) -> None:
    result = run("--record", tmp_path / "run.json")
    assert result.exit_code == 0, result.output
    assert "3 of 3 passed by Qwen/Qwen3-8B" in result.output
    stored = json.loads((tmp_path / "run.json").read_text())
    assert (stored["model"], sorted(stored["cases"])) == (MODEL, ["echo", "tokens", "tool"])
    assert stored["cases"]["tokens"]["tokens"] == [["1", -0.1, {"1": -0.1}], ["2", -0.1, {"2": -0.1}]]
    assert run("--against", tmp_path / "run.json").exit_code == 0
    api.tokens = ["1", "3"]
    drifted = run("--against", tmp_path / "run.json")
    assert drifted.exit_code == 1
    assert "failed  tokens         drift: token 2 is another one" in drifted.output


def test_what_fails_is_not_stored(run: Any, api: Api, tmp_path: Path) -> None:
    api.said["Say blue."] = "green"
    result = run("--record", tmp_path / "run.json", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == ["echo"]
    assert not (tmp_path / "run.json").exists()


def test_of_many_runs_each_must_pass(run: Any, api: Api) -> None:
    result = run("--times", 3, "--json")
    assert (result.exit_code, len(json.loads(result.stdout)["runs"])) == (0, 3)
    assert len(api.asked) == 9
    assert all(body["model"] == MODEL for body in api.asked)


def test_another_model_is_asked_by_its_name(run: Any, api: Api) -> None:
    assert run("--model", "other").exit_code == 0
    assert api.asked[0]["model"] == "other"
    error = run("--model", "third").exception
    assert isinstance(error, UserError)
    assert "Qwen/Qwen3-8B, other" in str(error)


def test_who_does_not_answer_has_not_failed(run: Any, api: Api) -> None:
    api.status = 503
    error = run().exception
    assert isinstance(error, UserError)
    assert "does not answer" in str(error)


@pytest.fixture
def stack(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stack that is reached at once, and the settings that it has."""
    settings: dict[str, Any] = {"canary": {"suite": "suite.yaml"}, "inference": {"model": MODEL}}

    @contextlib.contextmanager
    def of_stack(*_arguments: Any, **_more: Any) -> Iterator[Target]:
        yield Target(api.url, "tdm_any")

    def written() -> None:
        config = {f"tandem:{key}": value for key, value in {"region": "us-east-1", **settings}.items()}
        (tmp_path / "Pulumi.dev.yaml").write_text(json.dumps({"config": config}))

    (tmp_path / "Pulumi.yaml").write_text("name: tandem\n")
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    monkeypatch.setattr(command.suites, "PROJECT", tmp_path)
    monkeypatch.setattr(command, "of_stack", of_stack)
    written()
    return {"settings": settings, "write": written}


def test_a_stack_is_asked_what_its_settings_say(run: Any, stack: dict[str, Any]) -> None:
    result = run(stack="dev")
    assert result.exit_code == 0, result.output
    assert "skipped tool" in result.output
    assert "2 of 2 passed" in result.output


def test_a_model_that_makes_no_tokens_is_asked_nothing(run: Any, stack: dict[str, Any]) -> None:
    del stack["settings"]["canary"]
    stack["settings"]["inference"]["task"] = "embed"
    stack["write"]()
    result = run(stack="dev")
    assert "inference.task: makes no tokens, and a canary asks for some" in str(result.exception)


def test_a_stack_is_compared_with_the_run_of_its_settings(
    run: Any, stack: dict[str, Any], tmp_path: Path, api: Api
) -> None:
    stored = {"cases": {"echo": {"promptTokens": 7}}}
    (tmp_path / "run.json").write_text(json.dumps(stored))
    stack["settings"]["canary"]["run"] = "run.json"
    stack["write"]()
    result = run(stack="dev")
    assert result.exit_code == 1
    assert "the prompt has 3 tokens, and had 7" in result.output


def test_a_judge_of_the_settings_is_asked(run: Any, stack: dict[str, Any], tmp_path: Path, api: Api) -> None:
    case = {"name": "polite", "messages": [{"role": "user", "content": "Say blue."}], "expect": {"judge": "A colour."}}
    (tmp_path / "suite.jsonl").write_text(json.dumps(case))
    stack["settings"]["canary"] = {"suite": "suite.jsonl", "judge": {"url": api.url, "model": "grader"}}
    stack["write"]()
    assert run(stack="dev").exit_code == 0
    assert [body["model"] for body in api.asked] == [MODEL, "grader"]
