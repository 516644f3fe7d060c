"""The canary against the real vLLM: of one version it calls nobody, and each planted regression is found.

The model is tiny and was taught the shipped suite's answers (taught.py); template, contexts, parsers, batches and
logprobs are vLLM's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import taught
from asking import ask
from served import NAME, config, serving
from typer.testing import CliRunner
from vllm_cpu import Server

from tandem.ops.cli import app

pytestmark = pytest.mark.real

CONTEXT, RUNS = 3072, 20
OTHER_TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"


@dataclass(frozen=True)
class Canary:
    """`tandem canary`, by the address of a server."""

    port: int

    def __call__(self, *words: object) -> tuple[int, dict[str, Any]]:
        url = f"http://127.0.0.1:{self.port}"
        command = ["canary", "--url", url, "--json", *map(str, words)]
        result = CliRunner().invoke(app, command, env={"TANDEM_API_KEY": "tdm_any"}, catch_exceptions=False)
        return result.exit_code, json.loads(result.stdout)


def served(model: str = "good", context: int = CONTEXT, parser: str | None = "hermes") -> tuple[Any, list[str]]:
    host = config(max_num_seqs=8)
    engine = replace(host.engine, max_model_len=context, tool_call_parser=parser)
    return replace(host, engine=engine), ["--model", str(taught.model() / model)]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stored") / "run.json"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, stored: Path) -> Iterator[Server]:
    host, more = served()
    with serving(host, tmp_path_factory.mktemp("good"), *more) as running:
        status, found = Canary(running.port)("--record", stored)
        assert status == 0, found
        yield running


@pytest.fixture
def crowd(good: Server) -> Iterator[None]:
    """Others, whose requests are in the same batches."""
    over = threading.Event()

    def others(number: int) -> None:
        body = {"model": NAME, "prompt": f"the {number} lighthouse", "max_tokens": 3 + 7 * number, "ignore_eos": True}
        while not over.is_set():
            ask(good.port, body, None)

    threads = [threading.Thread(target=others, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


def test_the_same_version_calls_nobody(good: Server, stored: Path) -> None:
    status, found = Canary(good.port)("--against", stored, "--times", RUNS // 2)
    assert (status, found["failed"]) == (0, [])
    assert {one["outcome"] for run in found["runs"] for one in run} == {"passed"}


@pytest.mark.usefixtures("crowd")
def test_nor_does_it_in_other_batches(good: Server, stored: Path) -> None:
    status, found = Canary(good.port)("--against", stored, "--times", RUNS // 2)
    assert (status, found["failed"]) == (0, [])


PLANTED: dict[str, tuple[dict[str, Any], list[str], str, str]] = {
    "another template": ({}, ["--chat-template", OTHER_TEMPLATE], "chat tokens", "the chat template or tokenizer"),
    "another quantization": ({"model": "coarse"}, [], "text tokens", "drift"),
    "a shorter context": ({"context": 1024}, [], "needle", "HTTP 400"),
    "no tool parser": ({"parser": None}, [], "tool", "HTTP 400"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_regression_is_found(what: str, good: Server, stored: Path, tmp_path: Path) -> None:
    changes, arguments, case, said = PLANTED[what]
    host, more = served(**changes)
    with serving(host, tmp_path, *more, *arguments) as running:
        status, found = Canary(running.port)("--against", stored)
    details = {one["case"]: one["detail"] for one in found["runs"][0]}
    assert status == 1, details
    assert case in found["failed"], details
    assert said in details[case], details
