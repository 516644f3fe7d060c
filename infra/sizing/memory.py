"""Puts the parts together: what one GPU holds, how many KV-cache tokens that leaves, and what to set."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from infra.sizing.activation import Batch, activation
from infra.sizing.kv_cache import in_flight_tokens, kv_layout
from infra.sizing.overhead import context, driver_in_budget, graphs_in_budget, graphs_outside_budget, runner_buffers
from infra.sizing.releases import PINNED, Release
from infra.sizing.serving import Gpu, Serving, default_batch
from infra.sizing.shapes import ModelShape
from infra.sizing.units import GIB, MIB
from infra.sizing.weights import padded_vocabulary, weight_bytes

RESERVE = 256 * MIB
"""Left free on the card when a utilization is chosen. A server that was ready took up to 167 MiB more than its parts
explain, and grew by 2 to 6 MiB under load, in one run by 450 MiB that the allocator could have given back."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Bytes on one GPU.

    Attributes:
        budget: utilization x memory, which vLLM shares out.
        weights, activation, graphs, buffers, driver: taken out of the budget.
        context: there before the budget is taken.
        outside: comes on top of the budget once the server is ready.
        sampling: transient, beyond the profiled peak, when requests ask for penalties or top-p.
    """

    budget: int
    weights: int
    activation: int
    graphs: int
    buffers: int
    driver: int
    context: int
    outside: int
    sampling: int

    @property
    def overhead(self) -> int:
        """Taken out of the budget beside weights and KV cache."""
        return self.activation + self.graphs + self.buffers + self.driver

    @property
    def kv_cache(self) -> int:
        """Left for KV cache; negative when nothing is left."""
        return self.budget - self.weights - self.overhead

    @property
    def beyond_budget(self) -> int:
        """What a running server takes beyond its budget, at most."""
        return self.context + self.outside + self.sampling


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """One model on one kind of GPU, with figures of the GPU that holds most.

    Attributes:
        kv_cache_tokens: vLLM's `GPU KV cache size`; 0 when nothing is left.
        max_concurrency: requests of max_model_len tokens at once.
        longest_request: `--max-model-len` that fits, up to the model's own.
        safe_utilization: the highest `--gpu-memory-utilization` with which a running server stays on the card.
    """

    shape: ModelShape
    serving: Serving
    gpu: Gpu
    release: Release
    batch: Batch
    parts: Parts
    kv_cache_tokens: int
    max_concurrency: float
    longest_request: int
    safe_utilization: float

    @property
    def leaves_room(self) -> bool:
        """One request of max_model_len fits into the KV cache."""
        return self.longest_request >= self.batch.length

    @property
    def stays_on_card(self) -> bool:
        """Budget and what comes beyond it are no more than the card has."""
        return self.serving.gpu_memory_utilization <= self.safe_utilization


def size(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release = PINNED) -> Sizing:
    """Sizes one replica. Does not ask whether vLLM serves this model on this GPU: see `infra.sizing.support`.

    Args:
        serving: with its utilization; `highest_utilization` chooses one.
        release: whose way of counting.
    """
    requests, tokens = default_batch(gpu)
    batch = Batch(
        requests=serving.max_num_seqs or requests,
        tokens=serving.max_num_batched_tokens or tokens,
        length=serving.max_model_len or shape.max_positions,
    )
    in_flight = in_flight_tokens(batch.tokens, serving, release)
    sizings = []
    for stage in range(serving.pipeline_parallel_size):
        parts = _parts(shape, serving, gpu, release, batch, stage)
        layout = kv_layout(shape, serving, release, stage)
        memory = max(0, parts.kv_cache)
        limit = max(shape.max_positions, batch.length)
        sizings.append(
            Sizing(
                shape=shape,
                serving=serving,
                gpu=gpu,
                release=release,
                batch=batch,
                parts=parts,
                kv_cache_tokens=layout.tokens(memory, batch.length, in_flight) if layout else 0,
                max_concurrency=layout.concurrency(memory, batch.length, in_flight) if layout else math.inf,
                longest_request=layout.longest_request(memory, limit, in_flight) if layout else limit,
                safe_utilization=_safe_utilization(gpu, parts),
            )
        )
    return min(sizings, key=lambda sizing: sizing.max_concurrency)


def highest_utilization(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release = PINNED) -> Serving:
    """The same settings with the highest utilization that stays on the card."""
    return replace(serving, gpu_memory_utilization=size(shape, serving, gpu, release).safe_utilization)


def _parts(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release, batch: Batch, stage: int) -> Parts:
    tp, stages = serving.tensor_parallel_size, serving.pipeline_parallel_size
    weights = weight_bytes(shape, tp, gpu.compute_capability, stages, stage)
    if serving.speculation and serving.speculation.draft:
        weights += weight_bytes(serving.speculation.draft, tp, gpu.compute_capability)
    profiled = activation(shape, serving, gpu, release, batch)
    buffers = runner_buffers(shape, release, batch)
    full_logits = min(batch.requests, batch.tokens) * padded_vocabulary(shape.vocabulary) * 4
    return Parts(
        budget=math.ceil(gpu.total_bytes * serving.gpu_memory_utilization),
        weights=weights,
        activation=profiled.peak,
        graphs=graphs_in_budget(shape, serving, gpu, release, batch),
        buffers=buffers + _unfilled_segments(shape) if release.counts_everything else 0,
        driver=driver_in_budget(shape, serving, release),
        context=context(shape, serving, release),
        outside=graphs_outside_budget(shape, serving, gpu, release, batch)
        + (0 if release.counts_everything else buffers),
        sampling=max(0, 2 * full_logits - (profiled.peak - profiled.kept)),
    )


def _unfilled_segments(shape: ModelShape) -> int:
    """Parts of the allocator's segments that hold no tensor; 0.32 counts them (4 to 97 MiB measured)."""
    return (16 + (2 * len(shape.layers) if shape.is_mixture_of_experts else 0)) * MIB


def _safe_utilization(gpu: Gpu, parts: Parts) -> float:
    """Rounded down to three digits; vLLM takes no more than 1."""
    free = gpu.total_bytes - parts.beyond_budget - RESERVE
    return max(0.0, math.floor(free / gpu.total_bytes * 1000) / 1000)


def gib(amount: int) -> float:
    """GiB with four digits, as measurements are written."""
    return round(amount / GIB, 4)
