"""The peak of vLLM's profiling pass: what it allocates beside the weights when it tries the largest batch once.

The pass has stages that do not overlap, so the peak is the largest of them:
- torch.compile times kernels on a copy of the embedding (only with a cold compile cache);
- the forward pass of the layer with the widest intermediate, and while kernels are timed, a buffer to flush the cache;
- latent attention expands the longest context that it takes at once;
- the sampler works on the logits of `--max-num-seqs` requests.
Each was read off torch's own record of allocations at the peak, on H200 with 0.25.1 and 0.32.0.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.sizing.allocator import block_size
from tandem.sizing.quantization import Scheme
from tandem.sizing.releases import Release
from tandem.sizing.serving import Gpu, Serving
from tandem.sizing.shapes import Attention, DenseMlp, ExpertMlp, LatentAttention, Layer, Mixer, Mlp, ModelShape
from tandem.sizing.units import DTYPE_BYTES, MIB
from tandem.sizing.weights import HOPPER, embedding_bytes, padded_vocabulary


@dataclass(frozen=True)
class Activation:
    """Bytes of the profiling pass.

    Attributes:
        peak: above the weights and buffers that were there before.
        kept: of the peak, what stays allocated after the pass.
    """

    peak: int
    kept: int


@dataclass(frozen=True)
class Batch:
    """The largest batch: its requests and tokens, and the longest request."""

    requests: int
    tokens: int
    length: int


def activation(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release, batch: Batch) -> Activation:
    """What the profiling pass takes on one GPU."""
    stream = batch.tokens * shape.hidden * DTYPE_BYTES[shape.dtype]
    kept = gpu.matrix_workspace + _expert_workspace(shape, serving, gpu, batch)
    flush = 0 if serving.enforce_eager else gpu.l2_mib * MIB
    stages = [
        kept + flush + _forward(shape, serving, gpu, batch, stream),
        kept + _latent_context(shape, serving, batch, stream),
    ]
    if shape.makes_tokens:
        stages.append(kept + stream + _sampler(shape, serving, gpu, release, batch))
    if not serving.enforce_eager:
        stages.append(_compilation(shape, serving, gpu, release, stream))
    return Activation(peak=max(stages), kept=kept)


def _compilation(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release, stream: int) -> int:
    """Copies of what the first compiled piece reads and writes: the embedding and the residual stream."""
    tp, flush = serving.tensor_parallel_size, gpu.l2_mib * MIB
    table = block_size(embedding_bytes(shape, tp), may_split=not release.counts_everything)
    if tp > 1:
        return table + stream + flush if release.compiles_split_embedding else 0
    scheme = _first_scheme(shape)
    if shape.is_hybrid:
        return table + 2 * stream + flush
    if scheme and scheme.block:
        return table + stream + max(stream, flush)
    quantized_stream = stream // 2 if scheme and scheme.kind == "fp8" and scheme.activations_quantized else 0
    return table + 2 * stream + quantized_stream


def _first_scheme(shape: ModelShape) -> Scheme | None:
    return shape.quantization.scheme("layers.0.self_attn.q_proj") if shape.quantization else None


def _forward(shape: ModelShape, serving: Serving, gpu: Gpu, batch: Batch, stream: int) -> int:
    """The widest layer: its intermediate, what attention gave, and the residual stream."""
    width, tp = DTYPE_BYTES[shape.dtype], serving.tensor_parallel_size
    free = _allocates_as_it_goes(shape, gpu)

    def numbers(layer: Layer) -> int:
        attention = 0 if serving.enforce_eager else _mixer_width(layer.mixer, tp)
        return attention + _mlp_width(layer.mlp, shape.hidden, tp, free_experts=free)

    streams = (3 if serving.enforce_eager else 2) * stream
    return streams + batch.tokens * width * max(map(numbers, shape.distinct))


def _allocates_as_it_goes(shape: ModelShape, gpu: Gpu) -> bool:
    """Experts in MXFP4 on Hopper (Triton kernels) have no workspace."""
    return bool(shape.quantization and shape.quantization.experts_only and gpu.compute_capability == HOPPER)


def _mlp_width(mlp: Mlp | None, hidden: int, tp: int, *, free_experts: bool) -> int:
    """Numbers for each token that a feed-forward part holds at once, without the workspace of experts."""
    match mlp:
        case DenseMlp():
            return (3 if mlp.gated else 2) * mlp.intermediate // tp
        case ExpertMlp():
            shared = 3 * (mlp.shared_intermediate + mlp.dense_intermediate) // tp
            experts = mlp.active * (mlp.intermediate // tp + hidden) + hidden if free_experts else 0
            return 2 * mlp.experts + shared + experts
        case None:
            return 0


def _mixer_width(mixer: Mixer | None, tp: int) -> int:
    match mixer:
        case Attention():
            return mixer.heads * mixer.head_dim // tp
        case LatentAttention():
            return mixer.heads * mixer.value_dim // tp
        case _:
            return 0


def _expert_workspace(shape: ModelShape, serving: Serving, gpu: Gpu, batch: Batch) -> int:
    """Two buffers that experts share in all layers (`TritonExperts.workspace_shapes`); they stay allocated."""
    if _allocates_as_it_goes(shape, gpu):
        return 0
    width, tp = DTYPE_BYTES[shape.dtype], serving.tensor_parallel_size
    largest = 0
    for mlp in (layer.mlp for layer in shape.distinct):
        if isinstance(mlp, ExpertMlp):
            inner, wide = mlp.intermediate // tp, mlp.expert_hidden or shape.hidden
            first, second = max(inner, wide), max((2 if mlp.gated else 1) * inner, wide)
            largest = max(largest, batch.tokens * mlp.active * (first + second) * width)
    return largest


def latent_context_tokens(batch: Batch) -> int:
    """Tokens of context that latent attention expands at once (`determine_chunked_prefill_workspace_size`)."""
    return min(max(8 * batch.length, 4 * batch.requests * 16), 64 * 1024)


def _latent_context(shape: ModelShape, serving: Serving, batch: Batch, stream: int) -> int:
    """Latent attention expands keys and values of a long context; queries and the stream are there as well."""
    width, tp = DTYPE_BYTES[shape.dtype], serving.tensor_parallel_size
    mixer = next((layer.mixer for layer in shape.distinct if isinstance(layer.mixer, LatentAttention)), None)
    if mixer is None:
        return 0
    context = latent_context_tokens(batch) * mixer.heads // tp * (mixer.nope_dim + mixer.value_dim) * width
    query = mixer.heads // tp * (mixer.nope_dim + mixer.rope_dim) + mixer.kv_rank + mixer.rope_dim
    return context + 2 * stream + batch.tokens * query * width


def _sampler(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release, batch: Batch) -> int:
    """Logits of one token for each request, gathered from all GPUs, and what the sampler makes of them."""
    width, tp = DTYPE_BYTES[shape.dtype], serving.tensor_parallel_size
    requests = min(batch.requests, batch.tokens)
    states = requests * shape.hidden * width
    logits = requests * padded_vocabulary(shape.vocabulary) * width
    gathering = logits // tp + 2 * logits if tp > 1 else logits
    full = requests * shape.vocabulary * 4
    if release.uses_old_runner(shape):
        programs = min(batch.requests, gpu.multiprocessors) * shape.vocabulary * 4
        return 2 * states + max(gathering, logits + 3 * full + programs)
    if release.copies_logits:
        return states + max(gathering, logits + full)
    return states + gathering
