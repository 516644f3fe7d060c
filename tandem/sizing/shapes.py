"""What of a model decides its memory: one `Layer` per decoder layer, whatever the model calls its parts.

`tandem.sizing.reading` makes a `ModelShape` of a Hugging Face `config.json`. All numbers are counts of elements, heads
or tokens of the whole model; splitting them over GPUs is `tandem.sizing.weights`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from tandem.sizing.quantization import Quantization


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Multi-head or grouped-query attention.

    Attributes:
        rotary_dim: part of head_dim that is rotated; 0 for none.
        window: tokens that a layer looks back; None for all of them.
        output_gate: the query projection also makes a gate of the same size (Qwen3-Next, Qwen3.5).
        reuses_cache: the layer reads another layer's keys and values and keeps none (Gemma 3n, Gemma 4 small).
        causal: a token sees those before it, whose keys and values are kept; an encoder's sees all, and keeps none.
    """

    heads: int
    kv_heads: int
    head_dim: int
    rotary_dim: int
    window: int | None = None
    bias: bool = False
    output_bias: bool = False
    output_gate: bool = False
    reuses_cache: bool = False
    causal: bool = True


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek): the cache holds one compressed vector a token, the same on every GPU.

    Attributes:
        query_rank: width of the compressed query; None when queries are projected directly.
        sparse: it reads what an indexer chooses (DeepSeek-V3.2, GLM-5).
        index_heads: heads of the layer's own indexer; 0 when there is none, or it uses another layer's (GLM-5.2).
        index_dim: width of the indexer's key, which is cached in FP8 beside the latent vector.
    """

    heads: int
    query_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    sparse: bool = False
    index_heads: int = 0
    index_dim: int = 0


@dataclass(frozen=True, kw_only=True)
class GatedDeltaNet:
    """Linear attention with a state of fixed size (Qwen3-Next, Qwen3.5)."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    convolution: int
    state_dtype: str


@dataclass(frozen=True, kw_only=True)
class Mamba2:
    """State-space layer with a state of fixed size (Nemotron-H, Granite 4)."""

    heads: int
    head_dim: int
    state_size: int
    groups: int
    convolution: int
    state_dtype: str


Mixer = Attention | LatentAttention | GatedDeltaNet | Mamba2


@dataclass(frozen=True, kw_only=True)
class DenseMlp:
    """Feed-forward block: gate, up and down matrices; up and down alone where `gated` is False."""

    intermediate: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class ExpertMlp:
    """Mixture of experts.

    Attributes:
        active: experts that one token goes through.
        intermediate: width of one expert.
        shared_intermediate: width of the experts that every token goes through, all together; 0 for none.
        expert_hidden: width of what experts read and write; None for the model's own.
        dense_intermediate: width of a dense block beside the experts (Gemma 4); 0 for none.
    """

    experts: int
    active: int
    intermediate: int
    shared_intermediate: int = 0
    shared_gate: bool = False
    gated: bool = True
    bias: bool = False
    expert_hidden: int | None = None
    dense_intermediate: int = 0


Mlp = DenseMlp | ExpertMlp


@dataclass(frozen=True)
class Layer:
    """One decoder layer; None for a part that it lacks."""

    mixer: Mixer | None
    mlp: Mlp | None


@dataclass(frozen=True, kw_only=True)
class VisionTower:
    """A vision transformer beside the language model.

    Attributes:
        split: elements that tensor parallelism splits like the language model's.
        whole: elements that each GPU has.
    """

    split: int
    whole: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelShape:
    """A decoder-only language model. Compared by identity, so that results can be kept for it cheaply.

    Attributes:
        architecture: the first of `architectures` in config.json, which is what vLLM looks up.
        vocabulary: rows of the embedding before vLLM pads them.
        max_positions: longest request the model was made for, in tokens.
        rotary_positions: rows of a table of rotary embeddings.
        rotary_by_window: layers with a sliding window have a table of their own (Gemma).
        tied_embeddings: the output head is the embedding.
        vision: the vision tower; None for a text model.
        dtype: of weights that are not quantized, and of activations.
        makes_tokens: False for one that embeds, ranks or classifies.
        learnt_tables: rows of further embeddings, of positions and of kinds of tokens (BERT).
        head_bytes: of a classifier, which each GPU has whole.
        labels: that a classifier tells apart; 0 for what is none.
        checkpoint_bytes: of the tensors in its files that are loaded; None where nobody weighed them.
    """

    architecture: str
    hidden: int
    layers: tuple[Layer, ...]
    vocabulary: int
    max_positions: int
    rotary_positions: int
    rotary_by_window: bool
    tied_embeddings: bool
    dtype: str
    quantization: Quantization | None = None
    vision: VisionTower | None = None
    makes_tokens: bool = True
    learnt_tables: tuple[int, ...] = ()
    head_bytes: int = 0
    labels: int = 0
    checkpoint_bytes: int | None = None

    @cached_property
    def is_mixture_of_experts(self) -> bool:
        """Some layer has experts."""
        return any(isinstance(layer.mlp, ExpertMlp) for layer in self.layers)

    @cached_property
    def is_hybrid(self) -> bool:
        """Some layers keep a state of fixed size in place of keys and values."""
        return any(isinstance(layer.mixer, GatedDeltaNet | Mamba2) for layer in self.layers)

    @cached_property
    def is_encoder(self) -> bool:
        """Each token sees all others: a request is read in one step, and nothing of it is kept."""
        return any(not mixer.causal for mixer in self.attentions)

    @cached_property
    def has_latent_attention(self) -> bool:
        """Multi-head latent attention."""
        return any(isinstance(layer.mixer, LatentAttention) for layer in self.layers)

    @cached_property
    def alike(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the layers, those together that are alike and quantized alike."""
        by_number = self.quantization is not None and self.quantization.names_layers
        groups: dict[object, list[int]] = {}
        for index, layer in enumerate(self.layers):
            groups.setdefault(index if by_number else layer, []).append(index)
        return tuple(map(tuple, groups.values()))

    @cached_property
    def distinct(self) -> tuple[Layer, ...]:
        """The layers without repetition."""
        return tuple(dict.fromkeys(self.layers))

    @cached_property
    def attentions(self) -> tuple[Attention, ...]:
        """The kinds of attention layers that keep keys and values of heads."""
        return tuple(layer.mixer for layer in self.distinct if isinstance(layer.mixer, Attention))
