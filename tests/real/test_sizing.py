"""Sizing against the real vLLM 0.32.0: KV-cache tokens of a CPU server with tensor parallelism 2, to the token."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vllm_cpu import Server, model, server

pytestmark = pytest.mark.real

SPACE_GIB = 1
"""What `vllm_cpu.server` gives each worker."""


# 1000 is no multiple of a block's 128 tokens: requests leave a part of their last block unused.
LENGTH = 1000


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = ["--tensor-parallel-size", "2", "--max-model-len", str(LENGTH)]
    with server(arguments, {}, tmp_path_factory.mktemp("vllm") / "log") as running:
        yield running


def test_the_plan_is_what_the_server_reports(vllm: Server) -> None:
    as_planned(vllm, LENGTH)


def as_planned(running: Server, length: int) -> None:
    """Also a server whose length is a multiple: that of test_engine.py."""
    check = _size(length, "--check", f"http://127.0.0.1:{running.port}")
    assert check["difference"] == 0
    assert check["asPlanned"] is True
    plan = _size(length)
    assert check["kvCacheTokens"] == plan["kvCacheTokens"] > 2_000_000
    assert f"{plan['kvCacheTokens']:,} tokens" in running.log.read_text()
    assert f"{plan['maxConcurrency']:.2f}x" in running.log.read_text()


def test_a_wrong_plan_is_found(vllm: Server) -> None:
    found_wrong(vllm, LENGTH)


def found_wrong(running: Server, length: int) -> None:
    check = _size(length, "--check", f"http://127.0.0.1:{running.port}", space=SPACE_GIB + 1)
    assert check["difference"] == 1
    assert check["asPlanned"] is False


def _size(length: int, *more: str, space: int = SPACE_GIB) -> dict[str, Any]:
    command = [
        *(Path(sys.executable).with_name("tandem"), "memory", "--config", model(), "--tp", "2", "--json"),
        *("--cpu-kvcache-space", str(space), "--max-model-len", str(length), *more),
    ]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
