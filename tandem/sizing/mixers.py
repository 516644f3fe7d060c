"""The token mixer of each layer: attention of some kind, or a state space."""

from __future__ import annotations

from dataclasses import replace

from tandem.sizing.architectures import Family
from tandem.sizing.fields import Fields
from tandem.sizing.shapes import Attention, GatedDeltaNet, LatentAttention, Mamba2, Mixer

_STATE_DTYPES = ("auto", "bfloat16", "float16", "float32")


_BLOCKS = {"mamba": "M", "attention": "*", "moe": "E", "mlp": "-"}


def layer_count(text: Fields) -> int:
    """Decoder layers."""
    blocks = text.values.get("layers_block_type")
    if isinstance(blocks, list) and not text.has("num_hidden_layers"):
        return Fields({"layers_block_type": len(blocks)}, text.place).count("layers_block_type", largest="layers")
    return text.count("num_hidden_layers", largest="layers")


def layer_pattern(text: Fields) -> str:
    """Nemotron-H's pattern, a letter a layer: M is Mamba 2, * attention, E experts, - a dense block."""
    blocks = text.names("layers_block_type", layer_count(text))
    pattern = text.text("hybrid_override_pattern") or "".join(_BLOCKS.get(block, "?") for block in blocks or ())
    if not pattern:
        raise text.problem("hybrid_override_pattern", "is missing, and memory cannot be worked out without it")
    if set(pattern) - set("M*E-") or len(pattern) != layer_count(text):
        raise text.problem(
            "hybrid_override_pattern",
            "must hold one of M, *, E, - for each layer",
            pattern,
            f"{layer_count(text)} letters",
        )
    return pattern


def is_patterned(text: Fields) -> bool:
    """Each layer is one thing, and a list says which (Nemotron-H)."""
    return text.has("hybrid_override_pattern") or text.has("layers_block_type")


def mixers(text: Fields, family: Family) -> list[Mixer | None]:
    """The mixer of each layer, None where a layer has none."""
    layers = layer_count(text)
    if family.attention == "latent":
        own = _latent(text)
        kinds = text.names("indexer_types", layers) or ["full"] * layers
        return [replace(own, index_heads=0, index_dim=0) if kind == "shared" else own for kind in kinds]
    if family.attention == "gated_delta_net":
        kinds = text.names("layer_types", layers) or _every(layers, text.count("full_attention_interval", default=4))
        return [_gated_delta_net(text) if kind == "linear_attention" else _heads(text, family) for kind in kinds]
    if family.attention == "mamba2":
        return _mamba_hybrid(text, family)
    if family.attention == "encoder":
        return [replace(_heads(text, family), rotary_dim=0, output_bias=True, causal=False)] * layers
    return _windows(text, family)


def _every(layers: int, interval: int) -> list[str]:
    return ["linear_attention" if (index + 1) % interval else "full_attention" for index in range(layers)]


def _heads(text: Fields, family: Family, window: int | None = None) -> Attention:
    heads = text.count("num_attention_heads", largest="heads")
    kv_heads = text.count("num_key_value_heads", largest="heads", default=heads)
    if heads % kv_heads:
        raise text.problem(
            "num_key_value_heads",
            f"does not divide num_attention_heads, which is {heads}",
            kv_heads,
            f"a divisor of {heads}",
        )
    hidden = text.count("hidden_size")
    if not text.has("head_dim") and hidden % heads:
        raise text.problem("num_attention_heads", f"does not divide hidden_size, which is {hidden}", heads)
    head_dim = text.count("head_dim", default=hidden // heads)
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        rotary_dim=_rotary_dim(text, head_dim, "full_attention" if window is None else "sliding_attention"),
        window=window,
        bias=text.flag("attention_bias", default=family.query_bias),
        output_bias=text.flag("attention_bias") and not family.query_bias,
        output_gate=family.attention == "gated_delta_net" and text.flag("attn_output_gate", default=True),
    )


def _windows(text: Fields, family: Family) -> list[Mixer | None]:
    layers = layer_count(text)
    window = text.count("sliding_window", largest="tokens") if text.has("sliding_window") else None
    if text.values.get("use_sliding_window") is False:
        window = None
    kinds = text.names("layer_types", layers)
    if kinds is None and window and text.has("sliding_window_pattern"):
        pattern = text.count("sliding_window_pattern", largest="layers")
        kinds = ["full_attention" if (index + 1) % pattern == 0 else "sliding_attention" for index in range(layers)]
    if kinds is None:
        kinds = ["sliding_attention" if window and family.window_by_default else "full_attention"] * layers
    if "sliding_attention" in kinds and window is None:
        raise text.problem("sliding_window", "is missing, though layer_types names layers with a sliding window")
    sliding, full = _heads(text, family, window), _full_heads(text, family)
    first_shared = layers - text.count("num_kv_shared_layers", largest="layers", default=0, zero=True)
    chosen = [sliding if kind == "sliding_attention" else full for kind in kinds]
    return [replace(mixer, reuses_cache=index >= first_shared) for index, mixer in enumerate(chosen)]


def _full_heads(text: Fields, family: Family) -> Attention:
    """Gemma 4 gives layers without a window other heads."""
    plain = _heads(text, family)
    if not text.has("global_head_dim"):
        return plain
    head_dim = text.count("global_head_dim")
    return replace(
        plain,
        kv_heads=text.count("num_global_key_value_heads", largest="heads", default=plain.kv_heads),
        head_dim=head_dim,
        rotary_dim=_rotary_dim(text, head_dim, "full_attention"),
    )


def _rotary_dim(text: Fields, head_dim: int, kind: str) -> int:
    """`partial_rotary_factor` stands beside the other fields, in `rope_parameters`, or there for each kind of layer.

    Nemotron-H and Granite 4 know positions from their states and do not rotate.
    """
    if is_patterned(text) or text.text("position_embedding_type") == "nope":
        return 0
    if text.has("rotary_dim"):
        return text.count("rotary_dim")
    rope = text.part("rope_parameters") or Fields({})
    places = (text, rope.part(kind) if rope.has(kind) else None, rope)
    source = next((place for place in places if place and place.has("partial_rotary_factor")), Fields({}))
    if source.text("rope_type") == "proportional":  # rotates by a table for the whole head
        return head_dim
    return int(head_dim * source.share("partial_rotary_factor"))


def _latent(text: Fields) -> LatentAttention:
    index_heads = text.count("index_n_heads", largest="heads", default=0, zero=True)
    return LatentAttention(
        heads=text.count("num_attention_heads", largest="heads"),
        query_rank=text.count("q_lora_rank") if text.has("q_lora_rank") else None,
        kv_rank=text.count("kv_lora_rank"),
        nope_dim=text.count("qk_nope_head_dim"),
        rope_dim=text.count("qk_rope_head_dim"),
        value_dim=text.count("v_head_dim"),
        sparse=index_heads > 0,
        index_heads=index_heads,
        index_dim=text.count("index_head_dim", default=0, zero=True),
    )


def _state_dtype(text: Fields, key: str) -> str:
    name = text.text(key, "auto")
    if name not in _STATE_DTYPES:
        raise text.problem(key, "is no dtype that a state can have", name, ", ".join(_STATE_DTYPES))
    return name


def _gated_delta_net(text: Fields) -> GatedDeltaNet:
    return GatedDeltaNet(
        key_heads=text.count("linear_num_key_heads", largest="heads"),
        value_heads=text.count("linear_num_value_heads", largest="heads"),
        key_dim=text.count("linear_key_head_dim"),
        value_dim=text.count("linear_value_head_dim"),
        convolution=text.count("linear_conv_kernel_dim", default=4),
        state_dtype=_state_dtype(text, "mamba_ssm_dtype"),
    )


def _mamba_hybrid(text: Fields, family: Family) -> list[Mixer | None]:
    if is_patterned(text):
        pattern = layer_pattern(text)
        state = Mamba2(
            heads=text.count("mamba_num_heads", largest="heads"),
            head_dim=text.count("mamba_head_dim"),
            state_size=text.count("ssm_state_size"),
            groups=text.count("n_groups", largest="heads", default=1),
            convolution=text.count("conv_kernel", default=4),
            state_dtype=_state_dtype(text, "mamba_ssm_cache_dtype"),
        )
        attention = _heads(text, family)
        return [{"M": state, "*": attention}.get(letter) for letter in pattern]
    kinds = text.names("layer_types", layer_count(text)) or []
    attention = _heads(text, family)
    if all(kind in ("attention", "full_attention") for kind in kinds):
        return [attention] * layer_count(text)
    state = Mamba2(
        heads=text.count("mamba_n_heads", largest="heads"),
        head_dim=text.count("mamba_d_head"),
        state_size=text.count("mamba_d_state"),
        groups=text.count("mamba_n_groups", largest="heads", default=1),
        convolution=text.count("mamba_d_conv", default=4),
        state_dtype="auto",
    )
    return [state if kind == "mamba" else attention for kind in kinds]
