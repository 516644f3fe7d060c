"""How many tokens the memory that is left holds, block by block as vLLM hands it out.

A model whose layers are all alike has one group of layers, and a block of 16 tokens in each. Where layers differ
(sliding window beside full attention, states beside keys and values) vLLM makes groups of equally many layers with
equally large blocks, and all groups draw from one pool. Rules: `vllm/v1/core/kv_cache_utils.py`,
`vllm/v1/kv_cache_interface.py`, and for states `vllm/platforms/interface.py`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache

from tandem.sizing.releases import Release
from tandem.sizing.serving import Serving, Speculation
from tandem.sizing.shapes import Attention, GatedDeltaNet, LatentAttention, Mamba2, Mixer, ModelShape
from tandem.sizing.units import DTYPE_BYTES, divide_up
from tandem.sizing.weights import kv_heads_per_gpu, pipeline_layers

BLOCK_TOKENS = 16
SPARSE_BLOCK_TOKENS = 64
"""Sparse latent attention has larger blocks."""


@dataclass(frozen=True, kw_only=True)
class LayerCache:
    """What one layer keeps on one GPU.

    Attributes:
        page: bytes of one block.
        tokens: in one block.
        window: tokens that the layer looks back, None for all.
        states: blocks that a request needs whatever its length; 0 for a layer with keys and values.
    """

    page: int
    tokens: int
    window: int | None = None
    states: int = 0

    def blocks(self, length: int, in_flight: int) -> int:
        """Blocks that a request of this length needs.

        Args:
            in_flight: tokens that are scheduled while the window has not moved on yet.
        """
        if self.states:
            return self.states
        if self.window is None:
            return divide_up(length, self.tokens)
        return divide_up(min(self.window - 1 + in_flight, length), self.tokens) + 1


@dataclass(frozen=True)
class KvLayout:
    """The groups of layers, and the bytes that one block takes in all layers of a group."""

    groups: tuple[LayerCache, ...]
    bytes_per_block: int

    def blocks_per_request(self, length: int, in_flight: int) -> int:
        """Blocks that a request of this length takes from the pool."""
        return sum(group.blocks(length, in_flight) for group in self.groups)

    def blocks(self, memory: int) -> int:
        """Blocks that this many bytes hold."""
        return max(0, memory // self.bytes_per_block)

    def concurrency(self, memory: int, length: int, in_flight: int) -> float:
        """Requests of this length that fit at once, as vLLM reports it."""
        return self.blocks(memory) / self.blocks_per_request(length, in_flight)

    def tokens(self, memory: int, length: int, in_flight: int) -> int:
        """vLLM's `GPU KV cache size`."""
        return int(self.concurrency(memory, length, in_flight) * length)

    def longest_request(self, memory: int, limit: int, in_flight: int) -> int:
        """Tokens of the longest request that fits, up to the limit; vLLM keeps one block for itself."""
        usable = self.blocks(memory) - 1
        low, high = 0, limit
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.blocks_per_request(middle, in_flight) <= usable else (low, middle - 1)
        return low


def kv_dtype_bytes(shape: ModelShape, kv_cache_dtype: str) -> int:
    """Bytes of one cached number."""
    if kv_cache_dtype == "auto" and shape.quantization and shape.quantization.kv_cache_dtype:
        kv_cache_dtype = shape.quantization.kv_cache_dtype
    return 1 if kv_cache_dtype.startswith("fp8") else DTYPE_BYTES[shape.dtype]


def kv_layout(
    shape: ModelShape, serving: Serving, release: Release, stage: int = 0, block_tokens: int = BLOCK_TOKENS
) -> KvLayout | None:
    """The layout on a GPU of this pipeline stage; None for a model that keeps nothing."""
    return _layout(
        shape,
        stage,
        serving.pipeline_parallel_size,
        serving.tensor_parallel_size,
        kv_dtype_bytes(shape, serving.kv_cache_dtype),
        serving.prefix_caching,
        serving.speculation,
        release,
        block_tokens,
    )


@lru_cache(maxsize=4096)
def _layout(
    shape: ModelShape,
    stage: int,
    stages: int,
    tp: int,
    width: int,
    prefix_caching: bool,
    speculation: Speculation | None,
    release: Release,
    block_tokens: int,
) -> KvLayout | None:
    mixers = Counter(shape.layers[index].mixer for index in pipeline_layers(len(shape.layers), stages)[stage])
    if speculation and speculation.draft:
        mixers += Counter(layer.mixer for layer in speculation.draft.shape.layers)
    states = release.hybrid_states if prefix_caching else 1
    tokens = speculation.tokens if speculation else 0
    counts: dict[LayerCache, int] = {}
    for mixer, layers in mixers.items():
        if isinstance(mixer, GatedDeltaNet | Mamba2):
            checkpoints = release.mamba_checkpoints if isinstance(mixer, Mamba2) and states > 1 else 0
            page = _state_bytes(mixer, shape, tp, tokens)
            cache = LayerCache(page=page, tokens=0, states=states + checkpoints + tokens)
        else:
            cache = _token_cache(mixer, tp, width, block_tokens)
        if cache:
            counts[cache] = counts.get(cache, 0) + layers
    return _group(_fit_states(counts)) if counts else None


def in_flight_tokens(batched_tokens: int, serving: Serving, release: Release) -> int:
    """Tokens that a sliding window must hold beside its own."""
    return (release.batches_in_flight + serving.pipeline_parallel_size - 1) * batched_tokens


def _token_cache(mixer: Mixer | None, tp: int, width: int, block: int) -> LayerCache | None:
    """What a layer with keys and values keeps; None for one without."""
    match mixer:
        case Attention() if mixer.causal and not mixer.reuses_cache:
            numbers = 2 * kv_heads_per_gpu(mixer.kv_heads, tp) * mixer.head_dim
            return LayerCache(page=block * numbers * width, tokens=block, window=mixer.window)
        case LatentAttention():
            token = (mixer.kv_rank + mixer.rope_dim) * width
            if not mixer.sparse:
                return LayerCache(page=block * token, tokens=block)
            if width == 1:  # a float32 scale for each 128 numbers, and what is rotated stays in bfloat16
                token = mixer.kv_rank + divide_up(mixer.kv_rank, 128) * 4 + 2 * mixer.rope_dim
            # the indexer's key is kept in FP8, with a float32 scale for each 128 numbers
            token += mixer.index_dim + divide_up(mixer.index_dim, 128) * 4 if mixer.index_heads else 0
            return LayerCache(page=SPARSE_BLOCK_TOKENS * token, tokens=SPARSE_BLOCK_TOKENS)
        case _:
            return None


def _state_bytes(mixer: GatedDeltaNet | Mamba2, shape: ModelShape, tp: int, speculative: int) -> int:
    """Bytes of the convolution's memory and of the state itself."""
    plain = DTYPE_BYTES[shape.dtype]
    width = plain if mixer.state_dtype == "auto" else DTYPE_BYTES[mixer.state_dtype]
    if isinstance(mixer, GatedDeltaNet):
        convolved = 2 * mixer.key_heads * mixer.key_dim + mixer.value_heads * mixer.value_dim
        state = mixer.value_heads // tp * mixer.value_dim * mixer.key_dim
    else:
        groups = mixer.groups if mixer.groups % tp == 0 else tp
        convolved = mixer.heads * mixer.head_dim + 2 * groups * mixer.state_size
        state = mixer.heads // tp * mixer.head_dim * mixer.state_size
    return convolved // tp * (mixer.convolution - 1 + speculative) * plain + state * width


def _fit_states(caches: dict[LayerCache, int]) -> dict[LayerCache, int]:
    """Hybrid models: attention blocks grow until they hold a state, then states are padded to the same size."""
    attention = [cache for cache in caches if not cache.states]
    largest_state = max((cache.page for cache in caches if cache.states), default=0)
    if not largest_state or not attention:
        return caches
    token = attention[0].page // attention[0].tokens
    tokens = max(BLOCK_TOKENS, BLOCK_TOKENS * divide_up(largest_state, BLOCK_TOKENS * token))
    page = tokens * token
    return {replace(cache, page=page, tokens=0 if cache.states else tokens): n for cache, n in caches.items()}


def _group(caches: dict[LayerCache, int]) -> KvLayout:
    """Groups of layers as vLLM makes them. Of each kind of cache: how many layers have it."""
    kinds = {(cache.window, cache.states) for cache in caches}
    if len(kinds) == 1:
        return KvLayout((next(iter(caches)),), sum(cache.page * layers for cache, layers in caches.items()))
    largest = max(cache.page for cache in caches)
    counts: dict[LayerCache, int] = {}
    for cache, layers in caches.items():
        unified = _at_page(cache, largest)
        counts[unified] = counts.get(unified, 0) + layers
    fewest, most = min(counts.values()), max(counts.values())
    size = most if most < 1.5 * fewest else fewest
    groups = tuple(cache for cache, layers in counts.items() for _ in range(divide_up(layers, size)))
    return KvLayout(groups, largest * size)


def _at_page(cache: LayerCache, page: int) -> LayerCache:
    """The cache with blocks of this many bytes: more tokens where that comes out even, else padding."""
    ratio = page // cache.page if page % cache.page == 0 and not cache.states else 1
    return replace(cache, page=page, tokens=cache.tokens * ratio)
