"""Makes a `ModelShape` of a Hugging Face config.json.

What a field means and what it defaults to follows the model's file in vLLM 0.32.0 (`vllm/model_executor/models/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tandem.errors import UserError
from tandem.sizing.architectures import Family, family_of
from tandem.sizing.fields import LARGEST, Fields
from tandem.sizing.mixers import mixers
from tandem.sizing.mlps import mlps
from tandem.sizing.quantization import ONLINE_METHODS, READERS_OF, Quantization, online_fp8, read_quantization
from tandem.sizing.shapes import Layer, ModelShape, VisionTower
from tandem.sizing.units import DTYPE_BYTES

MOST_SCALED = 1024
"""A larger factor of a rotary table is a mistake."""
_TEXT_PARTS = ("text_config", "llm_config", "language_config")


def read_shape(config: object) -> ModelShape:
    """Reads a parsed config.json.

    Raises:
        UserError: names the field when one is missing, impossible, at odds with another one, or when vLLM does not
            know the architecture, or when this package has no rule for its layout.
    """
    if not isinstance(config, Mapping):
        raise UserError.of(
            key="config.json",
            wrong="is not a JSON object",
            value=type(config).__name__,
            allowed="the config.json of a model in Hugging Face format",
            fix="download it again from the model's repository on the hub",
        )
    _refuse_others(config)
    outer = Fields(config)
    architecture = _architecture(outer)
    family = family_of(architecture)
    text = _with_defaults(next((part for part in map(outer.part, _TEXT_PARTS) if part), outer))
    layers = tuple(map(Layer, mixers(text, family), mlps(text, family)))
    rows = text.count("max_position_embeddings", "max_seq_len", largest="tokens", default=2048)
    positions = rows - text.count("pad_token_id", default=1, zero=True) - 1 if family.pads_positions else rows
    if positions < 1:
        raise text.problem("max_position_embeddings", "leaves no position behind the padding token's", rows)
    learnt = (rows, text.count("type_vocab_size", default=2)) if family.attention == "encoder" else ()
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
        vision=_llama_4_vision(outer, text) if architecture == _LLAMA_4_SEES else _vision(outer, text),
        makes_tokens=not family.headless,
        learnt_tables=learnt,
        head_bytes=_classifier_bytes(text, _labels(outer)) if family.classifies else 0,
        labels=_labels(outer) if architecture.endswith(CLASSIFIES) else 0,
    )


_OTHERS = {
    "peft_type": "is a LoRA adapter's adapter_config.json, which names the model that it is for",
    "weight_map": "is the index of a checkpoint's safetensors files",
    "n_layers": "is a params.json, Mistral's or Llama's own format",
    "tokenizer_class": "is a tokenizer_config.json",
    "added_tokens": "is a tokenizer.json",
    "quant_algo": "is what a quantizer wrote, hf_quant_config.json",
    "producer": "is what a quantizer wrote, hf_quant_config.json",
    "transformers_version": "is a generation_config.json",
}
"""A field that tells another file of a model's repository, where no `architectures` tell a config.json."""


def _refuse_others(config: Mapping[str, object]) -> None:
    known = [said for field, said in _OTHERS.items() if field in config]
    if known and not {"architectures", "model_type", "hidden_size", "text_config"} & set(config):
        raise UserError.of(
            key="config.json",
            wrong=known[0],
            value=", ".join(list(config)[:4]),
            allowed="the model's config.json, which names its architectures",
            fix="give the config.json beside it; `tandem size ORGANISATION/MODEL` fetches it from the hub",
        )


_DEFAULTS: dict[str, dict[str, object]] = {
    "gemma3_text": {
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "max_position_embeddings": 131072,
        "sliding_window_pattern": 6,
    },
    "nemotron_h": {
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 4096,
        "ssm_state_size": 128,
        "mamba_num_heads": 128,
        "mamba_head_dim": 64,
        "n_groups": 8,
        "conv_kernel": 4,
        "mamba_ssm_cache_dtype": "float32",
    },
}
"""What transformers 5.19 takes where a config.json of this `model_type` is silent, as the makers' own are."""


def _with_defaults(text: Fields) -> Fields:
    kind = text.values.get("model_type")
    defaults = _DEFAULTS.get(kind) if isinstance(kind, str) else None
    given = {key: value for key, value in text.values.items() if value is not None}
    return replace(text, values={**defaults, **given}) if defaults else text


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
        return replace(shape, quantization=online_fp8(), checkpoint_bytes=None)
    else:
        accepted = ONLINE_METHODS
        wrong = "the checkpoint is not quantized, and this is no method that vLLM applies while it loads"
    raise UserError.of(
        key="--quantization",
        wrong=wrong,
        value=flag,
        allowed=f"{' or '.join(accepted)}, or leave it out",
        fix="leave it out, or choose a checkpoint that is quantized this way",
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
    return names[0]


def _tied(outer: Fields, text: Fields, family: Family) -> bool:
    if family.headless:  # the embedding alone
        return True
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
    """Rows of the rotary table: YaRN multiplies what the model was first trained for, linear scaling its positions, and
    LongRoPE has a table for short requests beside that for long ones.
    """
    scaling = text.part("rope_scaling") or text.part("rope_parameters") or Fields({})
    values = (scaling.part("full_attention") or scaling).values
    kind = values.get("rope_type", values.get("type"))
    factor, original = values.get("factor"), values.get("original_max_position_embeddings")
    if type(original) is not int or not 0 < original <= LARGEST["tokens"]:
        original = text.count("original_max_position_embeddings", largest="tokens", default=positions)
    if kind == "longrope":
        return positions + original
    if not isinstance(factor, int | float) or not 1 <= factor <= MOST_SCALED:
        return positions
    if kind in ("yarn", "deepseek_yarn", "deepseek_llama_scaling"):
        return int(original * factor)
    return int(positions * factor) if kind == "linear" else positions


CLASSIFIES = "ForSequenceClassification"
"""Ending of classes that say one number for each label."""


def _labels(outer: Fields) -> int:
    labels = outer.values.get("id2label")
    return len(labels) if isinstance(labels, dict) and labels else outer.count("num_labels", default=2)


def _classifier_bytes(text: Fields, labels: int) -> int:
    """A dense layer of the model's width, then one number for each label: in float32 (`head_dtype`)."""
    hidden = text.count("hidden_size")
    return 4 * (hidden + 1) * (hidden + labels)


_LLAMA_4_SEES = "Llama4ForConditionalGeneration"


def _llama_4_vision(outer: Fields, text: Fields) -> VisionTower:
    """Its own tower (`vllm/model_executor/models/mllama4.py`); defaults are transformers'."""
    part = outer.part("vision_config") or Fields({})
    hidden, depth = (
        part.count("hidden_size", default=768),
        part.count("num_hidden_layers", largest="layers", default=34),
    )
    inner, patch = part.count("intermediate_size", default=5632), part.count("patch_size", default=14)
    wide, output = part.count("projector_input_dim", default=4096), part.count("projector_output_dim", default=4096)
    patches = (part.count("image_size", default=448) // patch) ** 2 + 1
    return VisionTower(
        split=depth * (4 * hidden**2 + 2 * hidden * inner)
        + part.count("num_channels", default=3) * patch**2 * hidden
        + wide * (inner + output)
        + part.count("vision_output_dim", default=7680) * text.count("hidden_size"),
        whole=(patches + 1) * hidden,
    )


def _vision(outer: Fields, text: Fields) -> VisionTower | None:
    part = outer.part("vision_config")
    if part is None or not (part.has("hidden_size") or part.has("vt_hidden_size")):
        return None
    hidden = part.count("hidden_size", "vt_hidden_size")
    depth = part.count("depth", "num_hidden_layers", "vt_num_hidden_layers", largest="layers")
    inner = part.count("intermediate_size", "vt_intermediate_size", default=4 * hidden)
    patch = part.count("in_channels", "in_chans", default=3) * part.count("temporal_patch_size", default=1)
    patches = patch * part.count("patch_size", default=14) ** 2 * hidden
    if part.text("model_type") == "gemma4_vision":  # transformers' own module, of which each GPU has all
        places = 2 * part.count("position_embedding_size", default=10240) + text.count("hidden_size")
        return VisionTower(split=0, whole=depth * (4 * hidden**2 + 3 * hidden * inner) + patches + places * hidden)
    block = 4 * hidden**2 + (3 if part.text("hidden_act") == "silu" else 2) * hidden * inner
    merged = hidden * part.count("spatial_merge_size", "merge_size", default=2) ** 2
    output = part.count("out_hidden_size", "text_hidden_size", default=hidden)
    more = part.values.get("deepstack_visual_indexes")
    mergers = 1 + (len(more) if isinstance(more, list) else 0)
    return VisionTower(
        split=depth * block + mergers * (merged**2 + merged * output),
        whole=patches + part.count("num_position_embeddings", default=0, zero=True) * hidden,
    )
