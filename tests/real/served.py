"""The real vLLM 0.32.0 as a host starts it, with tensor parallelism 2 and a model that a CPU can run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import stacks
from vllm_cpu import Server, server

from tandem.host.config import HostConfig
from tandem.serving.vllm import admission_arguments, server_environment, vllm_arguments

NAME = "tiny"


def config(**engine: Any) -> HostConfig:
    """dev's host, with a served model that a CPU can run and limits by client that no test here reaches."""
    dev = stacks.config("dev")
    small = replace(
        dev.engine,
        served_model_name=NAME,
        max_model_len=2048,
        revision=None,
        tool_call_parser=None,
        reasoning_parser=None,
        gpu_memory_utilization=None,
        **engine,
    )
    return replace(dev, engine=small, edge=replace(dev.edge, requests_per_second=10_000, connections=10_000))


@contextlib.contextmanager
def serving(config: HostConfig, directory: Path, *more: str) -> Iterator[Server]:
    """vLLM with a host's own arguments, and more of them."""
    arguments = [
        *vllm_arguments(config.engine, config.timeouts)[1:],
        *admission_arguments(config.engine, config.instance_types),
        *more,
    ]
    with server(arguments, server_environment(config.timeouts), directory / "vllm.log") as running:
        yield running


def completion(tokens: int = 4, **more: Any) -> dict[str, Any]:
    return {"model": NAME, "prompt": "a host", "max_tokens": tokens, "ignore_eos": True, **more}
