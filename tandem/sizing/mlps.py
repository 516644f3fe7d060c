"""The feed-forward part of each layer: a dense block, or experts."""

from __future__ import annotations

from tandem.sizing.architectures import Family
from tandem.sizing.fields import Fields
from tandem.sizing.mixers import is_patterned, layer_count, layer_pattern
from tandem.sizing.shapes import DenseMlp, ExpertMlp, Mlp

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_ACTIVE = ("num_experts_per_tok", "experts_per_token", "top_k_experts", "num_experts_per_token", "moe_top_k")
_SHARED = ("shared_expert_intermediate_size", "share_expert_dim", "shared_intermediate_size")


def mlps(text: Fields, family: Family) -> list[Mlp | None]:
    """The feed-forward part of each layer, None where a layer has none."""
    layers = layer_count(text)
    if family.attention == "encoder":
        return [DenseMlp(intermediate=text.count("intermediate_size"), gated=False, bias=True)] * layers
    if text.has("intermediate_size_mlp"):
        return _llama_4(text, layers)
    if is_patterned(text):
        return _from_pattern(text)
    if text.count(*_EXPERTS, largest="experts", default=0, zero=True) == 0:
        return [_dense(text)] * layers
    experts = _experts(text)
    return [experts if has_experts else _dense(text) for has_experts in _expert_layers(text, layers)]


def _dense(text: Fields) -> DenseMlp:
    return DenseMlp(
        intermediate=text.count("intermediate_size", "shared_intermediate_size"), bias=text.flag("mlp_bias")
    )


def _experts(text: Fields) -> ExpertMlp:
    experts = text.count(*_EXPERTS, largest="experts")
    active = text.count(*_ACTIVE, largest="experts")
    if active > experts:
        raise text.problem("num_experts_per_tok", f"is more than the {experts} experts that there are", active)
    intermediate = text.count("moe_intermediate_size", "intermediate_size")
    own_width = text.has("moe_intermediate_size")
    shared = text.count(
        "shared_expert_intermediate_size", "share_expert_dim", "shared_intermediate_size", default=0, zero=True
    )
    shared = shared or text.count("n_shared_experts", "num_shared_experts", default=0, zero=True) * intermediate
    return ExpertMlp(
        experts=experts,
        active=active,
        intermediate=intermediate,
        shared_intermediate=shared,
        shared_gate=text.has("shared_expert_intermediate_size"),
        bias=text.text("model_type") == "gpt_oss",
        dense_intermediate=text.count("intermediate_size") if own_width and text.flag("enable_moe_block") else 0,
    )


def _expert_layers(text: Fields, layers: int) -> list[bool]:
    kinds = text.names("mlp_layer_types", layers)
    if kinds is not None:
        return [kind == "sparse" for kind in kinds]
    first = text.count("first_k_dense_replace", largest="layers", default=0, zero=True)
    step = text.count("decoder_sparse_step", "moe_layer_freq", largest="layers", default=1)
    offset = 1 if text.has("decoder_sparse_step") else 0
    dense = text.values.get("mlp_only_layers") or []
    if not isinstance(dense, list):
        raise text.problem("mlp_only_layers", "is not a list of layer numbers", dense, "[0, 1]")
    return [index >= first and (index + offset) % step == 0 and index not in dense for index in range(layers)]


def _llama_4(text: Fields, layers: int) -> list[Mlp | None]:
    """Every so many layers experts, beside one that every token goes through; the others have a width of their own."""
    width = text.count("intermediate_size")
    experts = ExpertMlp(
        experts=text.count("num_local_experts", largest="experts"),
        active=text.count("num_experts_per_tok", largest="experts"),
        intermediate=width,
        shared_intermediate=width,
    )
    dense, step = DenseMlp(intermediate=text.count("intermediate_size_mlp")), _every(text)
    return [experts if step and not (index + 1) % step else dense for index in range(layers)]


def _every(text: Fields) -> int:
    return text.count("interleave_moe_layer_step", largest="layers", default=1, zero=True)


def _from_pattern(text: Fields) -> list[Mlp | None]:
    """Nemotron-H: blocks without a gate (squared ReLU), experts that may work in a narrower space."""
    pattern = layer_pattern(text)
    dense = DenseMlp(intermediate=text.count("intermediate_size"), gated=False) if "-" in pattern else None
    experts = None
    if "E" in pattern:
        experts = ExpertMlp(
            experts=text.count("n_routed_experts", largest="experts"),
            active=text.count("num_experts_per_tok", largest="experts"),
            intermediate=text.count("moe_intermediate_size"),
            shared_intermediate=text.count("moe_shared_expert_intermediate_size", default=0, zero=True)
            * text.count("n_shared_experts", default=1, zero=True),
            gated=False,
            expert_hidden=text.count("moe_latent_size") if text.has("moe_latent_size") else None,
        )
    return [{"-": dense, "E": experts}.get(letter) for letter in pattern]
