"""How a model is served, and on which GPU: the inputs of sizing beside the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tandem.sizing.units import MIB

if TYPE_CHECKING:
    from tandem.sizing.drafts import Draft

DEFAULT_UTILIZATION = 0.92
"""vLLM's own `--gpu-memory-utilization`."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU.

    Attributes:
        mib: memory in MiB as torch sees it, which is 2 to 3 % below what the vendor and AWS write.
        compute_capability: 8.9 is Ada, 9.0 Hopper, 10.0 and 12.0 Blackwell.
        l2_mib: L2 cache, which torch.compile flushes with a buffer of its size when it times kernels.
        multiprocessors: SMs; the old sampler has a buffer for each.
    """

    mib: float
    compute_capability: float
    name: str = ""
    l2_mib: int = 60
    multiprocessors: int = 132

    @property
    def total_bytes(self) -> int:
        """Memory in bytes."""
        return int(self.mib * MIB)

    @property
    def matrix_workspace(self) -> int:
        """Bytes that cuBLAS keeps (`CublasHandlePool.cpp` of torch: 32 MiB on Hopper and B200, else 8.1)."""
        return 32 * MIB if self.compute_capability in (9.0, 10.0) else 8 * MIB + 128 * 1024


@dataclass(frozen=True, kw_only=True)
class Speculation:
    """Speculative decoding: a draft proposes tokens, the model checks them together.

    Attributes:
        tokens: proposed in one step.
        draft: what proposes them; None for n-gram lookup, which keeps no weights on the GPU.
        up_to_requests: nothing is proposed in steps of more; None where there is no such bound.
    """

    tokens: int
    draft: Draft | None = None
    up_to_requests: int | None = None

    def rows(self, requests: int) -> int:
        """Tokens that the sampler looks at in a step at most, where so many requests run."""
        return max(requests, min(requests, self.up_to_requests or requests) * (1 + self.tokens))


@dataclass(frozen=True, kw_only=True)
class Serving:
    """vLLM's settings that change memory. Names are vLLM's flags.

    Attributes:
        gpu_memory_utilization: None for the highest that stays on the card.
        max_model_len: None for the model's own.
        max_num_seqs: None for vLLM's own, which depends on the GPU.
        max_num_batched_tokens: the same.
        kv_cache_dtype: auto, or fp8 (also fp8_e4m3, fp8_e5m2).
        prefix_caching: costs nothing, but for a second state in hybrid models.
        adapter_slots: LoRA adapters of one batch (`--max-loras`); 0 for none.
        adapter_rank: the largest of theirs.
        hosts: that one replica spans; more than one for pipeline parallelism only.
    """

    tensor_parallel_size: int = 2
    pipeline_parallel_size: int = 1
    gpu_memory_utilization: float | None = DEFAULT_UTILIZATION
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_dtype: str = "auto"
    enforce_eager: bool = False
    prefix_caching: bool = True
    speculation: Speculation | None = None
    adapter_slots: int = 0
    adapter_rank: int = 0
    hosts: int = 1


def default_batch(gpu: Gpu) -> tuple[int, int]:
    """vLLM's own `--max-num-seqs` and `--max-num-batched-tokens` of an API server on this GPU.

    Source: `get_batch_defaults` in `vllm/engine/arg_utils.py`; the A100 is left out of the larger ones by name.
    """
    gib = gpu.mib / 1024
    if gib >= 160:
        return 1024, 16384
    if gib >= 70 and gpu.compute_capability != 8.0:
        return 1024, 8192
    return 256, 2048


def batch_limits(gpu: Gpu, max_num_seqs: int | None, max_num_batched_tokens: int | None) -> tuple[int, int]:
    """Requests and tokens of a step, vLLM's own where unset; requests that are unset are no more than the tokens."""
    requests, tokens = default_batch(gpu)
    tokens = max_num_batched_tokens or tokens
    return max_num_seqs or min(requests, tokens), tokens
