"""LoRA adapters: the memory that vLLM reserves for them when it starts, whatever is in them.

Each linear layer gets two matrices a slot, of the rank that all slots have (`vllm/lora/layers/`): one from the layer's
inputs, for each of the layers that were merged into it, and one to its outputs. Tensor parallelism splits what it
splits of the layer itself. Some classes give them to the embedding and the head as well, whole on each GPU.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path

from tandem.sizing.shapes import Attention, ExpertMlp, Layer, ModelShape
from tandem.sizing.units import DTYPE_BYTES
from tandem.sizing.weights import Matrix, mixer_matrices, mlp_matrices, pipeline_layers

_LIST = Path(__file__).parent.parent / "catalog" / "vllm_architectures.json"

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` takes (`MaxLoRARanks` in `vllm/config/lora.py`)."""
LARGEST_VOCABULARY = 258_048
"""Of a head that takes adapters (`LogitsProcessorWithLoRA`)."""
_MERGED = {"q_a_proj": 2, "gate_proj": 2, "in_proj_qkv": 4, "in_proj_b": 2, "in_proj": 5}
"""Layers that vLLM merges into one, by the last part of its name here."""


def reserved_rank(rank: int) -> int:
    """The smallest of RANKS that has room for it."""
    return next(one for one in RANKS if one >= rank)


@cache
def takers() -> dict[str, tuple[bool, bool]]:
    """Model classes that take adapters: whether their embedding and head do, and whether gate and up of experts are one
    layer to them."""
    return {name: (embedding, fused) for name, (embedding, fused) in json.loads(_LIST.read_text())["adapters"].items()}


@lru_cache(maxsize=1024)
def adapter_bytes(shape: ModelShape, slots: int, rank: int, tp: int, stages: int = 1, stage: int = 0) -> int:
    """On a GPU of this pipeline stage.

    Args:
        slots: adapters of one batch; 0 reserves nothing.
        rank: the largest of theirs.
    """
    if not slots or shape.architecture not in takers():
        return 0
    embedding, fused = takers()[shape.architecture]
    layers = [shape.layers[index] for index in pipeline_layers(len(shape.layers), stages)[stage]]
    numbers = sum(_layer(layer, shape.hidden, tp, fused) for layer in layers)
    ends = (stage == 0) + (stage == stages - 1 and shape.makes_tokens)
    numbers += embedding * ends * (shape.vocabulary + shape.hidden)
    return slots * reserved_rank(rank) * numbers * DTYPE_BYTES[shape.dtype]


@lru_cache(maxsize=1024)
def _layer(layer: Layer, hidden: int, tp: int, fused: bool) -> int:
    """Numbers a slot, for a rank of 1."""
    mixer = sum(_matrix(one, _of_mixer(layer, one)) for one in mixer_matrices(layer.mixer, hidden, tp))
    return mixer + sum(_matrix(one, _of_mlp(layer, one, fused)) for one in mlp_matrices(layer.mlp, hidden, tp))


def _matrix(matrix: Matrix, merged: int) -> int:
    return matrix.copies * (merged * matrix.inputs + matrix.outputs)


def _of_mixer(layer: Layer, matrix: Matrix) -> int:
    part = matrix.module.rpartition(".")[2]
    if part == "q_proj":
        return 3 if isinstance(layer.mixer, Attention) else 1
    return _MERGED.get(part, 1)


def _of_mlp(layer: Layer, matrix: Matrix, fused: bool) -> int:
    part, mlp = matrix.module.rpartition(".")[2], layer.mlp
    alone = isinstance(mlp, ExpertMlp) and matrix.copies > 1 and (fused or not mlp.gated)
    return 1 if alone else _MERGED.get(part, 1)
