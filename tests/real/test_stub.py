"""The guest's stub of vLLM beside the real vLLM 0.32.0: the same questions to both, and the same kinds of answers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import ask, series
from edge import wait_for
from vllm_cpu import server

from pulumi_rehearsal.servers import free_port
from rehearsal.host.registry import stub

pytestmark = pytest.mark.real

NAME, BOUND = "tiny", 2
ARGUMENTS = ["--served-model-name", NAME, "--max-num-queued-reqs", str(BOUND)]
Running = tuple[int, subprocess.Popen[bytes]]


@contextlib.contextmanager
def played(directory: Path) -> Iterator[Running]:
    """The stub, with weights to find and a compile cache to fill.

    Stands for: nothing, it starts the stub that the test compares with vLLM.
    Held by: nothing, see rehearsal/host/stub.
    """
    snapshot = directory / "models--a--b/snapshots/0"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    port = free_port()
    command = [stub(directory), "serve", "a/b", "--revision", "0", *ARGUMENTS, "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**os.environ, "HF_HUB_CACHE": str(directory), "VLLM_CACHE_ROOT": str(directory)},
    )
    try:
        wait_for(port, process, 10)
        yield port, process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def real(directory: Path) -> Iterator[Running]:
    arguments = [*ARGUMENTS, "--tensor-parallel-size", "2", "--max-num-seqs", "8", "--max-model-len", "2048"]
    with server([*arguments, "--shutdown-timeout", "100"], {}, directory / "vllm.log") as running:
        yield running.port, running.process


def completion(tokens: int, **more: Any) -> dict[str, Any]:
    return {"model": NAME, "prompt": "1", "max_tokens": tokens, "ignore_eos": True, **more}


def get(port: int, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return answer.status, answer.read().decode()


def chunks(body: bytes) -> list[Any]:
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def begun(port: int, tokens: int, number: int) -> tuple[list[Any], list[threading.Thread]]:
    """So many streams that run; their answers come later."""
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(port, completion(tokens, stream=True), None)))
        for _ in range(number)
    ]
    for thread in threads:
        thread.start()
    while f"{number}.0" not in re.findall(r"num_requests_running\{.*\} (\S+)", get(port, "/metrics")[1]):
        pass
    return answers, threads


def seen(running: Running, tokens: int) -> dict[str, Any]:
    """What a server answers to all that hosts and their clients ask.

    Args:
        tokens: of a stream that lasts for some seconds.
    """
    port, process = running
    found: dict[str, Any] = {"health": get(port, "/health"), "series": series(get(port, "/metrics")[1])}
    found["open"] = ask(port, completion(1), None, "/invocations").status
    whole, stream = ask(port, completion(3), None), ask(port, completion(3, stream=True), None)
    found["whole"] = json.loads(whole.body)
    found["kinds"] = whole.status, whole.headers["content-type"], stream.status, stream.headers["content-type"]
    *found["chunks"], found["end"] = chunks(stream.body)
    answers, threads = begun(port, tokens, BOUND)
    refused = ask(port, completion(1), None)
    found["refused"] = refused.status, json.loads(refused.body)["error"]["code"], json.loads(refused.body)
    for thread in threads:
        thread.join()
    answers, threads = begun(port, tokens, 1)
    process.send_signal(signal.SIGTERM)
    late = ask(port, completion(1), None)
    while late.status == 200:  # until it has noticed
        late = ask(port, completion(1), None)
    found["draining"] = late.status, get(port, "/health")[0]
    for thread in threads:
        thread.join()
    found["ended"] = [(answer.status, chunks(answer.body)[-1]) for answer in answers], process.wait(60)
    return found


def fits(ours: Any, theirs: Any, where: str = "") -> None:
    """Each of our fields is among theirs, and of the same kind."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, dict):
        assert ours.keys() <= theirs.keys(), where
        for key, value in ours.items():
            fits(value, theirs[key], f"{where}.{key}")
    elif isinstance(ours, list):
        fits(ours[0], theirs[0], f"{where}[0]")


def test_the_stub_answers_as_vllm_does(tmp_path: Path) -> None:
    with played(tmp_path) as running:
        ours = seen(running, 40)
    with real(tmp_path) as running:
        theirs = seen(running, 2000)
    print({name: theirs[name] for name in ("refused", "draining", "ended")})
    for name in ("health", "open", "kinds", "end", "draining", "ended"):
        assert ours[name] == theirs[name], name
    assert {name: theirs["series"][name] for name in ours["series"]} == ours["series"]
    assert ours["refused"][:2] == theirs["refused"][:2]
    for name in ("whole", "chunks"):
        fits(ours[name], theirs[name], name)
    fits(ours["refused"][2], theirs["refused"][2], "refused")
    last = [found["chunks"][-1]["choices"][0]["finish_reason"] for found in (ours, theirs)]
    assert last == ["length", "length"]
