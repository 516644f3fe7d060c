"""Memory that no tensor of the model explains: driver, NCCL, CUDA graphs, buffers of the model runner.

The constants were measured, see `tests/sizing/measured.json` for the rows: H200, driver 580, CUDA 13.0, NCCL
2.28.9, tensor parallelism 1, 2 and 4, NVLink without multicast. Other cards were not measured; memory of NCCL depends
on links and was largest here, since NVLink has the most channels.
"""

from __future__ import annotations

from functools import lru_cache

from tandem.sizing.activation import Batch, latent_context_tokens
from tandem.sizing.releases import Release
from tandem.sizing.serving import Gpu, Serving
from tandem.sizing.shapes import Attention, LatentAttention, ModelShape
from tandem.sizing.units import DTYPE_BYTES, MIB, divide_up

_GRAPHS_OF_256_REQUESTS = 86
"""CUDA graphs of 51 mixed batch sizes and 35 decode sizes, which the constants below were measured with."""
_ATTENTION_SPLITS = 32
"""Decode attention may split a context in so many parts; their float32 results have a buffer inside the graphs."""
_LOADED_LATE = 200 * MIB
"""Without CUDA graphs a server took 170 to 360 MiB more than its budget, context and buffers (0.25.1, TP=2); 170 MiB of
it were not the allocator's to give back."""


def capture_sizes(gpu: Gpu, batch: Batch) -> tuple[int, int, int]:
    """Batch sizes that get a CUDA graph: mixed ones, decode ones, and the largest (`vllm/config/vllm.py`)."""
    return _capture_sizes(1024 if int(gpu.compute_capability) == 10 else 512, batch)


@lru_cache(maxsize=256)
def _capture_sizes(ceiling: int, batch: Batch) -> tuple[int, int, int]:
    largest = min(2 * batch.requests, ceiling, batch.tokens)
    sizes = {size for size in (1, 2, 4, *range(8, 256, 8), *range(256, largest + 1, 16)) if size <= largest}
    if batch.requests <= largest:
        sizes.add(batch.requests)
    return len(sizes), sum(size <= batch.requests for size in sizes), largest


def _attention_buffer(shape: ModelShape, serving: Serving, batch: Batch, largest: int) -> int:
    """Bytes of the split results of decode attention, and of the context that latent attention gathers."""
    wide, context_bytes = 0, 0
    for mixer in (layer.mixer for layer in shape.distinct):
        if isinstance(mixer, Attention):
            wide = max(wide, mixer.heads * mixer.head_dim)
        elif isinstance(mixer, LatentAttention):
            wide = max(wide, mixer.heads * mixer.kv_rank)
            latent = (mixer.kv_rank + mixer.rope_dim) * DTYPE_BYTES[shape.dtype]
            context_bytes = latent_context_tokens(batch) * latent
    splits = _ATTENTION_SPLITS * wide // serving.tensor_parallel_size * min(batch.requests, largest) * 4
    return splits + context_bytes


def _graph_bytes(
    shape: ModelShape, serving: Serving, gpu: Gpu, batch: Batch, base: int, each_layer: float, *, by_decode: bool
) -> int:
    """Bytes of CUDA graphs: a part for each graph, one for each layer, and the buffer of attention.

    Args:
        base: MiB of 86 graphs without layers.
        each_layer: MiB of a layer in all its graphs.
        by_decode: the part of a layer grows with the number of decode graphs (35 when it was measured).
    """
    if serving.enforce_eager:
        return 0
    mixed, decode, largest = capture_sizes(gpu, batch)
    layers = divide_up(len(shape.layers), serving.pipeline_parallel_size)
    if not shape.makes_tokens:  # mixed graphs alone, between which attention stays outside of them
        return int((base * mixed / _GRAPHS_OF_256_REQUESTS + each_layer * layers / 2) * MIB)
    layer_part = each_layer * layers * (decode / 35 if by_decode else 1) * _sets(serving)
    graphs = base * (mixed + decode) / _GRAPHS_OF_256_REQUESTS + layer_part
    return int(graphs * MIB) + _attention_buffer(shape, serving, batch, largest)


def _sets(serving: Serving) -> int:
    """Of graphs of the layers: one more for batches with adapters (`cudagraph_specialize_lora`). What loads with the
    first graph, and what they share, is there once: 960 MiB became 1,311 with Qwen3-8B, for either rank."""
    return 2 if serving.adapter_slots else 1


def graphs_in_budget(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release, batch: Batch) -> int:
    """What vLLM takes out of its budget for CUDA graphs."""
    if release.counts_everything:
        base = 330 if serving.tensor_parallel_size == 1 else 95
        return _graph_bytes(shape, serving, gpu, batch, base, 11.0, by_decode=False)
    if release.uses_old_runner(shape) and not serving.enforce_eager:
        mixed, decode, _ = capture_sizes(gpu, batch)
        layers = divide_up(len(shape.layers), serving.pipeline_parallel_size)
        return int((64 * (mixed + decode) / _GRAPHS_OF_256_REQUESTS + 9.2 * layers * _sets(serving)) * MIB)
    return 0


def outside_budget(shape: ModelShape, serving: Serving, gpu: Gpu, release: Release, batch: Batch) -> int:
    """What a server takes beyond its budget until it is ready: CUDA graphs, buffers, and what kernels load late."""
    if release.counts_everything:
        return 0
    base = 200 if serving.tensor_parallel_size == 1 else 170
    graphs = _graph_bytes(shape, serving, gpu, batch, base, 9.0, by_decode=True)
    uncounted = max(0, graphs - graphs_in_budget(shape, serving, gpu, release, batch))
    return uncounted + runner_buffers(shape, release, batch) + _LOADED_LATE


def runner_buffers(shape: ModelShape, release: Release, batch: Batch) -> int:
    """Counters of the sampler's penalties, one for each word and request, and other persistent inputs."""
    if release.uses_old_runner(shape):
        return 34 * MIB
    if not shape.makes_tokens:
        return 12 * MIB
    penalties = batch.requests * (shape.vocabulary * 4 + divide_up(shape.vocabulary, 32) * 4)
    return penalties + 12 * MIB


def driver_in_budget(shape: ModelShape, serving: Serving, release: Release) -> int:
    """Growth outside torch between vLLM's two looks at the driver: kernels, cuBLAS, communicators."""
    captures = release.uses_old_runner(shape) and not serving.enforce_eager  # a graph on trial, before this look
    if not _has_communicators(serving, release):
        return (244 if captures else 230) * MIB
    if release.counts_everything:
        return 978 * MIB
    return (586 if captures else 554) * MIB


def context(shape: ModelShape, serving: Serving, release: Release) -> int:
    """Driver context and communicators that are there before vLLM takes its budget."""
    if not _has_communicators(serving, release):
        return 527 * MIB
    if release.counts_everything:
        return 577 * MIB
    return (1983 if release.uses_old_runner(shape) else 1499) * MIB


def _has_communicators(serving: Serving, release: Release) -> bool:
    """Pipeline parallelism alone adds nothing in 0.32; in 0.25 it was not measured and is taken for as much."""
    stages = 1 if release.counts_everything else serving.pipeline_parallel_size
    return serving.tensor_parallel_size * stages > 1
