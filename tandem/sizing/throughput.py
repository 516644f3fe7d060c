"""Upper limits of tokens per second, from rooflines. Estimates: real servers reach 30 to 70 % of them.

One step makes a token for each of B running requests. It takes at least

    max(memory, arithmetic) + links

    memory:      (weights that the batch touches + KV cache of its contexts) / memory bandwidth
    arithmetic:  2 x active weights x B / (GPUs x tensor rate)
    links:       2 all-reduces a layer, each 18 us + 2 (tp - 1) / tp x B x hidden bytes / link bandwidth

and so tokens per second <= B / step. Left out: prompts, kernel launches, attention's arithmetic, sampling, scheduling.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tandem.catalog.gpus import GpuModel
from tandem.sizing.memory import Sizing
from tandem.sizing.shapes import ExpertMlp, ModelShape
from tandem.sizing.support import FP4_CAPABILITY, FP8_CAPABILITY
from tandem.sizing.units import DTYPE_BYTES
from tandem.sizing.weights import (
    HOPPER,
    embedding_bytes,
    matrix_tensors,
    mixer_matrices,
    mlp_matrices,
    padded_vocabulary,
)

ALL_REDUCE_SECONDS = 18e-6
"""What a small all-reduce adds to a step. From a single request on H200: an 8B model took 4.9 ms a token with TP=1,
1.46 times its roofline; with TP=2 3.6 ms, of which 1.46 times the roofline leaves 1.1 ms for 64 all-reduces."""


@dataclass(frozen=True)
class Throughput:
    """Upper limits for one replica.

    Attributes:
        requests: that run at once.
        tokens_per_second: of all of them together.
        tokens_per_second_each: of one.
        bound: the longest part of a step: memory, arithmetic or links.
    """

    requests: int
    tokens_per_second: float
    tokens_per_second_each: float
    bound: str


@dataclass(frozen=True)
class _Traffic:
    """Of one GPU's weights: bytes that every token reads, bytes of experts, and elements that one token multiplies."""

    shared_bytes: int
    expert_bytes: int
    active_elements: float


@lru_cache(maxsize=1024)
def _traffic(shape: ModelShape, tp: int, hopper: bool) -> _Traffic:
    head = embedding_bytes(shape, tp)
    shared, experts, active = head, 0, float(padded_vocabulary(shape.vocabulary) // tp * shape.hidden)
    for alike in shape.alike:
        index, layers, layer = alike[0], len(alike), shape.layers[alike[0]]
        for matrix in (*mixer_matrices(layer.mixer, shape.hidden, tp), *mlp_matrices(layer.mlp, shape.hidden, tp)):
            module = f"layers.{index}.{matrix.module}"
            scheme = shape.quantization.scheme(module) if shape.quantization and matrix.module else None
            size = layers * sum(matrix_tensors(matrix, scheme, shape.dtype, hopper=hopper))
            elements = layers * matrix.copies * matrix.outputs * matrix.inputs
            if ".experts." in matrix.module and isinstance(layer.mlp, ExpertMlp):
                experts += size
                active += elements * layer.mlp.active / layer.mlp.experts
            else:
                shared += size
                active += elements
    return _Traffic(shared, experts, active)


def throughput(sizing: Sizing, gpu: GpuModel, *, context_tokens: int, requests: int | None = None) -> Throughput:
    """Upper limits while requests of this context run.

    Args:
        context_tokens: that a running request has on average, prompt and answer so far.
        requests: that run at once; None for as many as the KV cache and --max-num-seqs allow.
    """
    shape, tp = sizing.shape, sizing.serving.tensor_parallel_size
    layout = sizing.layout
    running = sizing.batch.requests
    context_bytes = 0
    if layout:
        blocks = layout.blocks_per_request(context_tokens, sizing.in_flight)
        context_bytes = blocks * layout.bytes_per_block
        running = min(running, max(1, layout.blocks(max(0, sizing.parts.kv_cache)) // blocks))
    running = min(running, requests) if requests else running
    traffic = _traffic(shape, tp, sizing.gpu.compute_capability == HOPPER)
    memory = traffic.shared_bytes + traffic.expert_bytes * _touched(shape, running) + running * context_bytes
    parts = {
        "memory": memory / (gpu.bandwidth_gbps * 1e9),
        "arithmetic": 2 * traffic.active_elements * running / (_rate(sizing, gpu) * 1e12),
        "links": _all_reduces(shape, tp, running, gpu),
    }
    each = 1 / (max(parts["memory"], parts["arithmetic"]) + parts["links"])
    return Throughput(running, running * each, each, max(parts, key=lambda name: parts[name]))


def _all_reduces(shape: ModelShape, tp: int, requests: int, gpu: GpuModel) -> float:
    if tp == 1:
        return 0.0
    moved = 2 * (tp - 1) / tp * requests * shape.hidden * DTYPE_BYTES[shape.dtype]
    return 2 * len(shape.layers) * (ALL_REDUCE_SECONDS + moved / (gpu.link_gbps * 1e9))


def _touched(shape: ModelShape, tokens: int) -> float:
    """Share of the experts that a batch of this many tokens reads, if it chooses evenly."""
    mlp = next((layer.mlp for layer in shape.distinct if isinstance(layer.mlp, ExpertMlp)), None)
    return 1 - (1 - mlp.active / mlp.experts) ** tokens if mlp else 0.0


def _rate(sizing: Sizing, gpu: GpuModel) -> float:
    """Dense tensor rate in TFLOP/s for the format that products run in."""
    quantization, capability = sizing.shape.quantization, sizing.gpu.compute_capability
    if quantization is None or not quantization.main_scheme.activations_quantized:
        return gpu.bf16_tflops
    if quantization.main_scheme.bits == 4 and capability >= FP4_CAPABILITY:
        return 2 * gpu.fp8_tflops
    return gpu.fp8_tflops if capability >= FP8_CAPABILITY else gpu.bf16_tflops
