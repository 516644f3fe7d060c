"""Memory of LoRA adapters. tests/real/test_shapes.py holds the sums against vLLM's own layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tandem.sizing.adapters import RANKS, adapter_bytes, reserved_rank
from tandem.sizing.fits import verdict
from tandem.sizing.known import catalog_shape
from tandem.sizing.memory import size
from tandem.sizing.plan import Plan, plan
from tandem.sizing.serving import Gpu, Serving
from tandem.sizing.units import MIB

L4, H200 = Gpu(mib=22559, compute_capability=8.9, name="L4"), Gpu(mib=143156, compute_capability=9.0, name="H200")
QWEN = catalog_shape("Qwen/Qwen3-8B")


def planned(model: str = "Qwen/Qwen3-8B", **more: Any) -> Plan:
    return plan(model=model, instance_types=["g6.12xlarge"], max_model_len=8192, **more)


def test_qwen_8b_as_vllm_s_own_layers_reserve_it() -> None:
    """Two of rank 16, in bytes, as `LoRAModelManager` of 0.32.0 made them."""
    assert [adapter_bytes(QWEN, 2, 16, tp) for tp in (1, 2)] == [194_560_000, 140_296_192]


def test_each_slot_has_room_for_the_largest_rank_that_vllm_rounds_up_to() -> None:
    assert [reserved_rank(rank) for rank in (1, 2, 16, 17, 512)] == [1, 8, 16, 32, 512]
    one = adapter_bytes(QWEN, 1, 16, 2)
    assert adapter_bytes(QWEN, 3, 9, 2) == 3 * one
    assert adapter_bytes(QWEN, 1, 33, 2) == 4 * one
    assert adapter_bytes(QWEN, 0, RANKS[-1], 2) == 0


def test_stages_of_a_pipeline_share_them() -> None:
    stages = [adapter_bytes(QWEN, 2, 16, 2, 2, stage) for stage in (0, 1)]
    assert sum(stages) == adapter_bytes(QWEN, 2, 16, 2)


def test_what_they_take_is_gone_from_the_cache() -> None:
    plain, adapted = (size(QWEN, Serving(adapter_slots=slots, adapter_rank=64), L4) for slots in (0, 4))
    assert adapted.parts.weights == plain.parts.weights
    taken = plain.parts.kv_cache - adapted.parts.kv_cache
    layers = 36 * 11 * MIB
    assert taken == adapted.parts.adapters + layers > 1000 * MIB
    assert adapted.kv_cache_tokens < plain.kv_cache_tokens


def test_a_stack_whose_adapters_do_not_fit_is_refused_as_its_weights_would_be() -> None:
    assert planned().fits
    assert planned(adapter_slots=4, adapter_rank=16).fits
    (problem,) = planned(adapter_slots=32, adapter_rank=512).problems
    assert (problem.key, problem.wrong.count("GiB for 32 LoRA adapters at once")) == ("inference.model", 1)
    assert "a smaller inference.adaptersAtOnce" in problem.fix


def test_what_vllm_gives_no_adapters_is_refused() -> None:
    """By its class, or by its vocabulary."""
    kimi = plan(model="moonshotai/Kimi-K2.5", instance_types=["p5en.48xlarge"], adapter_slots=1, adapter_rank=8)
    assert [problem.key for problem in kimi.problems] == ["inference.adapters"]
    assert kimi.problems[0].value == "KimiK25ForConditionalGeneration"
    served = Serving(adapter_slots=1, adapter_rank=8)
    (problem,) = verdict(size(replace(QWEN, vocabulary=262_144), served, H200)).problems
    assert (problem.key, problem.value, problem.allowed) == ("--enable-lora", 262_144, "up to 258048")
    assert verdict(size(catalog_shape("google/gemma-4-26B-A4B"), served, H200)).fits, "its head takes none"


def test_of_quantized_experts_a_start_must_tell() -> None:
    said = verdict(size(catalog_shape("Qwen/Qwen3-30B-A3B-FP8"), Serving(adapter_slots=1, adapter_rank=8), H200))
    assert any("quantized experts takes LoRA adapters" in warning for warning in said.warnings)
