"""Which model classes vLLM knows, and which of them have a memory layout that is described here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from tandem.errors import Problem, UserError

_LIST = Path(__file__).parent.parent / "catalog" / "vllm_architectures.json"


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a model class does that its config.json does not say.

    Attributes:
        attention: `heads` (grouped query), `latent` (MLA), or `hybrid` with the kind of its other layers.
        query_bias: query, key and value projections have a bias unless the config says otherwise.
        tied_by_default: the head is the embedding where the config is silent.
        window_by_default: `sliding_window` applies to layers that `layer_types` does not list.
        rotary_by_window: layers with a sliding window rotate by a table of their own.
    """

    attention: str = "heads"
    query_bias: bool = False
    tied_by_default: bool = False
    window_by_default: bool = False
    rotary_by_window: bool = False


_PLAIN = Family()
_GEMMA = Family(tied_by_default=True, rotary_by_window=True)
_LATENT = Family(attention="latent")
_DELTA = Family(attention="gated_delta_net")

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
}
"""Model classes with a described layout. A class that is not here is not sized, rather than sized wrongly."""


@cache
def known_to_vllm() -> frozenset[str]:
    """Model classes in the registry of the pinned vLLM."""
    return frozenset(json.loads(_LIST.read_text())["architectures"])


def refuse_unknown(architecture: str) -> None:
    """Raises UserError unless vLLM serves this class and its layout is described."""
    if architecture in FAMILIES:
        return
    if architecture in known_to_vllm():
        raise UserError(
            Problem(
                key="config.json: architectures",
                wrong="vLLM serves this model class, but its memory layout is not described here, so it is not sized",
                value=architecture,
                allowed=", ".join(sorted(FAMILIES)),
                fix="start it once on the smallest type that may do, and read `GPU KV cache size` in its log",
            )
        )
    similar = get_close_matches(architecture, known_to_vllm(), n=3, cutoff=0.6)
    raise UserError(
        Problem(
            key="config.json: architectures",
            wrong="the pinned vLLM does not know this model class, and would refuse to start",
            value=architecture,
            allowed=f"such as {', '.join(similar)}" if similar else "a class in vLLM's list of supported models",
            fix="check the name, or choose a model that this release serves",
        )
    )
