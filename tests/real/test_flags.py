"""Every vLLM argument that a setting or an instance type can produce, through the parser of the pinned vLLM itself."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stacks
from vllm_cpu import environment

import tandem.catalog.vllm_arguments
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.serving.engine import Adapter, Beside, Engine, timeouts
from tandem.serving.vllm import (
    CONVERTED,
    admission_arguments,
    profile,
    requests_at_once,
    server_environment,
    vllm_arguments,
)
from tandem.settings import Settings
from tandem.settings.inference import InferenceSettings, SpeculationSettings
from tests.infra.kubernetes import samples
from tests.settings.free_arguments import MEDIA_LIMITS, examples

pytestmark = pytest.mark.real

OF_VLLM = json.loads(Path(tandem.catalog.vllm_arguments.__file__).with_suffix(".json").read_text())
WAITS = timeouts(Settings(region="us-east-1"))
BASE = Engine(image="x", model="Qwen/Qwen3-8B", revision="0" * 40, served_model_name="Qwen/Qwen3-8B")
ADAPTERS = [Adapter(name=name, model=f"acme/{name}", revision="1" * 40, manifest="") for name in ("sql", "legal.2")]
HEAD = Beside(model="acme/head", revision="2" * 40, manifest="")
LOADED = [
    f"LoRAModulePath(name='{one.name}', path='/hub/{one.directory}', base_model_name=None, is_3d_lora_weight=False)"
    for one in ADAPTERS
]
MEANT: dict[str, Any] = {
    "model_tag": "Qwen/Qwen3-8B",
    "revision": "0" * 40,
    "served_model_name": ["Qwen/Qwen3-8B"],
    "tensor_parallel_size": 2,
    "shutdown_timeout": 300,
    "allowed_media_domains": ["no host"],
    "disable_uvicorn_access_log": True,
    "enable_log_requests": True,
    "otlp_traces_endpoint": None,
    "guesses": None,
    "load_format": "auto",
    "quantization": None,
    "kv_cache_dtype": "auto",
    "enable_auto_tool_choice": False,
    "runner": "auto",
    "convert": "auto",
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
        "media": ({"media_domains": ("a.example", "b.example")}, {"allowed_media_domains": ["a.example", "b.example"]}),
        "quiet": ({"log_requests": False}, {"enable_log_requests": False}),
        "n-grams": (
            {"speculation": SpeculationSettings(tokens=3, prompt_lookup_max=4, prompt_lookup_min=2, up_to_requests=2)},
            {"guesses": {"method": "ngram", "tokens": 3, "span": [2, 4], "by_requests": [3, 3, 0, 0, 0, 0, 0, 0]}},
        ),
        "n-grams as they come": (
            {"speculation": SpeculationSettings()},
            {"guesses": {"method": "ngram", "tokens": 4, "span": [5, 5], "by_requests": [4] * 8}},
        ),
        "n-grams of one length": (
            {"speculation": SpeculationSettings(tokens=64, prompt_lookup_max=64, up_to_requests=8)},
            {"guesses": {"method": "ngram", "tokens": 64, "span": [64, 64], "by_requests": [64] * 8}},
        ),
        **{
            f"guesses of {method}": (
                {"speculation": SpeculationSettings(method=method, model=HEAD.model, tokens=2), "draft": HEAD},
                {"guesses": {"method": vllms, "model": f"/hub/{HEAD.directory}", "tokens": 2, "by_requests": [2] * 8}},
            )
            for method, vllms in (("draft", "draft_model"), ("eagle", "eagle"), ("eagle3", "eagle3"))
        },
        "traced": (
            {"traces_endpoint": "https://otel.example.com/v1/traces"},
            {"otlp_traces_endpoint": "https://otel.example.com/v1/traces"},
        ),
        "code of the model's": ({"trust_remote_code": True}, {"trust_remote_code": True}),
        "one more": ({"extra_arguments": ["--enforce-eager", "--seed=7"]}, {"enforce_eager": True, "seed": 7}),
        **{
            f"media {told}": ({"extra_arguments": [f"--limit-mm-per-prompt={told}"]}, {"limits": holds})
            for told, holds in MEDIA_LIMITS.items()
        },
        "adapters": (
            {"adapters": ADAPTERS, "adapter_slots": 1, "adapter_rank": 40},
            {"enable_lora": True, "max_loras": 1, "max_cpu_loras": 2, "max_lora_rank": 64, "lora_modules": LOADED},
        ),
        **{task: ({"task": task}, {"runner": "pooling", "convert": convert}) for task, convert in CONVERTED.items()},
        "reasoning": ({"reasoning_parser": "qwen3"}, {"reasoning_parser": "qwen3"}),
        **{f"{gpus} GPUs": ({"tensor_parallel_size": gpus},) * 2 for gpus in choices("tensor_parallel_size")},
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
        needed = [*profile(instance_type, 580, 2).arguments, *admission_arguments(BASE, [instance_type])]
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
        gpus = {"tensor_parallel_size": config.engine.tensor_parallel_size}
        found[f"stack {stack}"] = (vllm_arguments(config.engine, config.timeouts), gpus)
    return found


@pytest.fixture(scope="module")
def parsed() -> dict[str, dict[str, Any]]:
    """All cases through the parser, in one process: importing vLLM takes half a minute."""
    free = {one: vllm_arguments(replace(BASE, extra_arguments=[one]), WAITS) for one in examples()}
    meant = free | {name: arguments for name, (arguments, _) in cases().items()}
    table = {name: [*arguments, "--host", "127.0.0.1", "--port", "8001"] for name, arguments in meant.items()}
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


def test_no_argument_is_an_abbreviation(parsed: dict[str, dict[str, Any]]) -> None:
    """The parser takes beginnings of names, so a misspelt one could pass for another."""
    assert {name: one["abbreviated"] for name, one in parsed.items() if one["abbreviated"]} == {}


def test_what_a_stack_may_add_is_parsed_and_says_something(parsed: dict[str, dict[str, Any]]) -> None:
    """Each in a command line of its own. Beside those that ask for what is so anyway, each changes what is read."""
    anyway = [one for one in examples() if parsed[one]["values"] == parsed["defaults"]["values"]]
    assert set(examples()) <= set(parsed)
    assert len(anyway) < len(examples()) / 3


def test_the_list_of_arguments_is_the_parsers_own() -> None:
    """What is new in a release is decided about in vllm_arguments.toml."""
    script = Path(__file__).with_name("list_arguments.py")
    done = subprocess.run([environment(), script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.partition("ANSWERS")[2])
    assert told == {name: OF_VLLM[name] for name in told}


def test_a_server_wants_no_key_and_listens_where_only_its_edge_is(parsed: dict[str, dict[str, Any]]) -> None:
    assert {(one["values"]["api_key"], one["values"]["host"]) for one in parsed.values()} == {(None, "127.0.0.1")}


def test_lines_are_json_without_prompts(parsed: dict[str, dict[str, Any]]) -> None:
    """A prompt is in a line of DEBUG, an answer in one of log_outputs."""
    values = parsed["defaults"]["values"]
    assert "formatter='json'" in values["logging_config"]
    assert "log_level='INFO'" in values["logging_config"]
    assert values["enable_log_outputs"] is False


PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
NOWHERE = "ValueError: The URL must be from one of the allowed domains: ['no host']"
MEDIA: list[tuple[str, str, str, list[str]]] = [
    # hosts of the settings, a URL, how what comes of it begins, what was asked for
    ("", PIXEL, "(1, 1)", []),
    ("", "http://127.0.0.1:PORT/x", NOWHERE, []),
    ("", "HTTP://127.0.0.1:PORT/x", NOWHERE, []),
    ("", "http:/127.0.0.1:PORT/x", NOWHERE, []),
    ("", "httpx://127.0.0.1:PORT/x", NOWHERE, []),
    ("", "http://169.254.169.254/latest/meta-data/", NOWHERE, []),
    ("", "http://no%20host:PORT/x", NOWHERE, []),
    ("", "http://no host:PORT/x", "LocationParseError", []),
    ("", "file:///etc/passwd", "RuntimeError: Cannot load local files", []),
    ("127.0.0.1", "http://localhost:PORT/x", "ValueError: The URL must be from one of", []),
    ("127.0.0.1", "http://127.0.0.1@localhost:PORT/x", "ValueError: The URL must be from one of", []),
    ("127.0.0.1", "http://127.0.0.1:PORT/x", "VLLMUnprocessableEntityError", ["/x"]),
    ("127.0.0.1", "http://127.0.0.1:PORT/elsewhere", "", ["/elsewhere"]),
]


@pytest.fixture(scope="module")
def fetched() -> list[tuple[str, list[str]]]:
    """What became of each of MEDIA, with the hosts that vLLM is given."""

    def hosts(of_settings: str) -> list[str]:
        arguments = vllm_arguments(replace(BASE, media_domains=tuple(of_settings.split())), WAITS)
        given = arguments[arguments.index("--allowed-media-domains") + 1 :]
        return list(itertools.takewhile(lambda one: not one.startswith("--"), given))

    asked = [(hosts(of_settings), url) for of_settings, url, _, _ in MEDIA]
    script = Path(__file__).with_name("media_urls.py")
    variables = {**os.environ, **server_environment(WAITS, BASE)}
    done = subprocess.run(
        [environment(), script], input=json.dumps(asked), env=variables, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.partition("ANSWERS")[2])


@pytest.mark.parametrize("number", range(len(MEDIA)), ids=[f"{one[0]} {one[1][:40]}" for one in MEDIA])
def test_media_come_from_where_the_settings_say_and_by_no_redirect(
    fetched: list[tuple[str, list[str]]], number: int
) -> None:
    said, asked = fetched[number]
    assert (said.startswith(MEDIA[number][2]), asked) == (True, MEDIA[number][3]), said
