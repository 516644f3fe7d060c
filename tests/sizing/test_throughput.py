"""Tokens per second beside what was measured: stated as measured where there is a measurement, else with an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import MEASUREMENTS, Measurement
from tandem.sizing.choice import Candidate, candidate
from tandem.sizing.gpus import gpu_of
from tandem.sizing.known import catalog_shape
from tandem.sizing.measured import comparable, errors, latency_errors, modelled, modelled_latency, of_model
from tandem.sizing.memory import size
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving, Speculation
from tandem.sizing.throughput import Load, Throughput, guesses_pay, throughput
from tests.sizing.rows import OTHERS, STARTS, started

P5EN = INSTANCE_TYPES["p5en.48xlarge"]
LOADS = [row for row in MEASUREMENTS if comparable(row)]
AT_64 = next(row for row in LOADS if (row.model, row.tp, row.at_once_each) == ("Qwen/Qwen3-8B", 1, 64))


def stated(row: Measurement, load: Load | None = None, **serving: object) -> Throughput:
    """What the table says of one replica under this load."""
    return candidate_of(row, load, **serving).throughput


def candidate_of(row: Measurement, load: Load | None = None, **serving: object) -> Candidate:
    tokens = None if row.max_num_batched_tokens == 8192 else row.max_num_batched_tokens
    how = Serving(tensor_parallel_size=row.tp, gpu_memory_utilization=None, max_num_batched_tokens=tokens)
    return candidate(
        with_quantization(catalog_shape(row.model), row.quantization),
        replace(how, **serving),  # pyright: ignore[reportArgumentType]  (fields of Serving)
        P5EN,
        load=load or Load(),
        requests=round(row.at_once_each) * (P5EN.gpus // row.tp),
        measured=of_model(MEASUREMENTS, row.model, row.quantization),
    )


@pytest.mark.parametrize("row", LOADS, ids=lambda row: f"{row.run} {row.model} TP={row.tp} {row.at_once_each:g}")
def test_what_was_measured_is_stated_within_15_percent(row: Measurement) -> None:
    found = stated(row, Load(prompt_tokens=row.prompt_tokens, answer_tokens=row.answer_tokens))
    assert found.measured
    assert found.tokens_per_second == pytest.approx(row.tokens_per_second_each, rel=0.15)
    assert found.tokens_per_second < found.limit_tokens_per_second


def test_between_two_loads_it_is_between_them() -> None:
    found = stated(replace(AT_64, at_once=90 * AT_64.replicas))
    assert found.measured
    assert 4071 < found.tokens_per_second < 5152


OTHER = {
    "more at once": (replace(AT_64, at_once=2 * 300.0), None, {}),
    "longer prompts": (AT_64, Load(prompt_tokens=2048), {}),
    "longer answers": (AT_64, Load(answer_tokens=400), {}),
    "another cache": (AT_64, None, {"kv_cache_dtype": "fp8"}),
    "eager": (AT_64, None, {"enforce_eager": True}),
    "shorter steps": (AT_64, None, {"max_num_batched_tokens": 4096}),
}


@pytest.mark.parametrize("what", OTHER)
def test_what_was_not_measured_is_modelled(what: str) -> None:
    row, load, serving = OTHER[what]
    assert not stated(row, load, **serving).measured


def pay_from(model: str, name: str = "p5en.48xlarge", **guesses: int) -> float:
    gpu, about = gpu_of(INSTANCE_TYPES[name])
    how = Serving(gpu_memory_utilization=None, speculation=Speculation(tokens=4, **guesses) if guesses else None)
    return max(guesses_pay(size(catalog_shape(model), how, gpu), about).values(), default=0)


def test_guesses_cost_little_while_few_requests_read_all_weights() -> None:
    """32 requests with 4 guesses each are 160 tokens: as many as one reading of the weights has arithmetic for. What is
    left is what a step waits, measured as 9 to 11 % on one H200."""
    assert pay_from("Qwen/Qwen3-8B") == 0
    few, many = (pay_from("Qwen/Qwen3-8B", up_to_requests=most) for most in (32, 256))
    assert 0.11 < few < 0.15
    assert 0.35 < many < 0.5
    assert 0.1 < pay_from("Qwen/Qwen3-8B", "g5.12xlarge", up_to_requests=32) < 0.15


def test_guesses_of_a_mixture_of_experts_read_further_experts_even_for_one_request() -> None:
    one, some = (pay_from("Qwen/Qwen3-30B-A3B", up_to_requests=most) for most in (1, 32))
    assert 0.1 < one <= some < 0.4


BESIDE = [
    one
    for one in OTHERS
    if not one["right"] and one["asked"] != "base" and "256" not in one["flags"] and "judged" not in one["flags"]
]
"""The judged server had stopped guessing, which is no server of the model's."""


@pytest.mark.parametrize("row", BESIDE, ids=lambda row: f"{row['flags']} {row['at_once']}")
def test_what_guesses_and_adapters_cost_is_in_the_rates(row: dict[str, Any]) -> None:
    """Of guesses as the default bounds them, none right; of requests that all go by an adapter's name."""
    start = next(one for one in STARTS if row["flags"].removeprefix("tandem, ") in one["what"])
    found = throughput(started(start), gpu_of(P5EN)[1], Load(), row["at_once"])
    assert found.tokens_per_second == pytest.approx(row["tokens_per_second"], rel=0.15)
    assert not found.measured


def test_another_models_rows_are_no_measurement() -> None:
    assert of_model(MEASUREMENTS, "Qwen/Qwen3-8B", "fp8") == ()
    assert of_model(MEASUREMENTS, None, None) == ()


def short_for_a_pair(row: Measurement) -> bool:
    """Steps that take two GPUs longer than their arithmetic, which is all that the model has of them."""
    return (row.tp, row.max_num_batched_tokens) == (2, 1024)


def test_the_model_is_as_far_off_as_it_says() -> None:
    found = errors(MEASUREMENTS)
    assert found.loads == len(LOADS)
    assert 0 < found.median < 0.1
    assert found.worst == pytest.approx(max((modelled(row) / row.tokens_per_second_each - 1 for row in LOADS), key=abs))
    plain = errors([row for row in LOADS if row.model != "Qwen/Qwen3-32B-FP8" and not short_for_a_pair(row)])
    assert abs(plain.worst) < 0.26


def test_times_are_as_far_off_as_it_says() -> None:
    """First tokens of two measurements of one load are up to 2.6 times apart: no model is nearer to both."""
    first, between = latency_errors(MEASUREMENTS)
    assert first.loads == between.loads == len([row for row in MEASUREMENTS if row.rate])
    assert first.median < 0.25
    assert between.median < 0.21
    plain = [row for row in MEASUREMENTS if row.rate and row.model == "Qwen/Qwen3-8B"]
    for row in plain:
        found = modelled_latency(row)
        assert found is not None
        assert found.between_tokens == pytest.approx(row.between_tokens_p99, rel=0.35 if row.tp == 2 else 1.0)


def test_more_requests_than_it_can_take_have_no_times() -> None:
    row = next(row for row in MEASUREMENTS if row.rate)
    assert modelled_latency(replace(row, rate=100.0)) is None
