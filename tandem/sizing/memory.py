"""Puts the parts together: what one GPU holds, how many KV-cache tokens that leaves, and what to set."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from tandem.sizing.activation import Batch, activation
from tandem.sizing.adapters import adapter_bytes
from tandem.sizing.checkpoint import scale
from tandem.sizing.drafts import draft_bytes, state_bytes
from tandem.sizing.kv_cache import KvLayout, in_flight_tokens, kv_layout
from tandem.sizing.overhead import context, driver_in_budget, graphs_in_budget, outside_budget, runner_buffers
from tandem.sizing.releases import PINNED, Release
from tandem.sizing.serving import Gpu, Serving, batch_limits
from tandem.sizing.shapes import ModelShape
from tandem.sizing.units import GIB, MIB, divide_up
from tandem.sizing.weights import HOPPER, padded_vocabulary, weight_bytes

RESERVE = 256 * MIB
"""Left free on the card when a utilization is chosen. Under load servers grew by 2 to 6 MiB, in one run by 450 MiB that
the allocator could have given back."""
HIGHEST_UTILIZATION = 0.97
"""Chosen at most: exporters and other processes take a little of each card too."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Bytes on one GPU.

    Attributes:
        budget: utilization x memory, which vLLM shares out.
        weights, adapters, activation, graphs, buffers, driver: taken out of the budget.
        context: there before the budget is taken.
        outside: comes on top of the budget once the server is ready.
        sampling: transient, beyond the profiled peak, when requests ask for penalties or top-p.
    """

    budget: int
    weights: int
    adapters: int
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
        return self.budget - self.weights - self.adapters - self.overhead

    @property
    def beyond_budget(self) -> int:
        """What a running server takes beyond its budget, at most."""
        return self.context + self.outside + self.sampling


@dataclass(frozen=True, kw_only=True, eq=False)
class Sizing:
    """One model on one kind of GPU, with figures of the GPU that holds most.

    Attributes:
        layout: of the KV cache; None for a model that keeps nothing.
        utilization: `--gpu-memory-utilization` that the figures are for.
        safe_utilization: the highest one with which a running server stays on the card.
    """

    shape: ModelShape
    serving: Serving
    gpu: Gpu
    release: Release
    batch: Batch
    parts: Parts
    layout: KvLayout | None
    utilization: float
    safe_utilization: float

    @property
    def in_flight(self) -> int:
        """Tokens that are scheduled while a sliding window has not moved on yet."""
        return in_flight_tokens(self.batch.tokens, self.serving, self.release)

    @cached_property
    def max_concurrency(self) -> float:
        """Requests of the longest length at once."""
        if self.layout is None:
            return math.inf
        return self.layout.concurrency(max(0, self.parts.kv_cache), self.batch.length, self.in_flight)

    @property
    def kv_cache_tokens(self) -> int:
        """vLLM's `GPU KV cache size`; 0 when nothing is left."""
        return int(self.max_concurrency * self.batch.length) if self.layout else 0

    @cached_property
    def longest_request(self) -> int:
        """`--max-model-len` that fits, up to the model's own."""
        limit = max(self.shape.max_positions, self.batch.length)
        if self.layout is None:
            return limit
        return self.layout.longest_request(max(0, self.parts.kv_cache), limit, self.in_flight)

    @property
    def leaves_room(self) -> bool:
        """One request of the longest length fits; vLLM keeps one block for itself."""
        if self.layout is None:
            return True
        needed = self.layout.blocks_per_request(self.batch.length, self.in_flight)
        return self.layout.blocks(max(0, self.parts.kv_cache)) > needed

    @property
    def stays_on_card(self) -> bool:
        """Budget and what comes beyond it are no more than the card has."""
        return self.utilization <= self.safe_utilization


@lru_cache(maxsize=4096)
def size(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release = PINNED) -> Sizing:
    """Sizes one replica. Does not ask whether vLLM serves this model on this GPU: see `tandem.sizing.support`.

    Args:
        release: whose way of counting.
    """
    requests, tokens = batch_limits(gpu, serving.max_num_seqs, serving.max_num_batched_tokens)
    length = serving.max_model_len or shape.max_positions
    if shape.is_encoder and serving.max_num_batched_tokens is None:
        tokens = max(tokens, length)
    batch = Batch(requests=requests, tokens=tokens, length=length)
    stages = range(serving.pipeline_parallel_size)
    sizings = [_size_stage(shape, serving, gpu, release, batch, stage) for stage in stages]
    return min(sizings, key=lambda sizing: sizing.max_concurrency)


def _size_stage(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release, batch: Batch, stage: int) -> Sizing:
    parts = _parts(shape, serving, gpu, release, batch, stage)
    safe = _safe_utilization(gpu, parts)
    utilization = safe if serving.gpu_memory_utilization is None else serving.gpu_memory_utilization
    return Sizing(
        shape=shape,
        serving=serving,
        gpu=gpu,
        release=release,
        batch=batch,
        parts=replace(parts, budget=math.ceil(gpu.total_bytes * utilization)),
        layout=kv_layout(shape, serving, release, stage),
        utilization=utilization,
        safe_utilization=safe,
    )


def _parts(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release, batch: Batch, stage: int) -> Parts:
    tp, stages = serving.tensor_parallel_size, serving.pipeline_parallel_size
    hopper = gpu.compute_capability == HOPPER
    weights = round(weight_bytes(shape, tp, hopper, stages, stage) * scale(shape, hopper))
    states = 0
    if serving.speculation and (draft := serving.speculation.draft):
        weights += draft_bytes(draft, tp, hopper)
        states = state_bytes(draft, batch.tokens)
    profiled = activation(shape, serving, gpu, release, batch)
    buffers = runner_buffers(shape, release, batch)
    rows = serving.speculation.rows(batch.requests) if serving.speculation else batch.requests
    full_logits = shape.makes_tokens * min(rows, batch.tokens) * padded_vocabulary(shape.vocabulary) * 4
    slots = serving.adapter_slots
    return Parts(
        budget=0,
        weights=weights,
        adapters=adapter_bytes(shape, slots, serving.adapter_rank, tp, stages, stage),
        activation=profiled.peak + states,
        graphs=graphs_in_budget(shape, serving, gpu, release, batch),
        buffers=buffers + _unfilled_segments(shape) + _guessing(shape, serving, batch)
        if release.counts_everything
        else 0,
        driver=driver_in_budget(shape, serving, release),
        context=context(shape, serving, release),
        outside=outside_budget(shape, serving, gpu, release, batch),
        sampling=max(0, 2 * full_logits - (profiled.peak - profiled.kept)),
    )


def _guessing(shape: ModelShape, serving: Serving, batch: Batch) -> int:
    """A mask of the words that a schema allows for each guess (`StructuredOutputsWorker`), and the numbers of all
    requests' tokens, in which n-grams are looked up on the GPU (`RequestState.all_token_ids`)."""
    if (guesses := serving.speculation) is None:
        return 0
    masks = batch.requests * guesses.tokens * divide_up(shape.vocabulary, 32) * 4
    return masks + (batch.requests * batch.length * 4 if guesses.draft is None else 0)


def _unfilled_segments(shape: ModelShape) -> int:
    """Parts of the allocator's segments that hold no tensor; 0.32 counts them (4 to 97 MiB measured)."""
    return (16 + (2 * len(shape.layers) if shape.is_mixture_of_experts else 0)) * MIB


def _safe_utilization(gpu: Gpu, parts: Parts) -> float:
    """Rounded down to three digits."""
    free = gpu.total_bytes - parts.beyond_budget - RESERVE
    return min(HIGHEST_UTILIZATION, max(0.0, math.floor(free / gpu.total_bytes * 1000) / 1000))


def gib(amount: int) -> float:
    """GiB with four digits, as measurements are written."""
    return round(amount / GIB, 4)
