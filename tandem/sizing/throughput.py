"""Tokens per second of a model that nobody has measured: a limit from rooflines, and what servers reach of it.

A server makes a token for each of B running requests, and meanwhile takes in the prompts of those that follow: for each
token of an answer P / A tokens of prompts. Together that takes at least

    max(memory, arithmetic) + prompts + links

    memory:      (weights that the batch touches + KV cache of its contexts) / memory bandwidth
    arithmetic:  2 x active weights x B / (GPUs x tensor rate)
    prompts:     arithmetic x P / A
    links:       2 all-reduces a layer, each 18 us + 2 (tp - 1) / tp x tokens x hidden bytes / link bandwidth

and so tokens per second <= B / that. What is expected takes the shares of bandwidth and tensor rate that servers reach
on the card (tandem/catalog/gpus.py): on H200 0.66 and 0.46, fitted to the measured loads (docs/sizing.md). Left out:
attention's arithmetic, launches, sampling, scheduling (but for guessed tokens), the API server.
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

REQUESTS_PER_GPU = 64
"""At once, where nothing is said: with more each waits longer, and tokens per second grow little."""
ALL_REDUCE_SECONDS = 18e-6
"""What a small all-reduce adds to a step. From a single request on H200: an 8B model took 4.9 ms a token with TP=1,
1.46 times its roofline; with TP=2 3.6 ms, of which 1.46 times the roofline leaves 1.1 ms for 64 all-reduces."""
WAITS_SECONDS, WAITS_EACH = 1.7e-3, 17e-6
"""What a step takes longer, and for each request in it, where n-grams guess: vLLM 0.32 then prepares none before the
last is done, in steps without a guess, too. An 8B model on H200 took 6.9 ms in place of 5.1 for one request, 15.7 in
place of 11.7 for 128 (measurements.json, `others`). Time of the processor, so on every card."""
ADAPTED = 1.5
"""Times that a step takes for requests by an adapter's name: four of rank 16 on an 8B model on H200 took 1.37 to 1.59
(measurements.json, `others`). Requests by the model's name, beside none of these, took 1.03."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What requests are like, in tokens. The measured loads have these lengths; what embeds or scores has answers of
    0."""

    prompt_tokens: int = 1024
    answer_tokens: int = 256

    @property
    def request_tokens(self) -> int:
        """Of a prompt and its answer."""
        return self.prompt_tokens + self.answer_tokens

    @property
    def context_tokens(self) -> int:
        """That a running request has on average: its prompt and half its answer."""
        return self.prompt_tokens + self.answer_tokens // 2


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Of one replica.

    Attributes:
        requests: that run at once.
        tokens_per_second: of all their answers together.
        limit_tokens_per_second: no server of this kind can make more.
        bound: what takes longest: memory, arithmetic, prompts or links.
        measured: on such servers under such a load; else it is modelled.
    """

    requests: int
    tokens_per_second: float
    limit_tokens_per_second: float
    bound: str
    measured: bool = False

    @property
    def tokens_per_second_each(self) -> float:
        """Of one request."""
        return self.tokens_per_second / self.requests


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
            if matrix.copies > 1 and isinstance(layer.mlp, ExpertMlp):
                experts += size
                active += elements * layer.mlp.active / layer.mlp.experts
            else:
                shared += size
                active += elements
    return _Traffic(shared, experts, active)


def throughput(sizing: Sizing, gpu: GpuModel, load: Load, requests: int | None = None) -> Throughput:
    """As modelled.

    Args:
        requests: that run at once; None for REQUESTS_PER_GPU. Fewer where the KV cache or --max-num-seqs hold fewer.
    """
    context = min(load.context_tokens, sizing.batch.length)
    running = min(_held(sizing, context), requests or REQUESTS_PER_GPU * sizing.serving.tensor_parallel_size)
    limits = _seconds(sizing, gpu, running, context, load.prompt_tokens / load.answer_tokens)
    expected = _expected(limits, sizing, gpu)
    return Throughput(
        requests=running,
        tokens_per_second=running / (_together(expected) + _waits(sizing, running)),
        limit_tokens_per_second=running / _together(limits),
        bound=max(expected, key=lambda name: expected[name]),
    )


def _expected(limits: dict[str, float], sizing: Sizing, gpu: GpuModel) -> dict[str, float]:
    """What a server is expected to take for what takes so long at least."""
    _, rate = _rate(sizing, gpu)
    shares = {"memory": gpu.memory_share, "arithmetic": rate, "prompts": rate}
    slower = ADAPTED if sizing.serving.adapter_slots else 1.0
    return {name: slower * seconds / shares.get(name, 1.0) for name, seconds in limits.items()}


def _waits(sizing: Sizing, running: float) -> float:
    guesses = sizing.serving.speculation
    return WAITS_SECONDS + running * WAITS_EACH if guesses and guesses.draft is None else 0.0


def fastest_token_seconds(sizing: Sizing, gpu: GpuModel) -> float:
    """What a token takes at least, while nobody else asks."""
    return _together(_seconds(sizing, gpu, 1, 1, 0.0))


def prompt_token_seconds(sizing: Sizing, gpu: GpuModel) -> float:
    """What a token of a prompt adds to a step, as modelled; with it all answers wait."""
    tp = sizing.serving.tensor_parallel_size
    traffic = _traffic(sizing.shape, tp, sizing.gpu.compute_capability == HOPPER)
    tflops, share = _rate(sizing, gpu)
    slower = ADAPTED if sizing.serving.adapter_slots else 1.0
    return slower * 2 * traffic.active_elements / (tflops * 1e12 * share) + (
        _all_reduces(sizing.shape, tp, 1, gpu) - _all_reduces(sizing.shape, tp, 0, gpu)
    )


def step_seconds(sizing: Sizing, gpu: GpuModel, running: float, load: Load) -> float:
    """Of a step that makes a token for each running request, without prompts, as modelled."""
    context = min(load.context_tokens, sizing.batch.length)
    parts = _seconds(sizing, gpu, running, context, 0.0)
    return _together(_expected(parts, sizing, gpu)) + _waits(sizing, running)


def prompt_share(sizing: Sizing, gpu: GpuModel, running: float, load: Load) -> float:
    """Of the GPUs' time for a request what its prompt takes, with so many running, as modelled."""
    prompt = load.prompt_tokens * prompt_token_seconds(sizing, gpu)
    return prompt / (prompt + load.answer_tokens * step_seconds(sizing, gpu, running, load) / running)


def guesses_pay(sizing: Sizing, gpu: GpuModel) -> dict[int, float]:
    """Share of guessed tokens that must be right for steps with them to make as many tokens a second as those without,
    as modelled, by the number of requests in a step; none where nothing is guessed.

    Small dense models need most by what a step waits, large ones by their arithmetic at the most requests, mixtures of
    experts by further experts that few requests read.
    """
    if (guesses := sizing.serving.speculation) is None:
        return {}
    context = min(Load().context_tokens, sizing.batch.length)

    def seconds(running: int, tokens: int) -> float:
        return _together(_expected(_seconds(sizing, gpu, running, context, 0.0, tokens), sizing, gpu))

    def guessing(running: int) -> float:
        """One after another, each by all of the draft's weights; with n-grams what a step waits for them."""
        if (draft := guesses.draft) is None:
            return _waits(sizing, running)
        traffic = _traffic(draft.shape, sizing.serving.tensor_parallel_size, sizing.gpu.compute_capability == HOPPER)
        read = traffic.shared_bytes + traffic.expert_bytes * _touched(draft.shape, running)
        links = _all_reduces(draft.shape, sizing.serving.tensor_parallel_size, running, gpu)
        return guesses.tokens * (read / (gpu.bandwidth_gbps * 1e9 * gpu.memory_share) + links)

    most = min(_held(sizing, context), guesses.up_to_requests or sizing.batch.requests)
    tried = {min(most, 2**power) for power in range(most.bit_length() + 1)}

    def longer(running: int) -> float:
        return (seconds(running, 1 + guesses.tokens) + guessing(running)) / seconds(running, 1)

    return {running: (longer(running) - 1) / guesses.tokens for running in sorted(tried)}


def held_requests(sizing: Sizing, load: Load) -> int:
    """Requests of this load that a replica runs at once."""
    return _held(sizing, min(load.context_tokens, sizing.batch.length))


def _together(parts: dict[str, float]) -> float:
    return max(parts["memory"], parts["arithmetic"]) + parts["prompts"] + parts["links"]


def _held(sizing: Sizing, context: int) -> int:
    """Requests of this context that a replica holds."""
    if not (layout := sizing.layout):
        return sizing.batch.requests
    blocks = layout.blocks_per_request(context, sizing.in_flight)
    return min(sizing.batch.requests, max(1, layout.blocks(max(0, sizing.parts.kv_cache)) // blocks))


def _seconds(
    sizing: Sizing, gpu: GpuModel, running: float, context: int, prompts: float, tokens: int = 1
) -> dict[str, float]:
    """Of each part, until each running request has one token more, and so many tokens of prompts were taken in.

    Args:
        tokens: of each request that go through the model for that, guesses among them.
    """
    shape, tp, layout = sizing.shape, sizing.serving.tensor_parallel_size, sizing.layout
    cached = layout.blocks_per_request(context, sizing.in_flight) * layout.bytes_per_block if layout else 0
    traffic = _traffic(shape, tp, sizing.gpu.compute_capability == HOPPER)
    computed = running * tokens
    read = traffic.shared_bytes + traffic.expert_bytes * _touched(shape, computed) + running * cached
    arithmetic = 2 * traffic.active_elements * computed / (_rate(sizing, gpu)[0] * 1e12)
    return {
        "memory": read / (gpu.bandwidth_gbps * 1e9),
        "arithmetic": arithmetic,
        "prompts": arithmetic * prompts,
        "links": _all_reduces(shape, tp, computed * (1 + prompts), gpu),
    }


def _all_reduces(shape: ModelShape, tp: int, tokens: float, gpu: GpuModel) -> float:
    if tp == 1:
        return 0.0
    moved = 2 * (tp - 1) / tp * tokens * shape.hidden * DTYPE_BYTES[shape.dtype]
    return 2 * len(shape.layers) * (ALL_REDUCE_SECONDS + moved / (gpu.link_gbps[min(2, tp.bit_length() - 2)] * 1e9))


def _touched(shape: ModelShape, tokens: float) -> float:
    """Share of the experts that a batch of this many tokens reads, if it chooses evenly."""
    mlp = next((layer.mlp for layer in shape.distinct if isinstance(layer.mlp, ExpertMlp)), None)
    return 1 - (1 - mlp.active / mlp.experts) ** tokens if mlp else 0.0


def _rate(sizing: Sizing, gpu: GpuModel) -> tuple[float, float]:
    """Dense tensor rate in TFLOP/s for the format that products run in, and what servers reach of it."""
    quantization, capability = sizing.shape.quantization, sizing.gpu.compute_capability
    if quantization is None or not quantization.main_scheme.activations_quantized or capability < FP8_CAPABILITY:
        return gpu.bf16_tflops, gpu.bf16_share
    four = quantization.main_scheme.bits == 4 and capability >= FP4_CAPABILITY
    return (2 if four else 1) * gpu.fp8_tflops, gpu.fp8_share
