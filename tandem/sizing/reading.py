"""Makes a `ModelShape` of a Hugging Face config.json.

What a field means and what it defaults to follows the model's file in vLLM 0.32.0 (`vllm/model_executor/models/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tandem.errors import Problem, UserError
from tandem.sizing.architectures import FAMILIES, Family, refuse_unknown
from tandem.sizing.fields import Fields
from tandem.sizing.mixers import mixers
from tandem.sizing.mlps import mlps
from tandem.sizing.quantization import ONLINE_METHODS, READERS_OF, Quantization, online_fp8, read_quantization
from tandem.sizing.shapes import Layer, ModelShape, VisionTower
from tandem.sizing.units import DTYPE_BYTES

_TEXT_PARTS = ("text_config", "llm_config", "language_config")


def read_shape(config: object) -> ModelShape:
    """Reads a parsed config.json.

    Raises:
        UserError: names the field when one is missing, impossible, at odds with another one, or when vLLM does not
            know the architecture, or when this package has no rule for its layout.
    """
    if not isinstance(config, Mapping):
        raise UserError(
            Problem(
                key="config.json",
                wrong="is not a JSON object",
                value=type(config).__name__,
                allowed="the config.json of a model in Hugging Face format",
                fix="download it again from the model's repository on the hub",
            )
        )
    outer = Fields(config)
    architecture = _architecture(outer)
    family = FAMILIES[architecture]
    text = next((part for part in map(outer.part, _TEXT_PARTS) if part), outer)
    layers = tuple(map(Layer, mixers(text, family), mlps(text, family)))
    positions = text.count("max_position_embeddings", "max_seq_len", largest="tokens", default=2048)
    return ModelShape(
        architecture=architecture,
        hidden=text.count("hidden_size"),
        layers=layers,
        vocabulary=text.count("vocab_size", largest="vocabulary"),
        max_positions=positions,
        rotary_positions=_rotary_positions(text, positions),
        rotary_by_window=family.rotary_by_window,
        tied_embeddings=_tied(outer, text, family),
        dtype=_dtype(outer, text),
        quantization=_quantization(outer, text),
        vision=_vision(outer),
    )


def with_quantization(shape: ModelShape, flag: str | None) -> ModelShape:
    """The shape with vLLM's `--quantization`.

    Raises:
        UserError: when the checkpoint is quantized otherwise, or is not and cannot be while it is loaded.
    """
    if flag is None:
        return shape
    if shape.quantization is not None:
        accepted = READERS_OF[shape.quantization.method]
        if flag in accepted:
            return shape
        wrong = f"the checkpoint is quantized with {shape.quantization.method} already"
    elif flag in ONLINE_METHODS:
        return replace(shape, quantization=online_fp8())
    else:
        accepted = ONLINE_METHODS
        wrong = "the checkpoint is not quantized, and this is no method that vLLM applies while it loads"
    raise UserError(
        Problem(
            key="--quantization",
            wrong=wrong,
            value=flag,
            allowed=f"{' or '.join(accepted)}, or leave it out",
            fix="leave it out, or choose a checkpoint that is quantized this way",
        )
    )


def _architecture(outer: Fields) -> str:
    names = outer.values.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise outer.problem(
            "architectures",
            "must name the model's class, which vLLM looks up",
            names,
            '["LlamaForCausalLM"] or the like',
        )
    refuse_unknown(names[0])
    return names[0]


def _tied(outer: Fields, text: Fields, family: Family) -> bool:
    for fields in (text, outer):
        if fields.has("tie_word_embeddings"):
            return fields.flag("tie_word_embeddings")
    return family.tied_by_default


def _dtype(outer: Fields, text: Fields) -> str:
    for fields in (text, outer):
        for key in ("dtype", "torch_dtype"):
            if fields.has(key):
                name = fields.text(key)
                if name == "float32":  # vLLM's `--dtype auto` halves it
                    return "bfloat16"
                if name not in DTYPE_BYTES:
                    raise fields.problem(key, "is no dtype that vLLM serves", name, ", ".join(DTYPE_BYTES))
                return name
    return "bfloat16"


def _quantization(outer: Fields, text: Fields) -> Quantization | None:
    for fields in (outer, text):
        part = fields.part("quantization_config")
        if part and part.values:
            return read_quantization(part.values)
    return None


def _rotary_positions(text: Fields, positions: int) -> int:
    """Rows of the rotary table. YaRN multiplies what the model was first trained for."""
    scaling = text.part("rope_scaling") or text.part("rope_parameters")
    if scaling is None:
        return positions
    kind = scaling.values.get("rope_type", scaling.values.get("type"))
    factor, original = scaling.values.get("factor"), scaling.values.get("original_max_position_embeddings")
    if kind in ("yarn", "deepseek_yarn") and isinstance(factor, int | float) and isinstance(original, int):
        return min(int(original * factor), 16 * positions)
    return positions


def _vision(outer: Fields) -> VisionTower | None:
    part = outer.part("vision_config")
    if part is None or not (part.has("hidden_size") or part.has("vt_hidden_size")):
        return None
    hidden = part.count("hidden_size", "vt_hidden_size")
    merge = part.count("spatial_merge_size", "merge_size", default=2)
    patch = part.count("patch_size", default=14)
    return VisionTower(
        depth=part.count("depth", "num_hidden_layers", "vt_num_hidden_layers", largest="layers"),
        hidden=hidden,
        intermediate=part.count("intermediate_size", "vt_intermediate_size", default=4 * hidden),
        gated=part.text("hidden_act") == "silu",
        patch_elements=part.count("in_channels", "in_chans", default=3)
        * part.count("temporal_patch_size", default=1)
        * patch**2,
        merged=hidden * merge**2,
        output=part.count("out_hidden_size", "text_hidden_size", default=hidden),
    )
