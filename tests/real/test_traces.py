"""Traces by setting: the edge decides which requests have spans, the real vLLM sends them, and one id finds both."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from asking import ask
from edge import KEY, nginx, wait_for
from served import completion, config, serving
from vllm_cpu import environment

from pulumi_rehearsal.servers import free_port

pytestmark = pytest.mark.real

REQUESTS = 60
RATIO = 0.5
THEIRS = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECONDS = 30
"""The exporter sends what it has every five seconds."""


@dataclass(frozen=True)
class Seen:
    """What a run left: spans of requests, and the edge's lines of answers that vLLM gave."""

    spans: list[dict[str, Any]]
    lines: list[dict[str, Any]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    directory, port = tmp_path_factory.mktemp("traces"), free_port()
    small = config(traces_endpoint=f"http://127.0.0.1:{port}/v1/traces")
    small = replace(small, edge=replace(small.edge, traced=RATIO))
    spans = directory / "spans"
    with spans.open("wb") as output:
        collector = subprocess.Popen(
            [environment(), Path(__file__).with_name("spans.py"), str(port)], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        wait_for(port, collector, SECONDS)
        with serving(small, directory) as vllm, nginx(small, [vllm.port], directory) as edge:
            for number in range(REQUESTS):
                parent = f"00-{THEIRS}-{PARENT}-01" if number % 2 else "of nobody"
                assert ask(edge.port, completion(prompt="a secret of theirs"), KEY, traceparent=parent).status == 200
            assert ask(edge.port, completion(), "wrong").status == 401
            time.sleep(1)
        yield Seen(
            _of_requests(spans), [json.loads(line) for line in (directory / "edge.log").read_text().splitlines()]
        )
    finally:
        collector.terminate()
        collector.wait(SECONDS)


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _of_requests(file: Path) -> list[dict[str, Any]]:
    spans = _lines(file)
    assert {span["path"] for span in spans} == {"/v1/traces"}
    return [span for span in spans if span["name"] == "llm_request"]


def test_the_share_that_the_setting_names_has_spans(seen: Seen) -> None:
    """Four standard deviations of a coin that is thrown sixty times."""
    assert abs(len(seen.spans) - RATIO * REQUESTS) <= 16


def test_the_id_of_the_edges_line_finds_the_span(seen: Seen) -> None:
    answered = {line["trace_id"] for line in seen.lines if line["status"] == 200}
    assert {span["trace"] for span in seen.spans} <= answered
    made = [span["trace"] for span in seen.spans if span["trace"] != THEIRS]
    assert made, "of a request without a trace of the caller's"
    assert len(set(made)) == len(made), "one span a request"


def test_a_callers_trace_goes_on_and_its_flag_decides_nothing(seen: Seen) -> None:
    theirs = [span for span in seen.spans if span["trace"] == THEIRS]
    assert 0 < len(theirs) < REQUESTS / 2
    assert {span["parent"] for span in theirs} == {PARENT}


def test_a_span_says_where_the_time_went_and_no_prompt(seen: Seen) -> None:
    for span in seen.spans:
        assert {
            "gen_ai.latency.time_to_first_token",
            "gen_ai.latency.time_in_queue",
            "gen_ai.latency.time_in_model_prefill",
            "gen_ai.latency.time_in_model_decode",
            "gen_ai.usage.completion_tokens",
        } <= set(span["attributes"])
    assert "secret of theirs" not in json.dumps(seen.spans)
    assert KEY not in json.dumps(seen.spans)
