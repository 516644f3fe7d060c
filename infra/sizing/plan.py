"""What the settings of a stack mean for memory: refused, tight, or planned with figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.errors import Problem


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What sizing says about a stack.

    Attributes:
        sized: False when the model's shape is not known here; then nothing below is more than a default.
        problems: what makes the stack impossible; empty when it fits.
        warnings: what is tight or was not checked, one sentence each.
        gpu_memory_utilization: the value to give vLLM: the setting, or the highest that leaves room for what a running
            server takes outside its budget on the smallest GPU of the fleet.
        max_model_len: the longest request in tokens that is served, None when not sized.
        kv_cache_tokens: KV-cache tokens of one replica on the smallest GPU of the fleet, None when not sized.
        max_concurrency: requests of max_model_len tokens that fit at once, None when not sized.
    """

    sized: bool
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    gpu_memory_utilization: float
    max_model_len: int | None
    kv_cache_tokens: int | None
    max_concurrency: float | None

    @property
    def fits(self) -> bool:
        """Nothing makes the stack impossible."""
        return not self.problems


def plan(
    *,
    model: str,
    instance_types: Sequence[str],
    tensor_parallel_size: int = 2,
    pipeline_parallel_size: int = 1,
    quantization: str | None = None,
    kv_cache_dtype: str = "auto",
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    gpu_memory_utilization: float | None = None,
    enforce_eager: bool = False,
    config_path: Path | None = None,
) -> Plan:
    """Sizes one replica on the smallest GPU of the fleet. Pure but for reading config_path; needs no network.

    Args:
        model: id in the catalog of models, such as `Qwen/Qwen3-8B`; another one is not sized, with a warning.
        instance_types: names in the catalog of instance types; every one of them must fit.
        config_path: the model's `config.json`, for a model that the catalog lacks.
        others: as vLLM's flags of the same name; None means vLLM's own default on that GPU.
    """
    del instance_types, tensor_parallel_size, pipeline_parallel_size, quantization, kv_cache_dtype, max_num_seqs
    del max_num_batched_tokens, enforce_eager, config_path
    return Plan(
        sized=False,
        problems=(),
        warnings=(f"{model} was not sized",),
        gpu_memory_utilization=gpu_memory_utilization or 0.88,
        max_model_len=max_model_len,
        kv_cache_tokens=None,
        max_concurrency=None,
    )
