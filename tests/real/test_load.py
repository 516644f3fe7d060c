"""`tandem load`'s figures beside the real vLLM's own metrics of the same run, and what it sees of refusals."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from served import LASTING, NAME
from test_full import BATCH, CONFIG, QUEUE, metrics_of
from vllm_cpu import Server

from tandem.objectives import Objectives
from tandem.ops.load import generator
from tandem.ops.load.sweep import Step, step
from tandem.ops.load.traffic import Lengths, Model, Shape, requests
from tandem.ops.smoke import Target

pytestmark = pytest.mark.real

RECORDED = Path(__file__).parents[1] / "ops/recorded/aiperf-0.13.0.jsonl"
SEEN = {"allowed_token_ids": [*range(65, 91)]}
"""Letters: of what an untrained model says, most is half a character, which no client sees come."""
PATIENT = Objectives(first_token_seconds=600, between_tokens_seconds=60, availability=0.995)


@dataclass(frozen=True)
class Run:
    """What the client says, what the server says of the same time, and aiperf's own records."""

    step: Step
    server: dict[str, float]
    records: list[dict]


Runs = Callable[..., Run]


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return LASTING(CONFIG, tmp_path_factory.mktemp("vllm"))


@pytest.fixture
def load(vllm: Server, monkeypatch: pytest.MonkeyPatch) -> Runs:
    """So many requests at a rate, with answers of so many tokens."""
    lines: list[str] = []
    read = generator.read

    def kept(found: list[str], count: int) -> object:
        lines[:] = found
        return read(found, count)

    monkeypatch.setattr(generator, "read", kept)
    target = Target(f"http://127.0.0.1:{vllm.port}", "tdm_secret", timeout_seconds=300)

    def run(rate: float, count: int, tokens: int = 12) -> Run:
        shape = Shape(prompt=Lengths(500, 0.4), answer=Lengths(tokens, 0.1))
        made = requests(shape, Model(name=NAME, context=2048, tokens_a_word=3.5), seed=1)
        bodies = [{**body, **SEEN, "max_completion_tokens": tokens} for body in itertools.islice(made, count)]
        before = totals(vllm.port)
        found = step(rate, *reversed(generator.send(target, NAME, rate, bodies, 60)), PATIENT)
        after = totals(vllm.port)
        return Run(found, {name: after[name] - before.get(name, 0) for name in after}, [*map(json.loads, lines)])

    return run


def totals(port: int) -> dict[str, float]:
    """vLLM's series, added up by name."""
    lines = [line for line in metrics_of(port).splitlines() if line.startswith("vllm:")]
    values = [(line.partition("{")[0], float(line.rsplit(" ", 1)[1])) for line in lines if "le=" not in line]
    return {name: sum(one for other, one in values if other == name) for name, _ in values}


def test_its_figures_are_the_servers(load: Runs) -> None:
    """Tokens and requests are counted alike; latencies within 3 %, or 15 ms: vLLM's clock begins when a prompt is read,
    a client's when it connects, and the tiny model's first token is there in 50 ms. What the first chunk is late
    shortens the time between tokens, which are there in 2 ms: answers are so long that it is nothing of it."""
    run = load(2, 24, 300)
    found, server = run.step, run.server
    assert found.failed == {}
    assert found.requests == server["vllm:request_success_total"]
    assert found.prompt_tokens == server["vllm:prompt_tokens_total"]
    assert found.output_tokens == server["vllm:generation_tokens_total"]
    for name, ours in (("time_to_first", found.first_token_mean), ("inter", found.between_tokens_mean)):
        metric = f"vllm:{name}_token_{'latency_' if name == 'inter' else ''}seconds"
        theirs = server[f"{metric}_sum"] / server[f"{metric}_count"]
        assert ours == pytest.approx(theirs, rel=0.03, abs=0.015 if name == "time_to_first" else 0), name


def test_each_refusal_is_a_failure_also_where_its_status_is_200(load: Runs) -> None:
    run = load(400, 3 * (BATCH + QUEUE))
    refused = run.server["vllm:admission_rejections_total"]
    assert refused > BATCH
    assert sum(run.step.failed.values()) == refused
    assert set(run.step.failed) <= {"HTTP 503", generator.EMPTY}
    assert not run.step.kept
    kinds = by_kind(run.records)
    if os.environ.get("GOLDEN_UPDATE"):
        RECORDED.write_text("".join(json.dumps(one) + "\n" for found in kinds.values() for one in found[:3]))
    recorded = by_kind([*map(json.loads, RECORDED.read_text().splitlines())])
    for kind, found in kinds.items():
        assert fields(recorded[kind]) <= fields(found), "the recording of unit tests has real fields"


def by_kind(records: list[dict]) -> dict[str, list[dict]]:
    """Records by what became of their request."""
    found: dict[str, list[dict]] = {}
    for one in records:
        error = one.get("error")
        found.setdefault(f"{error['type']} {error.get('code')}" if error else "answered", []).append(one)
    return found


def fields(records: list[dict]) -> set[str]:
    """A single record lacks what could not be measured on it."""
    return {name for one in records for name in (*one, *one["metadata"], *one["metrics"])}
