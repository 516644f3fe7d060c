"""What guesses tokens for a model beside it: a draft, or a head that reads what the model has worked out (EAGLE).

A draft is a model of its own. A head has layers as Llama has them, a matrix before them, and the model's embedding; an
EAGLE head has the model's output head, too, an EAGLE-3 head one of its own, of fewer tokens
(`vllm/model_executor/models/llama_eagle.py`, `llama_eagle3.py`, and what `v1/worker/gpu/spec_decode/eagle/` shares).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tandem.catalog.models import MODELS
from tandem.errors import Problem, UserError
from tandem.sizing.config_file import load_config
from tandem.sizing.fields import Fields
from tandem.sizing.known import catalog_shape
from tandem.sizing.reading import read_shape
from tandem.sizing.shapes import ModelShape
from tandem.sizing.units import DTYPE_BYTES
from tandem.sizing.weights import embedding_bytes, mixer_matrices, weight_bytes

Method = Literal["draft", "eagle", "eagle3"]
STATES = 3
"""Layers of the model whose outputs an EAGLE-3 head reads, unless its config.json says otherwise."""
HEADS = {
    "eagle": ("EagleLlamaForCausalLM", "EagleMistralForCausalLM"),
    "eagle3": (
        *("Eagle3LlamaForCausalLM", "LlamaForCausalLMEagle3", "Eagle3MiniMaxM2ForCausalLM"),
        *("Eagle3Qwen2_5vlForCausalLM", "Eagle3Qwen3vlForCausalLM", "Eagle3Qwen3ForCausalLM"),
    ),
}
"""Classes of heads with Llama's layers; others are not sized."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Draft:
    """What guesses.

    Attributes:
        method: how.
        shape: of its layers; of a head with the tokens that it can guess as its vocabulary.
        reads: width of what the matrix of a head reads for a token; 0 for a model of its own.
        target_hidden: width of the model that a head was made for.
    """

    method: Method
    shape: ModelShape
    reads: int = 0
    target_hidden: int = 0

    @property
    def is_head(self) -> bool:
        """Whether it reads what the model has worked out."""
        return self.reads > 0


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """What a stack names to guess.

    Attributes:
        config_path: its config.json, where the stack has one.
    """

    method: Method
    model: str
    config_path: Path | None = None

    def read(self) -> Draft | None:
        """None where neither its config.json nor the catalog says what it is.

        Raises:
            UserError: as `load_draft`.
        """
        if self.config_path:
            return load_draft(self.method, self.config_path)
        if self.method == "draft" and self.model in MODELS:
            return Draft(method="draft", shape=catalog_shape(self.model))
        return None


def load_draft(method: Method, path: Path) -> Draft:
    """What this config.json describes.

    Raises:
        UserError: there is no such file, it is no config.json, or it cannot be sized.
    """
    config = load_config(path)
    if method == "draft" or not isinstance(config, dict):
        return Draft(method=method, shape=read_shape(config))
    name = _head_class(method, config)
    if name not in HEADS[method]:
        raise UserError.of(
            key="config.json: architectures",
            wrong=f"is no {method} head whose layers are described here, so it is not sized",
            value=name,
            allowed=", ".join(HEADS[method]),
            fix="leave its config.json out, or choose another head",
        )
    layers = read_shape({**config, "architectures": ["LlamaForCausalLM"]})
    fields, own = Fields(config), method == "eagle3"
    target = fields.count("target_hidden_size", default=layers.hidden)
    states = (fields.part("eagle_config") or Fields({})).values.get("eagle_aux_hidden_state_layer_ids")
    number = (
        len(states) if isinstance(states, list) and states else fields.count("num_aux_hidden_states", default=STATES)
    )
    vocabulary = fields.count("draft_vocab_size", largest="vocabulary", default=layers.vocabulary)
    return Draft(
        method=method,
        shape=replace(
            layers,
            architecture=name,
            vocabulary=vocabulary if own else layers.vocabulary,
            tied_embeddings=not own,
        ),
        reads=number * target if own else 2 * layers.hidden,
        target_hidden=target,
    )


def _head_class(method: Method, config: dict[str, object]) -> str:
    """As vLLM names it (`vllm/transformers_utils/configs/eagle.py`)."""
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
    prefix = method.capitalize()
    return name if name.startswith(prefix) or (method == "eagle3" and name.endswith(prefix)) else f"{prefix}{name}"


def draft_bytes(draft: Draft, tp: int, hopper: bool) -> int:
    """Of its weights on one GPU, once a head shares what it takes of the model."""
    shape, width = draft.shape, DTYPE_BYTES[draft.shape.dtype]
    total = weight_bytes(shape, tp, hopper)
    if not draft.is_head:
        return total
    total += draft.reads * shape.hidden * width - embedding_bytes(shape, tp)
    if draft.method == "eagle3":  # its first layer reads the embedding and what the matrix makes, side by side
        queries, *_ = mixer_matrices(shape.layers[0].mixer, shape.hidden, tp)
        total += queries.outputs * shape.hidden * width
    return total


def state_bytes(draft: Draft, tokens: int) -> int:
    """Of what a step of so many tokens keeps for a head: outputs of the model's layers, and their sum."""
    read = draft.reads if draft.method == "eagle3" else 0
    return (read + draft.shape.hidden) * tokens * DTYPE_BYTES[draft.shape.dtype] if draft.is_head else 0


def misfits(draft: Draft, shape: ModelShape, length: int) -> Iterator[Problem]:
    """Why vLLM would not start with it beside this model, or look where its positions end.

    Args:
        length: the longest request, in tokens.
    """
    own, fix = draft.shape, "choose one that was made for this model"
    compared = {
        "vocab_size": (own.vocabulary, shape.vocabulary, not draft.is_head and own.vocabulary != shape.vocabulary),
        "max_position_embeddings": (own.max_positions, length, not draft.is_head and own.max_positions < length),
        "hidden_size": (own.hidden, shape.hidden, draft.is_head and own.hidden != shape.hidden),
        "target_hidden_size": (
            draft.target_hidden,
            shape.hidden,
            draft.is_head and draft.target_hidden != shape.hidden,
        ),
    }
    for name, (has, wanted, wrong) in compared.items():
        if wrong:
            shorter = name == "max_position_embeddings"
            said = "less than the longest request" if shorter else "not that of the model"
            yield Problem(
                key="--speculative-config",
                wrong=f"{name} of what guesses is {said}",
                value=has,
                allowed=f"from {wanted}" if shorter else f"{wanted}",
                fix=f"{fix}, or --max-model-len {has}" if shorter else fix,
            )
