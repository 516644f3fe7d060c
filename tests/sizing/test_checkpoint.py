"""Weights by the files themselves: headers and index, at hand and on the hub, and what of them is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tandem.errors import UserError
from tandem.sizing.checkpoint import header_length, loaded, scale, weighed_by_index
from tandem.sizing.config_file import load_shape
from tandem.sizing.fits import verdict
from tandem.sizing.memory import size
from tandem.sizing.reading import read_shape, with_quantization
from tandem.sizing.serving import Gpu, Serving
from tandem.sizing.weights import weight_bytes
from tests.sizing.configs import llama

CONFIG = llama(num_hidden_layers=16)
SHAPE = read_shape(CONFIG)
OURS = weight_bytes(SHAPE, 1)
CARD = Gpu(mib=143156, compute_capability=9.0)


def file_of(tensors: dict[str, int], dtype: str = "BF16") -> bytes:
    """A safetensors file without its tensors, as the format's page describes it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, size_of in tensors.items():
        header[name] = {"dtype": dtype, "shape": [size_of // 2], "data_offsets": [place, place + size_of]}
        place += size_of
    return _file(header)


def _file(header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


def directory(path: Path, **files: bytes) -> Path:
    (path / "config.json").write_text(json.dumps(CONFIG))
    for name, content in files.items():
        (path / f"{name}.safetensors").write_bytes(content)
    return path


def test_a_heavier_checkpoint_is_counted_as_it_is_on_every_gpu(tmp_path: Path) -> None:
    heavier = {"model.embed_tokens.weight": OURS, "vision_tower.a.weight": OURS // 2}
    shape = load_shape(directory(tmp_path, **{"model-00001-of-00001": file_of(heavier)}))
    assert shape.checkpoint_bytes == OURS + OURS // 2
    for tp in (1, 2):
        serving = Serving(tensor_parallel_size=tp, max_model_len=4096)
        own, by_shape = size(shape, serving, CARD), size(SHAPE, serving, CARD)
        assert own.parts.weights == pytest.approx(1.5 * by_shape.parts.weights, rel=1e-6)
        assert any("50% more to load" in warning for warning in verdict(own).warnings)
        assert not any("to load" in warning for warning in verdict(by_shape).warnings)


def test_within_a_hundredth_the_shape_stands(tmp_path: Path) -> None:
    shape = load_shape(directory(tmp_path, model=file_of({"model.embed_tokens.weight": int(OURS * 0.995) & ~1})))
    assert shape.checkpoint_bytes == int(OURS * 0.995) & ~1
    assert scale(shape, hopper=True) == 1


def test_what_is_not_loaded_is_not_counted() -> None:
    tied = read_shape({**CONFIG, "tie_word_embeddings": True})
    tensors = [
        ("model.layers.15.mlp.gate.weight", 1),
        ("model.layers.16.mlp.gate.weight", 10),  # a layer that drafts: the model has 16
        ("model.language_model.layers.16.mlp.gate.weight", 100),
        ("mtp.layers.0.weight", 1000),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", 10_000),
        ("lm_head.weight", 100_000),
        ("vision_tower.encoder.layers.20.weight", 1_000_000),
    ]
    assert loaded(tied, tensors) == 1_000_001
    assert loaded(read_shape({**CONFIG, "tie_word_embeddings": False}), tensors) == 1_100_001


def test_an_index_is_taken_where_the_files_are_not_and_all_of_it_is_loaded(tmp_path: Path) -> None:
    index = {"metadata": {"total_size": 3 * OURS}, "weight_map": {"model.embed_tokens.weight": "a.safetensors"}}
    (directory(tmp_path) / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load_shape(tmp_path).checkpoint_bytes == 3 * OURS
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    assert load_shape(directory(tmp_path, a=pointer)).checkpoint_bytes == 3 * OURS
    drafts = {**index, "weight_map": {"mtp.fc.weight": "a.safetensors"}}
    assert weighed_by_index(SHAPE, drafts).checkpoint_bytes is None


@pytest.mark.parametrize(
    "present",
    [
        # Mistral's repositories have the same weights twice; vLLM takes its own format where it is there.
        {"consolidated": "BF16", "model": "BF16"},
        {"consolidated": "BF16", "model-00001-of-00001": "BF16", "index": "model-00001-of-00001"},
        # Another file that the index does not name.
        {"extra": "BF16", "model-00001-of-00001": "BF16", "index": "model-00001-of-00001"},
        # The same tensors in two files.
        {"one": "BF16", "two": "BF16"},
        # Stored in more or fewer bits than the model has: vLLM makes its dtype of them.
        {"model": "F32"},
        {"model": "F8_E4M3"},
    ],
)
def test_weights_that_lie_there_twice_or_in_another_dtype_are_counted_as_a_gpu_has_them(
    tmp_path: Path, present: dict[str, str]
) -> None:
    widths = {"F32": 4, "BF16": 2, "F8_E4M3": 1}
    listed = present.get("index")
    for name, dtype in present.items():
        if name != "index":
            weights = {"model.embed_tokens.weight": 3 * OURS // 2 * widths[dtype]}
            directory(tmp_path, **{name: file_of(weights, dtype)})
    if listed:
        index = {"metadata": {}, "weight_map": {"model.embed_tokens.weight": f"{listed}.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    directory(tmp_path)
    assert load_shape(tmp_path).checkpoint_bytes == 3 * OURS // 2 * 2


def test_a_quantized_checkpoint_is_as_heavy_as_its_files(tmp_path: Path) -> None:
    quantized = CONFIG | {"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic"}}
    directory(tmp_path, model=file_of({"model.embed_tokens.weight": 4000}, "F32"))
    (tmp_path / "config.json").write_text(json.dumps(quantized))
    assert load_shape(tmp_path).checkpoint_bytes == 4000


def test_of_a_broken_download_the_index_counts(tmp_path: Path) -> None:
    names = ("model-00001-of-00002", "model-00002-of-00002")
    index = {"metadata": {"total_size": 3 * OURS}, "weight_map": {name: f"{name}.safetensors" for name in names}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    directory(tmp_path, **{names[0]: file_of({names[0]: 4000})})
    assert load_shape(tmp_path).checkpoint_bytes == 3 * OURS
    (tmp_path / f"{names[1]}.safetensors").symlink_to(tmp_path / "blobs" / "none")
    assert load_shape(tmp_path).checkpoint_bytes == 3 * OURS


@pytest.mark.parametrize("times", [0.5, 2, 4])
def test_an_index_that_counts_another_dtype_changes_nothing(times: float) -> None:
    index = {"metadata": {"total_size": int(times * OURS)}, "weight_map": {"model.embed_tokens.weight": "a"}}
    assert weighed_by_index(SHAPE, index) is SHAPE
    quantized = read_shape(CONFIG | {"quantization_config": {"quant_method": "fp8", "activation_scheme": "dynamic"}})
    assert weighed_by_index(quantized, index).checkpoint_bytes == int(times * OURS)


def test_a_header_without_tensors_weighs_nothing_up(tmp_path: Path) -> None:
    assert load_shape(directory(tmp_path, model=file_of({}))).checkpoint_bytes is None
    assert weighed_by_index(SHAPE, {"metadata": {"total_size": float("inf")}, "weight_map": {}}) is SHAPE


@pytest.mark.parametrize("index", [[], {}, {"metadata": {}}, {"metadata": {"total_size": "x"}, "weight_map": {}}, None])
def test_an_index_that_says_nothing_changes_nothing(index: Any) -> None:
    assert weighed_by_index(SHAPE, index) is SHAPE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 20,
        (40).to_bytes(8, "little") + b"{",
        (2).to_bytes(8, "little") + b"[]",
        (12).to_bytes(8, "little") + b'{"a": "bcd"}',
        (9).to_bytes(8, "little") + b'{"a": {}}',
        _file({"a": {"dtype": "F16", "data_offsets": [0, -40]}}),
        _file({"a": {"dtype": "F16", "data_offsets": [0, 1e400]}}),
        _file({"a": {"dtype": "F16", "data_offsets": "ab"}}),
        _file({"a": {"dtype": [], "data_offsets": [0, 2]}}),
    ],
)
def test_what_is_no_safetensors_file_is_said(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError) as raised:
        load_shape(directory(tmp_path, model=content))
    assert "is no file of safetensors" in str(raised.value)
    assert "model.safetensors" in str(raised.value)


def test_a_header_is_no_longer_than_the_format_allows() -> None:
    assert header_length((100_000_000).to_bytes(8, "little"), "x") == 100_000_000
    with pytest.raises(UserError):
        header_length((100_000_001).to_bytes(8, "little"), "x")


def test_what_is_quantized_as_it_loads_is_not_as_heavy_as_its_files(tmp_path: Path) -> None:
    shape = load_shape(directory(tmp_path, model=file_of({"model.embed_tokens.weight": 2 * OURS})))
    assert with_quantization(shape, "fp8").checkpoint_bytes is None
