"""Batch and queue: the same figures for vLLM, nginx, pods and sizing, on every instance type."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import stacks

from tandem import capacity, pins
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.checks import size
from tandem.host.render import render_compose, render_files, render_nginx
from tandem.serving import fleet
from tandem.serving.engine import engine, timeouts
from tandem.serving.vllm import requests_at_once, vllm_arguments
from tandem.settings import Settings
from tandem.sizing.gpus import batch_size

# As `get_batch_defaults` of vLLM 0.32.0 has them: from 70 GiB 1024, but for the A100.
LARGE = ("g7e.", "p5.", "p5e.", "p5en.", "p6-b200.", "p6-b300.")


def flags(arguments: list[str]) -> dict[str, str]:
    """Values of the flags that bound requests."""
    return {name: arguments[arguments.index(name) + 1] for name in ("--max-num-seqs", "--max-num-queued-reqs")}


def profiles(**changes: Any) -> dict[str, Any]:
    """What hosts of every type in the catalog read."""
    dev = stacks.config("dev")
    config = replace(dev, engine=replace(dev.engine, **changes), instance_types=list(INSTANCE_TYPES.values()))
    return json.loads(render_files(config)["/etc/tandem/host.json"])["instance_types"]


def test_the_queue_comes_on_top_of_the_batch_of_the_type() -> None:
    for name, needs in profiles(max_queued_requests=100).items():
        batch = 1024 if name.startswith(LARGE) else 256
        assert flags(needs["arguments"]) == {"--max-num-seqs": str(batch), "--max-num-queued-reqs": str(batch + 100)}
        assert needs["requests"] == batch + 100, "what nginx lets through"


def test_a_batch_that_is_set_holds_everywhere() -> None:
    for needs in profiles(max_num_seqs=48, max_queued_requests=2).values():
        assert flags(needs["arguments"]) == {"--max-num-seqs": "48", "--max-num-queued-reqs": "50"}


def test_where_each_text_counts_as_a_request_the_edge_alone_counts() -> None:
    for needs in profiles(task="embed", max_num_seqs=48, max_queued_requests=2).values():
        assert "--max-num-queued-reqs" not in needs["arguments"]
        assert needs["requests"] == 50


def test_a_small_step_has_a_small_batch_as_vllm_itself_would_choose() -> None:
    for needs in profiles(max_num_batched_tokens=128, max_queued_requests=1).values():
        assert flags(needs["arguments"]) == {"--max-num-seqs": "128", "--max-num-queued-reqs": "129"}


def test_compose_bounds_vllm_and_nginx_alike() -> None:
    config = stacks.config("dev")
    assert '"--max-num-seqs", "256", "--max-num-queued-reqs", "512"' in render_compose(config, edge_image="nginx")
    assert "server vllm-1:8000 max_conns=512;" in render_nginx(config, compose_replicas=2)


@pytest.mark.parametrize(
    ("types", "batch"), [(["p5.48xlarge"], 1024), (["p5.48xlarge", "g6.12xlarge"], 256), (["p4de.24xlarge"], 256)]
)
def test_pods_have_the_batch_that_suits_every_type_and_sizing_knows_it(types: list[str], batch: int) -> None:
    settings = Settings.model_validate({"region": "us-east-1", "platform": "eks", "fleet": {"instanceTypes": types}})
    arguments = fleet.profile_arguments(settings, pins.load(), replace(stacks.config("dev").engine))
    assert (
        flags(arguments)["--max-num-seqs"] == str(batch) == str(batch_size(capacity.node_types(settings), None, None))
    )
    named = settings.inference.model_copy(update={"max_num_seqs": batch})
    assert size(settings) == size(settings.model_copy(update={"inference": named}))


def test_peers_over_pcie_are_tried_by_vllm_and_not_believed() -> None:
    tried = {
        name for name, needs in profiles().items() if needs.get("environment", {}).get("VLLM_SKIP_P2P_CHECK") == "0"
    }
    over_pcie = {name for name, needs in profiles().items() if needs.get("over_pcie")}
    assert tried == {name for name in INSTANCE_TYPES if name.startswith(("g4dn.", "g5.", "g6.", "g6e."))}
    never = {name for name in INSTANCE_TYPES if name.startswith(("g7.", "g7e."))}
    assert over_pcie - tried == never, "which never use peers"


STEPS = {
    "70B on H200": ("meta-llama/Llama-3.3-70B-Instruct", "fp8", ["p5en.48xlarge"], 2048),
    "70B in 16 bits on H200": ("meta-llama/Llama-3.3-70B-Instruct", None, ["p5en.48xlarge"], 1024),
    "32B on H200": ("Qwen/Qwen3-32B-FP8", None, ["p5en.48xlarge"], 2048),
    "8B on H200": ("Qwen/Qwen3-8B", None, ["p5en.48xlarge"], None),
    "8B on what takes a step of vLLM's own small": ("Qwen/Qwen3-8B", None, ["g6.12xlarge"], None),
    "70B, one type is small": ("meta-llama/Llama-3.3-70B-Instruct", "fp8", ["p5.48xlarge", "g6e.48xlarge"], None),
    "one that sees": ("Qwen/Qwen3-VL-32B-Instruct", None, ["p5en.48xlarge"], None),
}  # fmt: skip
"""Model, quantization, types, and the tokens of a step that vLLM is told."""


@pytest.mark.parametrize("what", STEPS)
def test_a_step_of_prompts_does_not_hold_up_answers(what: str) -> None:
    model, quantization, types, tokens = STEPS[what]
    settings = Settings.model_validate(
        {
            "region": "us-east-1",
            "fleet": {"instanceTypes": types},
            "inference": {"model": model, "quantization": quantization},
        }
    )
    sized = size(settings)
    assert sized.fits or len(types) > 1
    served = engine(settings, settings.inference, pins.load(), sized)
    told = vllm_arguments(served, timeouts(settings))
    assert ("--max-num-batched-tokens" in told) is (tokens is not None)
    assert tokens is None or told[told.index("--max-num-batched-tokens") + 1] == str(tokens)
    assert requests_at_once(served, [INSTANCE_TYPES[one] for one in types])[0] in (256, 1024)


@pytest.mark.parametrize(("changes", "tokens"), [({"maxNumBatchedTokens": 4096}, 4096), ({"maxNumSeqs": 2500}, 2500)])
def test_a_step_that_is_set_stays_and_is_no_smaller_than_the_batch(changes: dict[str, int], tokens: int) -> None:
    inference = {"model": "meta-llama/Llama-3.3-70B-Instruct", "quantization": "fp8", **changes}
    settings = Settings.model_validate(
        {"region": "us-east-1", "fleet": {"instanceTypes": ["p5en.48xlarge"]}, "inference": inference}
    )
    assert size(settings).max_num_batched_tokens == tokens
