"""Batch and queue: the same figures for vLLM, nginx, pods and sizing, on every instance type."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import stacks

from tandem import capacity, pins
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.checks import size_of
from tandem.host.render import render_compose, render_files, render_nginx
from tandem.serving import fleet
from tandem.settings import Settings
from tandem.sizing.gpus import batch_size

# As `get_batch_defaults` of vLLM 0.32.0 has them: from 70 GiB 1024, but for the A100.
LARGE = {"g7e.12xlarge", "g7e.24xlarge", "p5.48xlarge", "p5en.48xlarge", "p6-b200.48xlarge"}


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
        batch = 1024 if name in LARGE else 256
        assert flags(needs["arguments"]) == {"--max-num-seqs": str(batch), "--max-num-queued-reqs": str(batch + 100)}
        assert needs["requests"] == batch + 100, "what nginx lets through"


def test_a_batch_that_is_set_holds_everywhere() -> None:
    for needs in profiles(max_num_seqs=48, max_queued_requests=2).values():
        assert flags(needs["arguments"]) == {"--max-num-seqs": "48", "--max-num-queued-reqs": "50"}


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
    assert size_of(settings.inference, settings) == size_of(named, settings)


def test_peers_over_pcie_are_tried_by_vllm_and_not_believed() -> None:
    tried = {
        name for name, needs in profiles().items() if needs.get("environment", {}).get("VLLM_SKIP_P2P_CHECK") == "0"
    }
    over_pcie = {name for name, needs in profiles().items() if needs.get("over_pcie")}
    assert tried == {name for name in INSTANCE_TYPES if name.startswith(("g4dn.", "g5.", "g6.", "g6e."))}
    assert over_pcie - tried == {"g7.12xlarge", "g7e.12xlarge", "g7e.24xlarge"}, "which never use peers"
