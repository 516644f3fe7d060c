"""KV cache of vLLM's build for CPUs, which tests and laptops run: its size is given, so nothing has to be estimated.

Rules: `vllm/platforms/cpu.py` of 0.32.0. Each worker of tensor parallelism gets the whole of VLLM_CPU_KVCACHE_SPACE.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.errors import UserError
from tandem.sizing.kv_cache import kv_layout
from tandem.sizing.releases import PINNED
from tandem.sizing.serving import Serving
from tandem.sizing.shapes import Attention, ModelShape
from tandem.sizing.units import GIB

CPU_BLOCK_TOKENS = 128
"""Eight times a GPU's block, unless `--block-size` says otherwise."""


@dataclass(frozen=True, kw_only=True)
class CpuCache:
    """What one worker keeps.

    Attributes:
        kv_cache_tokens: vLLM's `CPU KV cache size`.
        max_concurrency: requests of the longest length at once.
    """

    kv_cache_gib: int
    kv_cache_tokens: int
    max_concurrency: float
    max_model_len: int


def cpu_cache(shape: ModelShape, serving: Serving, space_gib: int) -> CpuCache:
    """Sizes the KV cache of a CPU server.

    Args:
        space_gib: VLLM_CPU_KVCACHE_SPACE.

    Raises:
        UserError: a model whose layers are not all plain attention over the whole context.
    """
    plain = all(isinstance(layer.mixer, Attention) and layer.mixer.window is None for layer in shape.distinct)
    layout = kv_layout(shape, serving, PINNED, block_tokens=CPU_BLOCK_TOKENS) if plain else None
    if layout is None:
        raise UserError.of(
            key="--cpu-kvcache-space",
            wrong="blocks of a CPU server are known for plain attention only",
            value=shape.architecture,
            allowed="a model whose layers all look back over the whole context",
            fix="size it for a GPU, with --gpu-mib or --instance-type",
        )
    length = serving.max_model_len or shape.max_positions
    memory = space_gib * GIB
    return CpuCache(
        kv_cache_gib=space_gib,
        kv_cache_tokens=layout.tokens(memory, length, 0),
        max_concurrency=layout.concurrency(memory, length, 0),
        max_model_len=length,
    )
