"""Which files of a model are taken: one rule for `tandem pin` and the machines."""

from __future__ import annotations

from typing import Any

import pytest

from tandem.scripts import shared

rule = shared("manifest")
SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def file(name: str, large: bool = False) -> dict[str, Any]:
    return {"rfilename": name, "size": 5, "blobId": "1" * 40, **({"lfs": {"sha256": "2" * 64}} if large else {})}


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ([*SHARDS, "pytorch_model.bin", "model.gguf", "original/model.safetensors", "tf_model.h5"], SHARDS),
        (["pytorch_model-1.bin", "training_args.bin", "optimizer.bin", "metal/model.bin"], ["pytorch_model-1.bin"]),
        ([*SHARDS, "consolidated.safetensors"], SHARDS),
        (["consolidated.safetensors", "params.json"], ["consolidated.safetensors", "params.json"]),
        ([*SHARDS, "README.md", "LICENSE", ".gitattributes", "figures/a.png"], SHARDS),
        ([*SHARDS, "../outside.json", "a/../../b.json", "/etc/docker/daemon.json"], SHARDS),
        (
            [
                *SHARDS,
                "modules.json",
                "1_Pooling/config.json",
                "2_Dense/model.safetensors",
                "2_Dense/pytorch_model.bin",
            ],
            [*SHARDS, "modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors"],
        ),
        (
            ["pytorch_model.bin", "2_Dense/pytorch_model.bin", "onnx/model.safetensors"],
            ["pytorch_model.bin", "2_Dense/pytorch_model.bin"],
        ),
        (
            [*SHARDS, "tokenizer.model.v3", "tiktoken.model", "merges.txt", "chat_template.jinja", "modeling_x.py"],
            [*SHARDS, "tokenizer.model.v3", "tiktoken.model", "merges.txt", "chat_template.jinja", "modeling_x.py"],
        ),
    ],
)
def test_what_vllm_loads_is_taken(there: list[str], taken: list[str]) -> None:
    assert rule.taken(["config.json", *there]) == sorted(["config.json", *taken])


def test_of_an_adapter_vllm_loads_two_files_whatever_lies_beside_them() -> None:
    two = ["adapter_config.json", "adapter_model.safetensors"]
    beside = ["config.json", "tokenizer.json", "training_args.bin", "checkpoint-9/adapter_model.safetensors"]
    assert rule.taken([*two, *beside]) == rule.taken(two) == two
    assert rule.taken([*two, "config.json", "model.safetensors"])[-1] == "model.safetensors", "a whole model"


@pytest.mark.parametrize(
    "there",
    [
        ["adapter_config.json", "adapter_model.bin"],
        SHARDS,
        ["config.json"],
        ["config.json", "model.gguf"],
        ["config.json", "a.pth"],
        [],
    ],
)
def test_without_config_or_weights_there_is_no_manifest(there: list[str]) -> None:
    with pytest.raises(ValueError, match=r"no config\.json, or no weights"):
        rule.taken(there)


def test_a_manifest_has_the_hash_that_the_hub_knows_a_file_by() -> None:
    rows = rule.of_hub([file("model.safetensors", large=True), file("config.json"), file("README.md")])
    assert rows == [("1" * 40, 5, "config.json"), ("2" * 64, 5, "model.safetensors")]


def test_a_mirror_that_tells_no_hashes_or_sizes_is_no_help() -> None:
    names = ("config.json", "model.safetensors")
    for known, lacking in (({}, "blobId"), ({"blobId": "1" * 40}, "size")):
        with pytest.raises(ValueError, match=f"no '{lacking}' of each file in the hub's answer"):
            rule.of_hub([{"rfilename": name, **known} for name in names])


def test_a_digest_changes_with_every_part_of_every_row() -> None:
    rows = [("1" * 40, 5, "config.json")]
    others = [[("2" * 40, 5, "config.json")], [("1" * 40, 6, "config.json")], [("1" * 40, 5, "other.json")], []]
    assert len({rule.digest(one) for one in (rows, *others)}) == 5
    assert rule.digest([list(row) for row in rows]) == rule.digest(rows), "as a marker has it"
