"""Every vLLM argument that a setting or an instance type can produce, through the parser of the pinned vLLM itself."""

from __future__ import annotations

import json
import subprocess
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stacks
from vllm_cpu import environment

from infra.catalog.instances import INSTANCE_TYPES
from infra.serving.engine import Engine, timeouts
from infra.serving.vllm import admission_arguments, profile, requests_at_once, vllm_arguments
from infra.settings import Settings
from infra.settings.schema import InferenceSettings
from tests.infra.kubernetes import samples

pytestmark = pytest.mark.real

WAITS = timeouts(Settings(region="us-east-1"))
BASE = Engine(image="x", model="Qwen/Qwen3-8B", revision="0" * 40, served_model_name="Qwen/Qwen3-8B")
MEANT: dict[str, Any] = {
    "model_tag": "Qwen/Qwen3-8B",
    "revision": "0" * 40,
    "served_model_name": ["Qwen/Qwen3-8B"],
    "tensor_parallel_size": 2,
    "shutdown_timeout": 300,
    "disable_access_log_for_endpoints": "/health,/metrics",
    "load_format": "auto",
    "quantization": None,
    "kv_cache_dtype": "auto",
    "enable_auto_tool_choice": False,
}


def choices(field: str) -> list[str]:
    """The values that a setting's Literal allows."""
    found: list[str] = []
    for part in (InferenceSettings.model_fields[field].annotation,):
        for item in (part, *typing.get_args(part)):
            if typing.get_origin(item) is typing.Literal:
                found += typing.get_args(item)
    return found


def cases() -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Name to (arguments, what they mean)."""
    changes: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "defaults": ({}, {}),
        "unpinned": ({"revision": None}, {"revision": None}),
        "renamed": ({"served_model_name": "chat"}, {"served_model_name": ["chat"]}),
        "streamed": (
            {"weights": "s3", "weights_s3_uri": "s3://bucket/model"},
            {"model_tag": "s3://bucket/model", "revision": None, "load_format": "runai_streamer"},
        ),
        "in place": ({"weights": "efs"}, {}),
        "length": ({"max_model_len": 32768}, {"max_model_len": 32768}),
        "utilization": ({"gpu_memory_utilization": 0.85}, {"gpu_memory_utilization": 0.85}),
        "tokens": ({"max_num_batched_tokens": 8192}, {"max_num_batched_tokens": 8192}),
        "pipeline": ({"pipeline_parallel_size": 2}, {"pipeline_parallel_size": 2}),
        "tools": (
            {"tool_call_parser": "hermes"},
            {"tool_call_parser": "hermes", "enable_auto_tool_choice": True},
        ),
        "reasoning": ({"reasoning_parser": "qwen3"}, {"reasoning_parser": "qwen3"}),
        **{f"quantization {name}": ({"quantization": name},) * 2 for name in choices("quantization")},
        **{f"kv cache {name}": ({"kv_cache_dtype": name},) * 2 for name in choices("kv_cache_dtype")},
    }
    found = {
        name: (vllm_arguments(replace(BASE, **change), WAITS), MEANT | meant)
        for name, (change, meant) in changes.items()
    }
    shorter = replace(WAITS, longest_generation=100)
    found["drain"] = (vllm_arguments(BASE, shorter), MEANT | {"shutdown_timeout": 100})
    for instance_type in INSTANCE_TYPES.values():
        own: dict[str, Any] = {"dtype": "auto", "disable_custom_all_reduce": False}
        if instance_type.name.startswith("g4dn."):
            own["dtype"] = "half"
        if instance_type.name.startswith(("g7.", "g7e.")):
            own["disable_custom_all_reduce"] = True
        batch, requests = requests_at_once(BASE, [instance_type])
        own |= {"max_num_seqs": batch, "max_num_queued_reqs": requests}
        needed = [*profile(instance_type, 580).arguments, *admission_arguments(BASE, [instance_type])]
        found[instance_type.name] = ([*vllm_arguments(BASE, WAITS), *needed], MEANT | own)
    for rank, role in enumerate(("leader", "worker")):
        (replica,) = (one for one in samples.manifests("pipeline") if one["kind"] == "LeaderWorkerSet")
        spec = replica["spec"]["leaderWorkerTemplate"][f"{role}Template"]["spec"]
        command = [*spec["containers"][0]["command"]]
        command[command.index("--master-addr") + 1] = "10.0.0.1"
        command[command.index("--node-rank") + 1] = str(rank)
        arguments = command[2 : command.index("--host")] if role == "leader" else command[2:]
        found[f"pipeline {role}"] = (
            arguments,
            {"nnodes": 2, "node_rank": rank, "master_addr": "10.0.0.1", "headless": role == "worker"}
            | {"distributed_timeout_seconds": 3600},
        )
    for stack in stacks.NAMES:
        config = stacks.config(stack)
        found[f"stack {stack}"] = (vllm_arguments(config.engine, config.timeouts), {"tensor_parallel_size": 2})
    return found


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All cases through the parser, in one process: importing vLLM takes half a minute."""
    keys = tmp_path_factory.mktemp("keys") / "vllm.yaml"
    keys.write_text(json.dumps({"api-key": ["first-key", "second-key"]}))
    table = {name: [*arguments, "--host", "127.0.0.1", "--port", "8001", "--config", str(keys)]
             for name, (arguments, _) in cases().items()}  # fmt: skip
    script = Path(__file__).with_name("parse_arguments.py")
    done = subprocess.run(
        [environment(), script], input=json.dumps(list(table.values())), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.partition("ANSWERS")[2])
    return dict(zip(table, answers, strict=True))


@pytest.mark.parametrize("name", cases())
def test_vllm_understands_what_was_meant(parsed: dict[str, dict[str, Any]], name: str) -> None:
    values, meant = parsed[name]["values"], cases()[name][1]
    assert {key: values[key] for key in meant} == meant
    assert (values["host"], values["port"]) == ("127.0.0.1", 8001)


@pytest.mark.parametrize("name", cases())
def test_no_argument_is_an_abbreviation(parsed: dict[str, dict[str, Any]], name: str) -> None:
    """The parser takes beginnings of names, so a misspelt one could pass for another."""
    assert parsed[name]["abbreviated"] == []


def test_keys_come_from_the_file(parsed: dict[str, dict[str, Any]]) -> None:
    assert parsed["defaults"]["values"]["api_key"] == ["first-key", "second-key"]
