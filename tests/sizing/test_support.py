"""What vLLM serves on which GPU, memory aside."""

from __future__ import annotations

from typing import Any

import pytest

from tandem.sizing.memory import size
from tandem.sizing.reading import read_shape
from tandem.sizing.serving import Gpu, Serving, default_batch
from tandem.sizing.support import Support, support
from tests.sizing import configs

T4, A100, L4, H200, RTX = (
    Gpu(mib=14909, compute_capability=7.5, name="T4"),
    Gpu(mib=81039, compute_capability=8.0, name="A100"),
    Gpu(mib=22559, compute_capability=8.9, name="L4"),
    Gpu(mib=143156, compute_capability=9.0, name="H200"),
    Gpu(mib=97239, compute_capability=12.0, name="RTX PRO 6000"),
)
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}


def checked(config: dict[str, Any], gpu: Gpu = H200, **serving: Any) -> Support:
    return support(size(read_shape(config), Serving(**{"tensor_parallel_size": 1, **serving}), gpu))


def keys(found: Support) -> list[str]:
    return [problem.key for problem in found.problems]


@pytest.mark.parametrize(
    ("config", "tp", "words"),
    [
        (configs.llama(num_attention_heads=20, num_key_value_heads=20), 8, "num_attention_heads, which is 20"),
        (configs.llama(num_attention_heads=24, num_key_value_heads=6), 4, "num_key_value_heads, which is 6"),
        (configs.llama(intermediate_size=4100), 8, "intermediate_size, which is 4100"),
        (configs.experts(moe_intermediate_size=500), 8, "moe_intermediate_size, which is 500"),
        (configs.hybrid(linear_num_key_heads=4), 8, "linear_num_key_heads, which is 4"),
        (configs.llama(), 3, "num_attention_heads, which is 16"),
    ],
)
def test_parallel_sizes_that_do_not_divide(config: dict[str, Any], tp: int, words: str) -> None:
    found = checked(config, tensor_parallel_size=tp)
    assert set(keys(found)) == {"--tensor-parallel-size"}
    assert any(words in problem.wrong for problem in found.problems)
    assert found.problems[0].fix.startswith("use --tensor-parallel-size ")


@pytest.mark.parametrize(("heads", "tp"), [(1, 8), (2, 8), (4, 2)])
def test_key_value_heads_may_be_copied(heads: int, tp: int) -> None:
    assert not checked(configs.llama(num_key_value_heads=heads), tensor_parallel_size=tp).problems


@pytest.mark.parametrize(
    ("config", "tp", "fits"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 4, True),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8, False),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, 8, False),
        ({"quant_method": "gptq", "bits": 4, "group_size": -1}, 8, True),
        ({"quant_method": "fp8"}, 8, True),
    ],
)
def test_splitting_must_not_cut_through_groups(config: dict[str, Any], tp: int, fits: bool) -> None:
    found = checked(configs.llama(intermediate_size=1536, quantization_config=config), tensor_parallel_size=tp)
    assert (not found.problems) is fits


def test_more_stages_than_layers() -> None:
    assert keys(checked(configs.llama(), pipeline_parallel_size=3)) == ["--pipeline-parallel-size"]


def test_a_replica_over_two_hosts_is_refused_with_the_reason() -> None:
    found = checked(configs.llama(), pipeline_parallel_size=2, hosts=2)
    assert keys(found) == ["--pipeline-parallel-size"]
    assert "an Auto Scaling group starts and replaces hosts one by one" in found.problems[0].wrong


@pytest.mark.parametrize(
    ("config", "gpu", "expected"),
    [
        (configs.llama(), T4, []),
        (configs.windows(), T4, ["dtype"]),
        (configs.llama(), Gpu(mib=16384, compute_capability=7.0), ["compute capability"]),
        (configs.experts(quantization_config={"quant_method": "mxfp4"}), T4, ["--quantization"]),
        (configs.experts(quantization_config={"quant_method": "mxfp4"}), A100, []),
        *(
            (configs.llama(quantization_config={"quant_method": "modelopt", "quant_algo": algorithm}), gpu, keys)
            for algorithm in ("FP8", "MXFP8")
            for gpu, keys in ((T4, ["--quantization"]), (A100, []))
        ),
        (configs.llama(quantization_config={"quant_method": "fp8", "activation_scheme": "dynamic"}), T4, []),
    ],
)
def test_dtype_against_compute_capability(config: dict[str, Any], gpu: Gpu, expected: list[str]) -> None:
    assert keys(checked(config, gpu)) == expected


@pytest.mark.parametrize(
    ("gpu", "dtype", "expected"),
    [(T4, "fp8", ["--kv-cache-dtype"]), (L4, "fp8", []), (L4, "int3", ["--kv-cache-dtype"])],
)
def test_cache_dtypes(gpu: Gpu, dtype: str, expected: list[str]) -> None:
    assert keys(checked(configs.llama(), gpu, kv_cache_dtype=dtype)) == expected


@pytest.mark.parametrize(
    ("config", "gpu", "serving", "words"),
    [
        (configs.llama(), T4, {}, "in float16"),
        (configs.llama(quantization_config={"quant_method": "fp8"}), A100, {}, "no FP8 units"),
        (
            configs.llama(quantization_config={"quant_method": "modelopt", "quant_algo": "NVFP4"}),
            H200,
            {},
            "no FP4 units",
        ),
        (configs.llama(), A100, {"kv_cache_dtype": "fp8"}, "needs FlashInfer"),
        (configs.llama(), RTX, {"tensor_parallel_size": 2}, "vllm issue 51513"),
        (configs.llama(), H200, {"tensor_parallel_size": 8}, "adds no KV-cache tokens"),
    ],
)
def test_surprises(config: dict[str, Any], gpu: Gpu, serving: dict[str, Any], words: str) -> None:
    found = checked(config, gpu, **serving)
    assert not found.problems
    assert any(words in warning for warning in found.warnings)


def test_nothing_to_say_about_a_plain_model_on_a_plain_gpu() -> None:
    assert checked(configs.llama(), L4) == Support((), ())


@pytest.mark.parametrize(
    ("serving", "key"),
    [
        ({"max_model_len": 4097}, "--max-model-len"),
        ({"max_num_seqs": 256, "max_num_batched_tokens": 128}, "--max-num-batched-tokens"),
    ],
)
def test_limits_that_vllm_refuses(serving: dict[str, Any], key: str) -> None:
    assert keys(checked(configs.llama(), **serving)) == [key]


@pytest.mark.parametrize(
    ("gpu", "batch"),
    [
        (L4, (256, 2048)),
        (A100, (256, 2048)),
        (Gpu(mib=81039, compute_capability=9.0), (1024, 8192)),
        (H200, (1024, 8192)),
        (Gpu(mib=182630, compute_capability=10.0), (1024, 16384)),
    ],
)
def test_vllms_own_batch(gpu: Gpu, batch: tuple[int, int]) -> None:
    assert default_batch(gpu) == batch
