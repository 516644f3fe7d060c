"""Which model classes vLLM knows, and which of them have a memory layout that is described here."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from tandem.errors import Problem, UserError

_LIST = Path(__file__).parent.parent / "catalog" / "vllm_architectures.json"


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a model class does that its config.json does not say.

    Attributes:
        attention: `heads` (grouped query), `latent` (MLA), `encoder` (each token sees all others, nothing is kept), or
            the kind of the other layers of a hybrid.
        query_bias: query, key and value projections have a bias unless the config says otherwise.
        tied_by_default: the head is the embedding where the config is silent.
        window_by_default: `sliding_window` applies to layers that `layer_types` does not list.
        rotary_by_window: layers with a sliding window rotate by a table of their own.
        headless: it embeds, ranks or classifies: there is no head that makes tokens.
        pads_positions: its positions begin behind the padding token's, so requests are that much shorter (RoBERTa).
        classifies: a dense layer and a classifier in float32 are on top.
    """

    attention: str = "heads"
    query_bias: bool = False
    tied_by_default: bool = False
    window_by_default: bool = False
    rotary_by_window: bool = False
    headless: bool = False
    pads_positions: bool = False
    classifies: bool = False


_PLAIN = Family()
_GEMMA = Family(tied_by_default=True, rotary_by_window=True)
_LATENT = Family(attention="latent")
_DELTA = Family(attention="gated_delta_net")
_BERT = Family(attention="encoder", query_bias=True, headless=True)
_ROBERTA = replace(_BERT, pads_positions=True)

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        (
            "LlamaForCausalLM",
            "Qwen3ForCausalLM",
            "Qwen3MoeForCausalLM",
            "Qwen3VLForConditionalGeneration",
            "Qwen3VLMoeForConditionalGeneration",
            "GptOssForCausalLM",
            "MiniMaxM2ForCausalLM",
            "Glm4ForCausalLM",
            "Glm4MoeForCausalLM",
            "Phi3ForCausalLM",
            "SmolLM3ForCausalLM",
            "SeedOssForCausalLM",
            "Mistral3ForConditionalGeneration",
            "Ministral3ForCausalLM",
            "Olmo2ForCausalLM",
            "Olmo3ForCausalLM",
            "Step3p5ForCausalLM",
            "Llama4ForCausalLM",
            "Llama4ForConditionalGeneration",
        ),
        _PLAIN,
    ),
    "MistralForCausalLM": Family(window_by_default=True),
    "MixtralForCausalLM": Family(window_by_default=True),
    "Qwen2ForCausalLM": Family(query_bias=True),
    "Qwen2MoeForCausalLM": Family(query_bias=True),
    "Qwen2_5_VLForConditionalGeneration": Family(query_bias=True),
    **dict.fromkeys(("GraniteForCausalLM", "GraniteMoeForCausalLM"), Family(tied_by_default=True)),
    **dict.fromkeys(
        (
            "Gemma2ForCausalLM",
            "Gemma3ForCausalLM",
            "Gemma3ForConditionalGeneration",
            "Gemma4ForCausalLM",
            "Gemma4ForConditionalGeneration",
        ),
        _GEMMA,
    ),
    **dict.fromkeys(
        (
            "DeepseekV2ForCausalLM",
            "DeepseekV3ForCausalLM",
            "DeepseekV32ForCausalLM",
            "GlmMoeDsaForCausalLM",
            "Glm4MoeLiteForCausalLM",
            "KimiK25ForConditionalGeneration",
        ),
        _LATENT,
    ),
    **dict.fromkeys(
        (
            "Qwen3NextForCausalLM",
            "Qwen3_5ForCausalLM",
            "Qwen3_5ForConditionalGeneration",
            "Qwen3_5MoeForCausalLM",
            "Qwen3_5MoeForConditionalGeneration",
        ),
        _DELTA,
    ),
    "NemotronHForCausalLM": Family(attention="mamba2"),
    "GraniteMoeHybridForCausalLM": Family(attention="mamba2", tied_by_default=True),
    "BertModel": _BERT,
    "BertForSequenceClassification": replace(_BERT, classifies=True),
    **dict.fromkeys(("RobertaModel", "XLMRobertaModel"), _ROBERTA),
    **dict.fromkeys(
        ("RobertaForSequenceClassification", "XLMRobertaForSequenceClassification"), replace(_ROBERTA, classifies=True)
    ),
}
"""Model classes with a described layout. A class that is not here is not sized, rather than sized wrongly."""


_CONVERTED = (
    *("ForSequenceClassification", "ForTokenClassification", "ForTextEncoding", "EmbeddingModel"),
    *("ForRewardModeling", "RewardModel", "Model"),
)
"""Endings by which vLLM makes an embedding, ranking or classifying model of one that generates
(`vllm/config/model.py`)."""


def family_of(architecture: str) -> Family:
    """What this class does.

    Raises:
        UserError: vLLM does not serve it, or its layout is not described.
    """
    if (known := FAMILIES.get(architecture)) is not None:
        return known
    for ending in _CONVERTED:
        base = FAMILIES.get(f"{architecture.removesuffix(ending)}ForCausalLM")
        if architecture.endswith(ending) and base is not None:
            return replace(base, headless=True)
    raise UserError(_refused(architecture))


@cache
def _registry() -> dict[str, frozenset[str]]:
    listed = json.loads(_LIST.read_text())
    return {kind: frozenset(listed[kind]) for kind in ("architectures", "pooling", "drafts")}


def known_to_vllm() -> frozenset[str]:
    """Model classes in the registry of the pinned vLLM."""
    return frozenset[str]().union(*_registry().values())


def _refused(architecture: str) -> Problem:
    if architecture in _registry()["drafts"]:
        wrong, fix = "is a draft for speculative decoding, no model of its own", "size the model that it drafts for"
    elif architecture in known_to_vllm():
        wrong = "vLLM serves this model class, but its memory layout is not described here, so it is not sized"
        fix = "start it once on the smallest type that may do, and read `GPU KV cache size` in its log"
        if architecture in _registry()["pooling"]:
            fix = (
                "start it once on the smallest type that may do: it embeds, ranks or classifies, and keeps no KV cache"
            )
    else:
        return _unknown(architecture)
    return Problem(
        key="config.json: architectures",
        wrong=wrong,
        value=architecture,
        allowed=", ".join(sorted(FAMILIES)),
        fix=fix,
    )


def _unknown(architecture: str) -> Problem:
    similar = get_close_matches(architecture, known_to_vllm(), n=3, cutoff=0.6)
    return Problem(
        key="config.json: architectures",
        wrong="the pinned vLLM does not know this model class, and would refuse to start",
        value=architecture,
        allowed=f"such as {', '.join(similar)}" if similar else "a class in vLLM's list of supported models",
        fix="check the name, or choose a model that this release serves",
    )
