"""Bytes of weights on one GPU: what tensor parallelism splits, what it copies, and how vLLM pads.

Rules: `vllm/model_executor/layers/linear.py`, `vocab_parallel_embedding.py`, `fused_moe/` and the models' own files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tandem.sizing.allocator import CachingAllocator
from tandem.sizing.quantization import MXFP4, Quantization, Scheme
from tandem.sizing.shapes import (
    Attention,
    DenseMlp,
    ExpertMlp,
    GatedDeltaNet,
    LatentAttention,
    Layer,
    Mamba2,
    Mixer,
    Mlp,
    ModelShape,
)
from tandem.sizing.units import DTYPE_BYTES, round_up

VOCABULARY_PADDING = 64
HOPPER = 9.0
"""Compute capability whose kernels lay out 4-bit weights in their own way: Triton for MXFP4, Machete for AWQ. Functions
here take it as `hopper`, so that all other GPUs share a result."""


@dataclass(frozen=True)
class Matrix:
    """One matrix, or `copies` of it, on one GPU.

    Attributes:
        module: its name in the checkpoint below the layer; a merged matrix goes by its first part. Empty for a matrix
            that is never quantized.
    """

    module: str
    outputs: int
    inputs: int
    copies: int = 1
    biased: bool = False


def kv_heads_per_gpu(heads: int, tensor_parallel: int) -> int:
    """Key-value heads on one GPU: with fewer heads than GPUs each head is copied."""
    return max(1, heads // tensor_parallel)


def padded_vocabulary(vocabulary: int) -> int:
    """Rows of the embedding after vLLM's padding."""
    return round_up(vocabulary, VOCABULARY_PADDING)


def embedding_bytes(shape: ModelShape, tensor_parallel: int) -> int:
    """One GPU's part of the embedding, which the output head is as large as."""
    return padded_vocabulary(shape.vocabulary) // tensor_parallel * shape.hidden * DTYPE_BYTES[shape.dtype]


def mixer_matrices(mixer: Mixer | None, hidden: int, tp: int) -> list[Matrix]:
    """The matrices of a layer's mixer on one GPU, in the order in which vLLM makes them."""
    match mixer:
        case Attention():
            queries = mixer.heads // tp * (2 if mixer.output_gate else 1)
            keys = 0 if mixer.reuses_cache else 2 * kv_heads_per_gpu(mixer.kv_heads, tp)
            return [
                Matrix("self_attn.q_proj", (queries + keys) * mixer.head_dim, hidden, biased=mixer.bias),
                Matrix("self_attn.o_proj", hidden, mixer.heads // tp * mixer.head_dim, biased=mixer.output_bias),
            ]
        case LatentAttention():
            return _latent_matrices(mixer, hidden, tp)
        case GatedDeltaNet():
            keys, values = mixer.key_heads * mixer.key_dim // tp, mixer.value_heads * mixer.value_dim // tp
            return [
                Matrix("", 2 * keys + values, mixer.convolution),
                Matrix("linear_attn.in_proj_qkv", 2 * (keys + values), hidden),
                Matrix("linear_attn.in_proj_b", 2 * mixer.value_heads // tp, hidden),
                Matrix("linear_attn.out_proj", hidden, values),
            ]
        case Mamba2():
            inner, groups = mixer.heads * mixer.head_dim // tp, max(1, mixer.groups // tp)
            convolved = inner + 2 * groups * mixer.state_size
            return [
                Matrix("", convolved, mixer.convolution),
                Matrix("mixer.in_proj", inner + convolved + mixer.heads // tp, hidden),
                Matrix("mixer.out_proj", hidden, inner),
            ]
        case None:
            return []


def _latent_matrices(mixer: LatentAttention, hidden: int, tp: int) -> list[Matrix]:
    heads = mixer.heads // tp
    query = heads * (mixer.nope_dim + mixer.rope_dim)
    compressed = mixer.kv_rank + mixer.rope_dim
    expanded = heads * (mixer.nope_dim + mixer.value_dim)
    if mixer.query_rank:
        matrices = [
            Matrix("self_attn.q_a_proj", mixer.query_rank + compressed, hidden),
            Matrix("self_attn.q_b_proj", query, mixer.query_rank),
        ]
    else:
        matrices = [
            Matrix("self_attn.q_proj", query, hidden),
            Matrix("self_attn.kv_a_proj_with_mqa", compressed, hidden),
        ]
    matrices += [
        Matrix("self_attn.kv_b_proj", expanded, mixer.kv_rank),
        Matrix("self_attn.o_proj", hidden, heads * mixer.value_dim),
    ]
    if mixer.index_heads:
        matrices += [
            Matrix("self_attn.indexer.wq_b", mixer.index_heads * mixer.index_dim, mixer.query_rank or hidden),
            Matrix("", mixer.index_dim + mixer.index_heads, hidden),
        ]
    return matrices


def mlp_matrices(mlp: Mlp | None, hidden: int, tp: int) -> list[Matrix]:
    """The matrices of a layer's feed-forward part on one GPU."""
    match mlp:
        case DenseMlp():
            return _dense_matrices("mlp", mlp.intermediate, mlp.gated, hidden, tp, biased=mlp.bias)
        case ExpertMlp():
            inner, wide = mlp.intermediate // tp, mlp.expert_hidden or hidden
            experts = "experts.0" if mlp.dense_intermediate else "mlp.experts.0"
            matrices = [
                Matrix("", mlp.experts, hidden),
                Matrix(f"{experts}.gate_proj", (2 if mlp.gated else 1) * inner, wide, mlp.experts, mlp.bias),
                Matrix(f"{experts}.down_proj", wide, inner, mlp.experts, mlp.bias),
            ]
            if mlp.expert_hidden:
                matrices += [
                    Matrix("mixer.fc1_latent_proj", wide, hidden),
                    Matrix("mixer.fc2_latent_proj", hidden, wide),
                ]
            if mlp.shared_intermediate:
                shared = "mlp.shared_expert" + ("" if mlp.shared_gate else "s")
                matrices += _dense_matrices(shared, mlp.shared_intermediate, mlp.gated, hidden, tp)
            if mlp.dense_intermediate:
                matrices += _dense_matrices("mlp", mlp.dense_intermediate, mlp.gated, hidden, tp)
            return matrices
        case None:
            return []


def _dense_matrices(
    module: str, intermediate: int, gated: bool, hidden: int, tp: int, *, biased: bool = False
) -> list[Matrix]:
    inner = intermediate // tp
    first = "gate_proj" if gated else "up_proj"
    return [
        Matrix(f"{module}.{first}", (2 if gated else 1) * inner, hidden, biased=biased),
        Matrix(f"{module}.down_proj", hidden, inner, biased=biased),
    ]


def matrix_tensors(matrix: Matrix, scheme: Scheme | None, dtype: str, *, hopper: bool = True) -> list[int]:
    """Bytes of each tensor that stands for a matrix."""
    width = DTYPE_BYTES[dtype]
    plain = matrix.copies * matrix.outputs * matrix.inputs * width
    if scheme is None:
        sizes = [plain]
    elif scheme is MXFP4:
        sizes = scheme.tensors(*_mxfp4_padded(matrix, hopper=hopper), matrix.copies)
    else:
        sizes = scheme.tensors(matrix.outputs, matrix.inputs, matrix.copies)
        if scheme.zero_points and hopper:
            sizes[-1] = sizes[-2]  # Machete keeps zero points multiplied by their scales
        if matrix.module == "self_attn.kv_b_proj":
            sizes.append(plain)  # decoding multiplies by its two halves, kept in the model's dtype as well
    if matrix.biased:
        sizes.append(matrix.copies * matrix.outputs * width)
    return sizes


def _mxfp4_padded(matrix: Matrix, *, hopper: bool) -> tuple[int, int]:
    """Outputs and inputs after padding (`vllm/model_executor/layers/fused_moe/oracle/mxfp4.py`)."""
    is_down = matrix.module.endswith("down_proj")
    if hopper:
        outputs = matrix.outputs if is_down else 2 * round_up(matrix.outputs // 2, 64)
        return outputs, round_up(matrix.inputs, 128)
    return round_up(matrix.outputs, 256), round_up(matrix.inputs, 128 if is_down else 256)


def layer_tensors(shape: ModelShape, index: int, tp: int, hopper: bool) -> tuple[list[int], list[int]]:
    """Bytes of the tensors of one layer: of its mixer, and of the rest."""
    layer = shape.layers[index]
    mixer, mlp = _layer_matrices(layer, shape.hidden, tp)
    norms = [2 * shape.hidden * DTYPE_BYTES[shape.dtype]]
    return (
        list(_tensors(mixer, shape, index, hopper)),
        [*_tensors(mlp, shape, index, hopper), *norms],
    )


@lru_cache(maxsize=4096)
def _layer_matrices(layer: Layer, hidden: int, tp: int) -> tuple[tuple[Matrix, ...], tuple[Matrix, ...]]:
    return tuple(mixer_matrices(layer.mixer, hidden, tp)), tuple(mlp_matrices(layer.mlp, hidden, tp))


def _tensors(matrices: tuple[Matrix, ...], shape: ModelShape, index: int, hopper: bool) -> Iterator[int]:
    for matrix in matrices:
        yield from matrix_tensors(matrix, _scheme(shape.quantization, index, matrix.module), shape.dtype, hopper=hopper)


def _scheme(quantization: Quantization | None, index: int, module: str) -> Scheme | None:
    if quantization is None or not module:
        return None
    return quantization.scheme(f"layers.{index}.{module}")


def pipeline_layers(layers: int, stages: int) -> list[range]:
    """The layers of each pipeline stage, as vLLM splits them: what is left over goes to the stages before the last."""
    counts = [layers // stages] * stages
    for place in range(2, layers % stages + 2):
        counts[-place] += 1
    starts = [sum(counts[:stage]) for stage in range(stages)]
    return [range(start, start + count) for start, count in zip(starts, counts, strict=True)]


@lru_cache(maxsize=64)
def _all_layer_tensors(shape: ModelShape, tp: int, hopper: bool) -> dict[int, tuple[list[int], list[int]]]:
    found = {}
    for alike in shape.alike:
        found |= dict.fromkeys(alike, layer_tensors(shape, alike[0], tp, hopper))
    return found


@lru_cache(maxsize=4096)
def weight_bytes(shape: ModelShape, tensor_parallel: int, hopper: bool = True, stages: int = 1, stage: int = 0) -> int:
    """Bytes that vLLM reports as `Model loading took` on a GPU of this pipeline stage."""
    allocator = CachingAllocator()
    tensors = _all_layer_tensors(shape, tensor_parallel, hopper)
    layers = pipeline_layers(len(shape.layers), stages)[stage]
    first, last = stage == 0, stage == stages - 1
    if first or (last and shape.tied_embeddings):
        allocator.allocate(embedding_bytes(shape, tensor_parallel))
    tables: set[tuple[int, bool]] = set()
    for index in layers:
        mixer, rest = tensors[index]
        allocator.allocate_all(mixer)
        table = _rotary_table(shape, shape.layers[index].mixer)
        if table and table not in tables:
            tables.add(table)
            _make_rotary_table(allocator, shape, *table)
        allocator.allocate_all(rest)
    if last and not shape.tied_embeddings:
        scheme = shape.quantization.scheme("lm_head") if shape.quantization else None
        head = Matrix("lm_head", padded_vocabulary(shape.vocabulary) // tensor_parallel, shape.hidden)
        allocator.allocate_all(matrix_tensors(head, scheme, shape.dtype, hopper=hopper))
    if first and shape.learnt_tables:
        rows = sum(padded_vocabulary(table) for table in shape.learnt_tables) // tensor_parallel
        allocator.allocate(rows * shape.hidden * DTYPE_BYTES[shape.dtype])
        allocator.allocate(8 * shape.learnt_tables[0])  # numbers of positions
    if last and shape.head_bytes:
        allocator.allocate(shape.head_bytes)
    if first and shape.vision:
        elements = shape.vision.split // tensor_parallel + shape.vision.whole
        allocator.allocate(elements * DTYPE_BYTES[shape.dtype])
    return allocator.allocated


def _rotary_table(shape: ModelShape, mixer: Mixer | None) -> tuple[int, bool] | None:
    """Which table of sines and cosines the layer uses; layers with the same one share it."""
    match mixer:
        case LatentAttention():
            return mixer.rope_dim, False
        case Attention() if mixer.rotary_dim:
            return mixer.rotary_dim, shape.rotary_by_window and mixer.window is not None
        case _:
            return None


def _make_rotary_table(allocator: CachingAllocator, shape: ModelShape, rotary_dim: int, windowed: bool) -> None:
    """The table is worked out in float32; later tensors reuse what that leaves behind. Windows are never scaled."""
    rows = shape.max_positions if windowed else shape.rotary_positions
    half = rows * rotary_dim // 2 * 4
    temporary = [allocator.allocate(size) for size in (half, half, half, 2 * half)]
    for block in temporary:
        allocator.release(block)
    allocator.allocate(rows * rotary_dim * DTYPE_BYTES[shape.dtype])
