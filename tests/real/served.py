"""The real vLLM 0.32.0 as a host starts it, with a model that a CPU can run."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import stacks
from vllm_cpu import Server, environment, server

from tandem.edge import edge_of
from tandem.host.config import HostConfig
from tandem.scripts import DIRECTORY
from tandem.serving.engine import Adapter
from tandem.serving.vllm import HOSTS_HUB, JUDGE, admission_arguments, server_environment, vllm_arguments
from tandem.settings import Settings
from tandem.settings.inference import InferenceSettings
from tandem.tasks import Task

NAME = "tiny"
TOOLS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
SCHEMAS = ("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}')
"""A model that knows nothing finds no end of white space."""
SHORT = ("--override-generation-config", '{"max_new_tokens": 96}')
"""Nor of an answer, and an example's limit is one of real answers; this is the server's."""
LOGGED = ("--no-disable-uvicorn-access-log", "--logging-config", '{"formatter": "text"}')
"""Each request, which test_strangers.py reads."""
ARGUMENTS = (*TOOLS, *SCHEMAS, *SHORT, *LOGGED)
"""Arguments of the server that files of the group `open` share (groups.py)."""


ADAPTER = Adapter(name="tuned", model="acme/tuned", revision="1" * 40, manifest="")


def adapted(hub: Path) -> HostConfig:
    """The same with an adapter, which is in a hub cache when this returns."""
    script = Path(__file__).with_name("tiny_adapter.py")
    subprocess.run([environment(), script, hub / ADAPTER.directory], check=True)
    found = config(adapters=[ADAPTER], adapter_slots=1, adapter_rank=4, tensor_parallel_size=2)
    return replace(found, edge=replace(found.edge, models=(NAME, ADAPTER.name)))


def config(task: Task = "generate", length: int = 2048, **engine: Any) -> HostConfig:
    """dev's host, or that of a model that makes no tokens, with a served model that a CPU can run, limits by client
    that no test here reaches, and one worker, which starts in half of the time of two: what those have of their own is
    test_engine.py's."""
    dev = stacks.config("dev")
    small = replace(
        dev.engine,
        served_model_name=NAME,
        max_model_len=length,
        task=task,
        revision=None,
        tool_call_parser=None,
        reasoning_parser=None,
        gpu_memory_utilization=None,
        **{"tensor_parallel_size": 1} | engine,
    )
    edge = edge_of(Settings(region="us-east-1"), [], InferenceSettings(task=task))
    edge = replace(dev.edge, paths=edge.paths, requests_per_second=10_000, connections=10_000)
    return replace(dev, engine=small, edge=edge)


@contextlib.contextmanager
def serving(
    config: HostConfig,
    directory: Path,
    *more: str,
    hub: Path = Path(HOSTS_HUB),
    of: Path | None = None,
) -> Iterator[Server]:
    """vLLM with a host's own arguments, and more of them; `of` as `server` has it."""
    arguments = [
        *vllm_arguments(config.engine, config.timeouts, str(hub))[1:],
        *admission_arguments(config.engine, config.instance_types),
        *more,
    ]
    judge = directory / JUDGE[1:]
    judge.mkdir(exist_ok=True)
    shutil.copy(DIRECTORY / "shared/guessing.py", judge)
    variables = server_environment(config.timeouts, config.engine) | {"PYTHONPATH": str(judge)}
    with server(arguments, variables, directory / "vllm.log", of) as running:
        yield running


class Lasting:
    """A server that tests of several files ask for with the same arguments; it ends when another is asked for, and with
    the group of these files (conftest.py)."""

    def __init__(self) -> None:
        self._stack, self._arguments = contextlib.ExitStack(), ""
        self._server: Server | None = None

    def __call__(self, config: HostConfig, directory: Path, *more: str) -> Server:
        """As `serving`."""
        arguments = repr((config.engine, more))
        if self._server is None or arguments != self._arguments:
            self.end()
            self._arguments, self._server = arguments, self._stack.enter_context(serving(config, directory, *more))
        return self._server

    def end(self) -> None:
        self._stack.close()
        self._server = None


LASTING = Lasting()


def completion(tokens: int = 4, **more: Any) -> dict[str, Any]:
    return {"model": NAME, "prompt": "a host", "max_tokens": tokens, "ignore_eos": True, **more}
