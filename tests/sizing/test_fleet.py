"""Fleets for a load: 24 questions whose cheapest answer is known, by prices and arithmetic that need no sizing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pytest

from tandem.catalog.instances import INSTANCE_TYPES, OFFERED, InstanceType
from tandem.catalog.measurements import MEASUREMENTS
from tandem.sizing.fleet import MOST_HOSTS, SIZES, Answer, Demand, fleets
from tandem.sizing.gpus import gpu_of
from tandem.sizing.known import catalog_shape
from tandem.sizing.measured import of_model
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving
from tandem.sizing.throughput import Load

pytestmark = pytest.mark.sweep

Q8, Q32, Q32_8 = "Qwen/Qwen3-8B", "Qwen/Qwen3-32B", "Qwen/Qwen3-32B-FP8"
L70, L8, A3B = "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-30B-A3B"
OSS20, OSS120, Q235 = "openai/gpt-oss-20b", "openai/gpt-oss-120b", "Qwen/Qwen3-235B-A22B-FP8"
MODELS = {
    Q8: (8.2, 8.2, 2.0, 36, 4096),
    Q32: (32.8, 32.8, 2.0, 64, 5120),
    Q32_8: (32.8, 32.8, 1.0, 64, 5120),
    L70: (70.6, 70.6, 2.0, 80, 8192),
    L8: (8.0, 8.0, 2.0, 32, 4096),
    A3B: (30.5, 3.3, 2.0, 48, 2048),
    OSS20: (20.9, 3.6, 0.6, 24, 2880),
    OSS120: (116.8, 5.1, 0.54, 36, 2880),
    Q235: (235.0, 22.0, 1.0, 94, 4096),
}
"""By the makers' pages: billions of parameters, of those that a token multiplies, bytes of each, layers, width."""


@dataclass(frozen=True)
class Question:
    """A load, its answer (hosts beside the spare one, type, quantization), and why what would cost less is none.

    Attributes:
        cheaper: by type, of as many hosts as cost less. `memory`: a GPU's part of the weights is more than it has;
            `kernels`: vLLM has none for this card;
            `step`: 1,024 tokens of a prompt take longer than may be between two tokens, and come in more than one
            step of a hundred, if a step only reads the weights at all that the memory gives;
            `launch`: so does launching a step with a prompt, at 1.3 ms a layer, and comes as often;
            `prompts`: prompts alone take all the time; `times`: what is left of it is too little for the objective.
    """

    model: str
    rate: float
    prompt: int
    answer: int
    first: float | None
    between: float | None
    expected: tuple[int, str, str | None] | None
    cheaper: dict[str, str]


def asked(
    model: str,
    rate: float,
    prompt: int,
    answer: int,
    first: float | None,
    between: float | None,
    expected: tuple[int, str, str | None] | None,
    **cheaper: str,
) -> Question:
    types = {f"{name}xlarge": why for why, names in cheaper.items() for name in names.split()}
    return Question(model, rate, prompt, answer, first, between, expected, types)


_DEARER = {
    one.name
    for one in OFFERED
    for other in OFFERED
    if (one.gpu, one.gpu_mib, one.gpus) == (other.gpu, other.gpu_mib, other.gpus)
    and one.usd_per_hour > other.usd_per_hour
}
CHOICES = {one.name for one in OFFERED} - _DEARER
"""Without those that have the GPUs of another at a higher price."""
PAIRS = {name for name in CHOICES if INSTANCE_TYPES[name].gpus > 1}
# fmt: off
QUESTIONS = [
    asked(Q8, 0.1, 500, 100, None, None, (1, "g4dn.12xlarge", None)),
    asked(Q8, 1, 1000, 200, 2, None, (1, "g4dn.12xlarge", None)),
    # A step of 1,024 tokens takes 46.8 ms to launch, so a pair takes in 20,000 tokens of prompts a second, of 16,000.
    asked(Q8, 8, 2000, 300, 2, 0.05, (1, "g7e.12xlarge", "fp8"), step="g4dn.12 g5.12 g6.12 g7.12"),
    asked(
        Q8,
        20,
        1024,
        256,
        1,
        0.1,
        (2, "g7.12xlarge", "fp8"),
        step="g4dn.12 g5.12 g6.12",
        times="g6e.12 g7e.12",
        prompts="g7.12",
    ),
    asked(
        Q8,
        100,
        1000,
        100,
        5,
        None,
        (4, "g7e.12xlarge", "fp8"),
        prompts="g4dn.12 g5.12 g5.48 g6.48 g6e.12 g7.12 g7.24 g7e.12 g7e.24",
        times="g6.12",
    ),
    asked(
        Q8,
        8,
        2000,
        300,
        2,
        0.02,
        # A step that reads 8.2 GB by two cards takes 2.3 ms at their memory's own speed, and about 5 with what runs.
        # Five servers have 1.6 requests a second each: prompts are in one step of a hundred where it takes 6.2 ms.
        (5, "g7e.12xlarge", "fp8"),
        times="g4dn.12 g5.12 g6.12 g6e.12 g7.12 g7e.12",
        step="g5.48 g6.48 g7.24 g7e.24 p4d.24",
    ),
    asked(L8, 40, 500, 50, 1, None, (2, "g6.12xlarge", "fp8"), prompts="g4dn.12 g5.12 g6.12"),
    asked(Q32, 0.1, 500, 100, None, None, (1, "g6.12xlarge", "fp8"), memory="g4dn.12"),
    asked(
        Q32,
        8,
        2000,
        300,
        2,
        0.15,
        (3, "g7e.12xlarge", "fp8"),
        memory="g4dn.12 g5.12 g5.48",
        step="g6.12 g6.48 g6e.12 g7.12 g7.24",
        times="g7e.12",
    ),
    asked(
        Q32,
        8,
        2000,
        300,
        2,
        0.05,
        # With a prompt a step takes 83 ms at least. So that only one step of a hundred has any, it takes 17.5 ms at
        # most in each of 14 servers: 32.8 GB by two cards are 9 ms at their memory's own speed, 16 with what runs.
        (14, "g7e.12xlarge", "fp8"),
        memory="g4dn.12 g5.12 g5.48",
        step="g6.48 g6e.48 g7.12 g7.24 g7.48 g7e.48 p4d.24 p4de.24",
        times="g6.12 g6e.12 g7e.12 g7e.24 p5.48",
    ),
    asked(Q32, 2, 1000, 300, 5, None, (2, "g6.12xlarge", "fp8"), memory="g4dn.12 g5.12", times="g6.12"),
    asked(
        Q32_8, 4, 1000, 300, 3, None, (1, "g7e.12xlarge", None), memory="g4dn.12", prompts="g5.12", times="g6.12 g7.12"
    ),
    asked(L70, 0.1, 500, 100, None, None, (1, "g7e.12xlarge", None), memory="g4dn.12 g5.12 g6.12 g7.12"),
    asked(
        L70,
        8,
        2000,
        300,
        2,
        0.2,
        (1, "p5.48xlarge", "fp8"),
        memory="g4dn.12 g5.12 g5.48 g6.12 g6.48 g7.12 g7.24 g7.48 p4d.24",
        step="g6e.12 g6e.48 g7e.12 g7e.24 g7e.48 p4de.24",
    ),
    asked(
        L70,
        2,
        2000,
        300,
        5,
        None,
        (2, "g7e.12xlarge", "fp8"),
        memory="g4dn.12 g5.12 g6.12 g7.12",
        times="g6e.12 g7e.12",
    ),
    asked(A3B, 0.1, 500, 100, None, None, (1, "g6.12xlarge", "fp8"), memory="g4dn.12"),
    asked(A3B, 10, 1000, 300, 2, 0.1, (1, "g7.12xlarge", "fp8"), memory="g4dn.12 g5.12", times="g6.12"),
    asked(OSS20, 0.1, 500, 100, None, None, (1, "g6.12xlarge", None), kernels="g4dn.12"),
    asked(OSS120, 5, 2000, 500, 3, 0.2, (1, "g7e.12xlarge", None), memory="g4dn.12 g5.12 g6.12 g7.12"),
    asked(
        Q235,
        4,
        2000,
        300,
        3,
        0.3,
        (1, "p5en.48xlarge", None),
        memory="g4dn.12 g5.12 g5.48 g6.12 g6.48 g6e.12 g6e.48 g7.12 g7.24 g7.48 g7e.12 g7e.24 g7e.48 p4d.24 p4de.24 p5.48",  # noqa: E501
    ),
]
# fmt: on


def answer(question: Question, sizes: Sequence[int] = (2,), types: Iterable[InstanceType] = OFFERED) -> Answer:
    shape = catalog_shape(question.model)
    tried = (None,) if shape.quantization else (None, "fp8")
    shapes = [(one, with_quantization(shape, one), of_model(MEASUREMENTS, question.model, one)) for one in tried]
    request = question.prompt + question.answer
    return fleets(
        shapes,
        Serving(gpu_memory_utilization=None, max_model_len=max(4096, 2 * request)),
        Demand(
            rate=question.rate,
            load=Load(prompt_tokens=question.prompt, answer_tokens=question.answer),
            first_token=question.first,
            between_tokens=question.between,
        ),
        types,
        sizes,
    )


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: f"{one.model} {one.rate:g} {one.prompt} {one.between}")
def test_the_cheapest_is_the_one_that_is_known(question: Question) -> None:
    found = answer(question)
    first = found.fleets[0] if found.fleets else None
    assert (first and (first.needed, first.way.instance_type.name, first.way.quantization)) == question.expected
    assert {name for name in PAIRS if hosts_for_less(question, name)} == set(question.cheaper)
    for name, why in question.cheaper.items():
        assert why_not(question, INSTANCE_TYPES[name], hosts_for_less(question, name)) in (why, None), name


ANY_SIZE = [
    # 70.6 GB in FP8 is more than one card below 96 GB holds, and two hosts of one such card are the cheapest of all.
    (
        asked(*(L70, 0.1, 500, 100, None, None, (1, "g7e.2xlarge", "fp8")), memory="g4dn. g5. g6. g6e. g7.2"),
        1,
    ),
    # 235 GB on four cards of 96 GB; neither on two of these, nor on eight of 24 or four of 48.
    (
        asked(
            *(Q235, 0.1, 500, 100, None, None, (1, "g7e.24xlarge", None)),
            memory="g4dn. g5. g6. g6e. g7.2 g7e.2 p5.4 g4dn.12 g5.12 g5.48 g6.12 g6.48 g6e.12 g7.12 g7.24 g7e.12",
        ),
        4,
    ),
    # Servers of a card each do not wait for a link over PCIe; one host of one is too few.
    (
        asked(
            *(Q8, 8, 2000, 300, 2, 0.05, (2, "g7e.2xlarge", "fp8")),
            step="g5. g6. g6e. g7.2 g6.12",
            memory="g4dn.",
            memory_step="g4dn.12",
            times="g7e.2",
        ),
        1,
    ),
    # 20,000 tokens of prompts a second are 320 TFLOP: more than one L40S or five A10G have, less than six L4's 46 each
    # leave time for.
    (
        asked(
            *(L8, 40, 500, 50, 1, None, (2, "g6e.xlarge", "fp8")), memory="g4dn.", prompts="g5. g6e. g7.2", times="g6."
        ),
        1,
    ),
]


@pytest.mark.parametrize(("question", "tp"), ANY_SIZE, ids=lambda value: getattr(value, "model", value))
def test_without_a_size_all_four_are_tried(question: Question, tp: int) -> None:
    first = answer(question, SIZES).fleets[0]
    assert (first.needed, first.way.instance_type.name, first.way.quantization) == question.expected
    assert first.way.sizing.serving.tensor_parallel_size == tp
    assert {name for name in CHOICES if hosts_for_less(question, name)} == set(question.cheaper)
    for name, why in question.cheaper.items():
        kind = INSTANCE_TYPES[name]
        for tried in (size for size in SIZES if size <= kind.gpus):
            found = why_not(question, kind, hosts_for_less(question, name), tried)
            assert found in (*why.split("_"), None), (name, tried)


def test_many_small_servers_carry_a_load_for_which_fewer_large_ones_are_too_few() -> None:
    """200 answers of 256 tokens are 51,200 tokens a second. Four servers of one host with eight H200 pass on 11,000
    each at most (9,158 were measured); eight make 42,440 in bf16, as measured, and more in FP8."""
    question, h200 = Question(Q8, 200, 1024, 256, None, None, None, {}), [INSTANCE_TYPES["p5en.48xlarge"]]
    found = {tp: [fleet.needed for fleet in answer(question, (tp,), h200).fleets] for tp in (1, 2)}
    assert found == {1: [1, 2], 2: [2, 2]}
    best = answer(question, SIZES, h200).fleets[0]
    assert (best.needed, best.way.quantization, best.way.sizing.serving.tensor_parallel_size) == (1, "fp8", 1)


def test_among_equals_a_stacks_default_is_kept() -> None:
    fleet = answer(QUESTIONS[0], SIZES, [INSTANCE_TYPES["g4dn.12xlarge"]]).fleets[0]
    assert (fleet.needed, fleet.way.sizing.serving.tensor_parallel_size) == (1, 2)


def hosts_for_less(question: Question, name: str) -> int:
    """Of this type, without the spare one, for less than the answer costs; all that a stack has where there is none."""
    if question.expected is None:
        return MOST_HOSTS
    needed, best, _ = question.expected
    usd = (needed + 1) * INSTANCE_TYPES[best].usd_per_hour
    return max(0, math.ceil(usd / INSTANCE_TYPES[name].usd_per_hour - 1e-9) - 2)


def why_not(question: Question, instance_type: InstanceType, hosts: int, tp: int = 2) -> str | None:
    """By arithmetic with the makers' figures, in the smallest format that is tried; None where it does not tell."""
    billions, active, bytes_each, layers, width = MODELS[question.model]
    gpu, rates = gpu_of(instance_type)
    eight = instance_type.compute_capability >= 8.9 and bytes_each >= 1
    if billions * 1e9 * (1 if eight else bytes_each) / tp > gpu.mib * 2**20:
        return "memory"
    flops = 1e12 * (rates.fp8_tflops * rates.fp8_share if eight else rates.bf16_tflops * rates.bf16_share)
    token = 2 / tp * active * 1e9 / flops
    if tp > 1:
        token += 8 * (tp - 1) / tp * layers * width / (rates.link_gbps[{2: 0, 4: 1, 8: 2}[tp]] * 1e9)
    a_step = active * 1e9 * (1 if eight else bytes_each) / tp / (rates.bandwidth_gbps * 1e9)
    if question.between and question.rate / (hosts * instance_type.servers(tp)) * a_step > 0.01:
        if 1024 * token > question.between:
            return "step"
        if 0.0013 * layers > question.between:
            return "launch"
    busy = question.rate * question.prompt * token / (hosts * instance_type.servers(tp))
    return "prompts" if busy > 1 else None


def test_a_fleet_keeps_its_promise_without_the_spare_host_and_no_smaller_one_does() -> None:
    for question in QUESTIONS[2:5]:
        for fleet in answer(question).fleets:
            half, same, twice = fleet.given
            assert fleet.hosts == fleet.needed + 1 == same.hosts
            assert half.kept
            assert same.kept
            assert (half.hosts or 0) <= fleet.hosts <= (twice.hosts or MOST_HOSTS)
            fewer = fleet.way.latency(fleet.needed - 1, fleet.demand.rate) if fleet.needed > 1 else None
            assert fewer is None or not fleet.demand.kept(fewer)


def test_the_price_is_shared_out_to_prompts_and_answers() -> None:
    fleet = answer(QUESTIONS[2]).fleets[0]
    prompt, answers = fleet.usd_per_million()
    tokens = fleet.demand.rate * 3600 / 1e6
    assert prompt * tokens * 2000 + answers * tokens * 300 == pytest.approx(fleet.usd_per_hour)
    assert answers > 5 * prompt


def test_spot_is_a_fleet_of_its_own_where_its_price_is_known() -> None:
    """Question 3 is won by g7e.12xlarge; spot hosts of a type that needs as many win at any price below."""
    question = QUESTIONS[2]
    shapes = [("fp8", with_quantization(catalog_shape(question.model), "fp8"), ())]
    serving = Serving(gpu_memory_utilization=None, max_model_len=4600)
    demand = Demand(
        rate=question.rate, load=Load(prompt_tokens=2000, answer_tokens=300), first_token=2, between_tokens=0.05
    )
    types = [INSTANCE_TYPES["g7e.12xlarge"], INSTANCE_TYPES["p5.48xlarge"]]
    alone = fleets(shapes, serving, demand, types, (2,)).fleets
    assert [(one.way.instance_type.name, one.spot_usd) for one in alone] == [(one.name, None) for one in types]
    both = fleets(shapes, serving, demand, types, (2,), {"p5.48xlarge": 5.0}).fleets
    assert [(one.way.instance_type.name, one.spot_usd) for one in both] == [
        ("p5.48xlarge", 5.0),
        ("g7e.12xlarge", None),
        ("p5.48xlarge", None),
    ]
    spot, _, demanded = both
    assert (spot.needed, spot.usd_per_hour) == (demanded.needed, 5.0 * spot.hosts)
    assert spot.usd_per_million()[0] == pytest.approx(demanded.usd_per_million()[0] * 5.0 / 55.04)


def test_of_types_with_the_same_gpus_the_cheapest_is_named() -> None:
    types = [INSTANCE_TYPES[name] for name in ("g6.24xlarge", "g6.12xlarge")]
    assert [one.way.instance_type.name for one in answer(QUESTIONS[0], (2,), types).fleets] == ["g6.12xlarge"] * 2
    spot = fleets(
        [(None, catalog_shape(Q8), ())],
        Serving(gpu_memory_utilization=None, max_model_len=4096),
        Demand(rate=0.1, load=Load()),
        types,
        (2,),
        {"g6.24xlarge": 1.0, "g6.12xlarge": 1.1},
    ).fleets
    assert [(one.way.instance_type.name, one.spot_usd) for one in spot] == [("g6.24xlarge", 1.0), ("g6.12xlarge", None)]


def test_types_that_a_stack_cannot_place_are_not_in_the_list() -> None:
    odd = replace(INSTANCE_TYPES["g7e.12xlarge"], name="one.gpu", gpus=1)
    demand = Demand(rate=1, load=Load())
    found = fleets([(None, catalog_shape(Q8), ())], Serving(gpu_memory_utilization=None), demand, [odd], (2,))
    assert found.fleets == ()
    assert [lack.why for lack in found.missing] == ["its GPUs are 1, in no whole groups of 2"]


def test_times_that_were_measured_are_stated_as_such() -> None:
    """Two H200 had 0.14 to 0.18 s and 61 to 64 ms at 10.7 requests a second, 0.20 to 0.53 s and 67 to 73 ms at 21.5."""
    question = Question(Q8, 4 * 15, 1024, 256, None, None, None, {})
    fleet = next(one for one in answer(question).fleets if one.way.instance_type.name == "p5en.48xlarge")
    now = fleet.way.latency(1, question.rate)
    assert now is not None
    assert now.measured
    assert 0.14 < now.first_token < 0.3
    assert 0.061 < now.between_tokens < 0.073
    above = fleet.way.latency(1, 4 * 33)
    assert above is not None
    assert not above.measured
    assert above.first_token > 0.6  # 0.50 to 0.93 s at 32.2
