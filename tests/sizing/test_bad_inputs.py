"""Config files that cannot be sized: each is refused with the field's name, and none with a traceback."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tandem.errors import UserError
from tandem.sizing.config_file import LARGEST_CONFIG, load_shape
from tandem.sizing.fits import verdict
from tandem.sizing.memory import size
from tandem.sizing.reading import read_shape
from tandem.sizing.serving import Serving
from tests.sizing.configs import experts, hybrid, latent, llama, windows
from tests.sizing.rows import H200

QUANTIZED = {"bits": 4, "group_size": 128, "quant_method": "awq", "zero_point": True}


def quantized(**changes: Any) -> dict[str, Any]:
    return llama(quantization_config={**QUANTIZED, **changes})


CONTENTS: list[tuple[str, object, str, str]] = [
    # missing
    ("no architectures", llama(architectures=None), "architectures", "must name the model's class"),
    ("empty architectures", llama(architectures=[]), "architectures", "must name the model's class"),
    ("no hidden size", llama(hidden_size=None), "hidden_size", "is missing"),
    ("no layers", llama(num_hidden_layers=None), "num_hidden_layers", "is missing"),
    ("no heads", llama(num_attention_heads=None), "num_attention_heads", "is missing"),
    ("no intermediate size", llama(intermediate_size=None), "intermediate_size", "is missing"),
    ("no vocabulary", llama(vocab_size=None), "vocab_size", "is missing"),
    ("no active experts", experts(num_experts_per_tok=None), "num_experts_per_tok", "is missing"),
    ("no rank of keys", latent(kv_lora_rank=None), "kv_lora_rank", "is missing"),
    ("no state heads", hybrid(linear_num_key_heads=None), "linear_num_key_heads", "is missing"),
    ("no window", windows(sliding_window=None), "sliding_window", "is missing"),
    ("nothing but a class", {"architectures": ["LlamaForCausalLM"]}, "num_hidden_layers", "is missing"),
    # impossible sizes
    ("negative hidden size", llama(hidden_size=-4096), "hidden_size", "is not a size"),
    ("no layer at all", llama(num_hidden_layers=0), "num_hidden_layers", "is not a size"),
    ("a million layers", llama(num_hidden_layers=1_000_000), "num_hidden_layers", "is not a size"),
    ("negative vocabulary", llama(vocab_size=-1), "vocab_size", "is not a size"),
    ("negative window", windows(sliding_window=-1), "sliding_window", "is not a size"),
    ("endless context", llama(max_position_embeddings=10**15), "max_position_embeddings", "is not a size"),
    ("negative experts", experts(num_experts=-8), "num_experts", "is not a size"),
    # wrong kinds
    ("a fraction of a layer", llama(num_hidden_layers=2.5), "num_hidden_layers", "is not a whole number"),
    ("a number in quotes", llama(hidden_size="1024"), "hidden_size", "is not a whole number"),
    ("true for a number", llama(num_attention_heads=True), "num_attention_heads", "is not a whole number"),
    ("a word for a flag", llama(tie_word_embeddings="yes"), "tie_word_embeddings", "is neither true nor false"),
    ("a list for an object", llama(text_config=[1]), "text_config", "is not an object"),
    ("an unknown dtype", llama(torch_dtype="int3"), "torch_dtype", "is no dtype"),
    ("layer types in one string", windows(layer_types="full_attention"), "layer_types", "is not a list of strings"),
    ("an odd state dtype", hybrid(mamba_ssm_dtype="float7"), "mamba_ssm_dtype", "is no dtype"),
    ("more than all is rotated", llama(partial_rotary_factor=3), "partial_rotary_factor", "is not a share"),
    ("dense layers as a number", experts(mlp_only_layers=3), "mlp_only_layers", "is not a list"),
    # configs that lie
    (
        "heads that do not group",
        llama(num_key_value_heads=5),
        "num_key_value_heads",
        "does not divide num_attention_heads",
    ),
    ("more groups than heads", llama(num_key_value_heads=32), "num_key_value_heads", "does not divide"),
    (
        "heads that do not fill",
        llama(num_attention_heads=12, head_dim=None),
        "num_attention_heads",
        "does not divide hidden_size",
    ),
    ("fewer layer types than layers", windows(layer_types=["full_attention"]), "layer_types", "names 1 layers"),
    ("more active than there are", experts(num_experts_per_tok=9), "num_experts_per_tok", "is more than the 8 experts"),
    (
        "a pattern of another length",
        llama(architectures=["NemotronHForCausalLM"], hybrid_override_pattern="M*M"),
        "hybrid_override_pattern",
        "must hold one of",
    ),
    (
        "a pattern with other letters",
        llama(architectures=["NemotronHForCausalLM"], hybrid_override_pattern="MX"),
        "hybrid_override_pattern",
        "must hold one of",
    ),
    # quantization
    ("unknown method", quantized(quant_method="bitsandbytes"), "quant_method", "there is no rule"),
    ("no method", llama(quantization_config={"bits": 4}), "quant_method", "there is no rule"),
    ("seven bits", quantized(bits=7), "bits", "is not a value that the format has"),
    ("negative group", quantized(group_size=-8), "group_size", "is not a value that the format has"),
    (
        "a block of one number",
        llama(quantization_config={"quant_method": "fp8", "weight_block_size": [128]}),
        "weight_block_size",
        "must be two positive numbers",
    ),
    (
        "no groups",
        llama(quantization_config={"quant_method": "compressed-tensors", "config_groups": {}}),
        "config_groups",
        "must name at least one group",
    ),
    (
        "an unknown algorithm",
        llama(quantization_config={"quant_method": "modelopt", "quant_algo": "INT1"}),
        "quant_algo",
        "there is no rule",
    ),
    (
        "mixed precision without layers",
        llama(quantization_config={"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}),
        "quantization_config",
        "names no module",
    ),
    (
        "a bad pattern",
        llama(quantization_config={"quant_method": "fp8", "ignored_layers": ["re:*lm_head("]}),
        "quantization_config",
        "no regular expression",
    ),
    (
        "bad targets",
        llama(
            quantization_config={
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"targets": ["re:["], "weights": {"num_bits": 8}}},
            }
        ),
        "quantization_config",
        "no regular expression",
    ),
    (
        "a block of nothing",
        llama(
            quantization_config={
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"strategy": "block", "block_structure": [0, 128]}}},
            }
        ),
        "block_structure",
        "must be two positive numbers",
    ),
    # other files of a repository
    ("a LoRA adapter", {"peft_type": "LORA", "base_model_name_or_path": "x/y", "r": 8}, "config.json", "LoRA adapter"),
    ("an index", {"metadata": {"total_size": 1}, "weight_map": {"a": "b"}}, "config.json", "is the index"),
    ("a params.json", {"dim": 4096, "n_layers": 32, "vocab_size": 32000}, "config.json", "is a params.json"),
    ("a quantizer's file", {"producer": {}, "quantization": {}}, "config.json", "hf_quant_config.json"),
    # classes
    (
        "a class that nobody knows",
        llama(architectures=["LlmaForCausalLM"]),
        "architectures",
        "does not know this model class",
    ),
    (
        "a class without a rule",
        llama(architectures=["DeepseekV4ForCausalLM"]),
        "architectures",
        "is not described here",
    ),
    ("not an object", ["LlamaForCausalLM"], "config.json", "is not a JSON object"),
]


@pytest.mark.parametrize(
    ("config", "key", "wrong"), [case[1:] for case in CONTENTS], ids=[case[0] for case in CONTENTS]
)
def test_contents(config: object, key: str, wrong: str) -> None:
    with pytest.raises(UserError) as caught:
        read_shape(json.loads(json.dumps(config)))
    problem = caught.value.problems[0]
    assert key in problem.key
    assert wrong in problem.wrong
    assert problem.fix


FILES: list[tuple[str, bytes, str]] = [
    ("truncated", json.dumps(llama()).encode()[:-40], "it ends too early"),
    ("cut in the middle of a word", b'{"architectures": ["LlamaFor', "is not JSON"),
    ("empty", b"", "is not JSON"),
    ("a web page", b"<!DOCTYPE html><html>404</html>", "is not JSON at line 1, column 1"),
    ("weights", bytes(range(256)) * 64, "is not text"),
    ("huge", b" " * (LARGEST_CONFIG + 1), "so it is no config.json"),
    ("deeply nested", b"[" * 200_000, "nested deeper"),
    ("a number of ten thousand digits", b'{"hidden_size": ' + b"1" * 10_000 + b"}", "thousands of digits"),
]


@pytest.mark.parametrize(("content", "wrong"), [case[1:] for case in FILES], ids=[case[0] for case in FILES])
def test_files(tmp_path: Path, content: bytes, wrong: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_shape(path)
    assert caught.value.problems[0].key == str(path)
    assert wrong in caught.value.problems[0].wrong


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        load_shape(tmp_path / "config.json")


def test_a_directory_stands_for_the_config_in_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(llama()))
    assert load_shape(tmp_path).hidden == 1024


def test_a_path_of_five_thousand_characters() -> None:
    for path in (Path(5000 * "a"), Path(20 * f"{250 * 'a'}/")):
        with pytest.raises(UserError, match="cannot be read: File name too long"):
            load_shape(path)


def test_what_a_quantizer_wrote_beside_counts_where_the_config_is_silent(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(llama()))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "NVFP4"}}))
    found = load_shape(tmp_path).quantization
    assert found is not None
    assert (found.method, found.main_scheme.bits) == ("modelopt", 4)
    (tmp_path / "config.json").write_text(json.dumps(quantized()))
    assert load_shape(tmp_path).quantization.method == "awq"  # pyright: ignore[reportOptionalMemberAccess]


def test_a_directory_without_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"config\.json: there is no such file"):
        load_shape(tmp_path)


ODD_VALUES = (
    *(0, 1, 3, 7, 2**20, -1, 2.5, True, None, "", "x", "re:(", "*[", [], [1], [0, 0], ["re:("], {}, {"a": 1}),
    *(math.nan, math.inf, -math.inf, 10**400, 5000 * "a", [math.nan], {"a": math.nan}),
)


NESTED = {
    "quantization_config": [
        {"quant_method": "compressed-tensors", "ignore": ["re:.*x"], "kv_cache_scheme": {"num_bits": 8}},
        {
            "quant_method": "compressed-tensors",
            "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32}}},
        },
        {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head"]},
        {"quant_method": "modelopt", "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}},
        {"quant_algo": "MIXED_PRECISION", "quantized_layers": {"a": {"quant_algo": "FP8"}}},
        QUANTIZED,
    ],
    "rope_scaling": [{"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}],
    "vision_config": [{"hidden_size": 64, "depth": 2, "patch_size": 14, "intermediate_size": 128}],
}


def changed(document: Any) -> Iterator[Any]:
    """The document with one value in it, at any depth, replaced by an odd one."""
    for key, value in document.items():
        yield from ({**document, key: odd} for odd in ODD_VALUES)
        if isinstance(value, dict):
            yield from ({**document, key: inner} for inner in changed(value))


def test_whatever_is_nested_in_a_field_there_is_an_answer_or_an_error_in_words() -> None:
    for field, documents in NESTED.items():
        for document in (one for known in documents for one in changed(known)):
            answered(llama(**{field: document}))


def answered(config: dict[str, Any]) -> None:
    try:
        shape = read_shape(config)
    except UserError as error:
        _ = str(error)
        return
    for tp in (1, 2, 8):
        found = verdict(size(shape, Serving(tensor_parallel_size=tp), H200))
        assert found.fits or all(str(problem) for problem in found.problems)


@pytest.mark.parametrize("make", [llama, experts, latent, hybrid, windows])
def test_whatever_a_field_holds_there_is_an_answer_or_an_error_in_words(make: Callable[[], dict[str, Any]]) -> None:
    config = make()
    for field in (*config, "quantization_config", "rope_scaling", "vision_config", "sliding_window", "layer_types"):
        for value in ODD_VALUES:
            answered({**config, field: value})


def test_there_are_more_than_forty() -> None:
    assert len(CONTENTS) + len(FILES) > 40
