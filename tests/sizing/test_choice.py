"""The table of instance types, its estimates, its speed, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tandem.catalog.gpus import GPU_MODELS
from tandem.catalog.instances import INSTANCE_TYPES, OFFERED
from tandem.sizing.choice import Candidate, candidate, candidates, cheapest, fitting
from tandem.sizing.gpus import gpu_of
from tandem.sizing.known import catalog_shape
from tandem.sizing.reading import read_shape
from tandem.sizing.serving import Serving
from tandem.sizing.throughput import ALL_REDUCE_SECONDS, Load
from tests.sizing import configs

EIGHT_B = "meta-llama/Llama-3.1-8B-Instruct"
ANSWERS_ALONE = Load(prompt_tokens=1, answer_tokens=4094)
"""Contexts of 2048 tokens, and next to no prompts."""
CHOOSE = Serving(gpu_memory_utilization=None, max_model_len=8192)


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


def on(model: str, instance_type: str, tp: int, requests: int | None = None) -> Candidate:
    serving = Serving(tensor_parallel_size=tp, max_model_len=8192, gpu_memory_utilization=None)
    return candidate(catalog_shape(model), serving, INSTANCE_TYPES[instance_type], requests=requests)


def row_of(rows: list[Candidate], name: str) -> Candidate:
    return next(row for row in rows if row.name == name)


def test_of_each_instance_type_it_is_known_what_joins_its_gpus() -> None:
    """NVSwitch joins eight; a single one has nobody to read from."""
    for one in INSTANCE_TYPES.values():
        assert one.nvswitch == (one.gpus == 8 and one.name.startswith("p"))
        assert one.nvswitch <= GPU_MODELS[one.gpu, one.gpu_mib].nvlink
        assert one.gpus > 1 or one.peer_to_peer == "none"
        assert one.efa <= one.network_gbps / 12.5


def test_every_instance_type_has_its_gpu() -> None:
    for instance_type in INSTANCE_TYPES.values():
        gpu, model = gpu_of(instance_type)
        assert model is GPU_MODELS[instance_type.gpu, instance_type.gpu_mib]
        # torch sees less than AWS writes, and never less than nine tenths
        assert 0.88 * instance_type.gpu_mib < gpu.mib < instance_type.gpu_mib


def test_rows_are_all_types_with_all_sizes_they_have_gpus_for() -> None:
    rows = candidates(catalog_shape(EIGHT_B), CHOOSE)
    assert len(rows) == sum(len([tp for tp in (1, 2, 4, 8) if tp <= one.gpus]) for one in OFFERED)
    prices = [row.usd_per_million_tokens for row in rows]
    assert prices == sorted(prices)


def test_a_host_runs_as_many_replicas_as_it_has_gpus_for() -> None:
    rows = candidates(catalog_shape(EIGHT_B), CHOOSE)
    assert [row_of(rows, f"g6.12xlarge TP={tp}").replicas for tp in (1, 2, 4)] == [4, 2, 1]


def test_the_utilization_is_chosen_for_each_card() -> None:
    rows = candidates(catalog_shape(EIGHT_B), CHOOSE)
    assert row_of(rows, "g6.12xlarge TP=2").sizing.utilization == 0.959
    assert row_of(rows, "p5en.48xlarge TP=2").sizing.utilization == 0.97


@pytest.mark.parametrize(("concurrency", "left"), [(1, True), (30, True), (60, False)])
def test_a_host_must_hold_the_requests_that_are_asked_for(concurrency: int, left: bool) -> None:
    """Two replicas on g6.12xlarge hold 23 requests of 8192 tokens each."""
    rows = fitting(candidates(catalog_shape(EIGHT_B), CHOOSE), concurrency)
    assert any(row.name == "g6.12xlarge TP=2" for row in rows) is left


def test_the_cheapest_that_works() -> None:
    serving = Serving(gpu_memory_utilization=None, max_model_len=8192)
    rows = [row for row in candidates(catalog_shape("Qwen/Qwen3-32B"), serving) if row.tensor_parallel_size == 2]
    best = cheapest(rows)
    assert best is not None
    assert best.instance_type.name == "g7e.12xlarge"
    assert cheapest([]) is None


def test_one_request_is_bound_by_memory_bandwidth() -> None:
    """An 8B model in bf16 on an L4: 15.0 GiB less the embedding, and 2048 tokens of cache, at 300 GB/s."""
    row = candidate(
        catalog_shape(EIGHT_B),
        Serving(tensor_parallel_size=1, max_model_len=8192),
        INSTANCE_TYPES["g6.12xlarge"],
        requests=1,
        load=ANSWERS_ALONE,
    )
    read = 2 * (8030261248 - 128256 * 4096) + 2048 * 131072
    assert row.throughput.bound == "memory"
    assert row.throughput.limit_tokens_per_second == pytest.approx(300e9 / read, rel=0.01)
    assert row.throughput.tokens_per_second == pytest.approx(0.75 * 300e9 / read, rel=0.01)


def test_prompts_take_the_arithmetic_of_their_tokens() -> None:
    """70B in FP8 on a pair of H200: 4 tokens of a prompt for each of an answer."""
    row = on("meta-llama/Llama-3.3-70B-Instruct", "p5en.48xlarge", 2)
    assert row.throughput.bound == "prompts"
    longer = candidate(
        catalog_shape(EIGHT_B),
        CHOOSE,
        INSTANCE_TYPES["p5en.48xlarge"],
        load=Load(prompt_tokens=4096, answer_tokens=256),
    )
    shorter = candidate(catalog_shape(EIGHT_B), CHOOSE, INSTANCE_TYPES["p5en.48xlarge"])
    assert longer.throughput.tokens_per_second < shorter.throughput.tokens_per_second / 2


def test_all_reduces_add_to_every_step() -> None:
    shape = catalog_shape(EIGHT_B)
    one, two = (
        candidate(
            shape,
            Serving(tensor_parallel_size=tp),
            INSTANCE_TYPES["p5en.48xlarge"],
            requests=8 // tp,
            load=ANSWERS_ALONE,
        )
        for tp in (1, 2)
    )
    halved = 0.5 / one.throughput.limit_tokens_per_second
    added = 1 / two.throughput.limit_tokens_per_second - halved
    assert added == pytest.approx(64 * ALL_REDUCE_SECONDS, rel=0.02)


def test_a_batch_of_experts_reads_more_of_them() -> None:
    one, many = (on("Qwen/Qwen3-30B-A3B", "p5en.48xlarge", 2, requests=hosted) for hosted in (4, 4 * 64))
    assert one.throughput.tokens_per_second > 5 * many.throughput.tokens_per_second_each / 2
    assert many.throughput.tokens_per_second > one.throughput.tokens_per_second


def test_sizing_imports_no_torch_no_transformers_and_no_cloud() -> None:
    script = "import sys, tandem.sizing, tandem.sizing.fleet; print(' '.join(sys.modules))"
    assert not {"torch", "transformers", "pulumi", "boto3", "numpy", "requests"} & set(run(script).split())


def test_latent_attention_gains_no_tokens_from_more_gpus_but_room() -> None:
    shape = read_shape(configs.latent())
    one, two = (candidate(shape, Serving(tensor_parallel_size=tp), INSTANCE_TYPES["g6.12xlarge"]) for tp in (1, 2))
    assert one.sizing.layout == two.sizing.layout
