"""The real vLLM 0.32.0 with models that make no tokens: one embeds, one scores, each behind the rendered edge."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asking import ask, series
from edge import KEY, Nginx, nginx
from played_server import played_server
from scripts import Load
from served import NAME, config, serving
from test_clients import EMBED, PRINTS, programs, way  # noqa: F401  a fixture
from vllm_cpu import Server, encoder, model

from tandem.ops.smoke import POOLED as CHECKS
from tandem.ops.smoke import Smoke, Target, run
from tandem.tasks import PATHS, POOLED, PROBES, Task, probe

pytestmark = pytest.mark.real
GENERATING = {"/v1/chat/completions", "/v1/completions", "/v1/responses"}
LENGTHS: dict[Task, int] = {"embed": 2048, "score": 512}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": ["a host", "a token"]},
    "/v1/rerank": {"query": "a host", "documents": ["a token", "a pod"]},
    "/v1/score": {"queries": "a host", "documents": ["a token", "a pod"]},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a host"}]},
}


@dataclass(frozen=True)
class Served:
    """A server and the edge before it."""

    task: Task
    vllm: Server
    edge: Nginx


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Task, Served]]:
    """They start at the same time. One that generates is made to embed, as vLLM converts it."""
    of: dict[Task, Path] = {"embed": model(), "score": encoder()}
    with contextlib.ExitStack() as stack:
        hosts = {task: config(task, length) for task, length in LENGTHS.items()}
        rooms = {task: tmp_path_factory.mktemp(task) for task in of}

        def start(task: Task) -> Server:
            return stack.enter_context(serving(hosts[task], rooms[task], of=of[task]))

        with ThreadPoolExecutor() as pool:
            servers = dict(zip(of, pool.map(start, of), strict=True))
        yield {
            task: Served(task, vllm, stack.enter_context(nginx(hosts[task], [vllm.port], rooms[task])))
            for task, vllm in servers.items()
        }


@pytest.fixture(params=["embed", "score"])
def served(request: pytest.FixtureRequest, both: dict[Task, Served]) -> Served:
    return both[request.param]


def test_vllm_answers_the_paths_of_the_task_and_the_edge_opens_them(served: Served) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{served.vllm.port}/openapi.json", timeout=30) as answer:
        routes = set(json.load(answer)["paths"])
    assert routes & (POOLED | GENERATING) == set(PATHS[served.task])
    for path, more in BODIES.items():
        answer = ask(served.edge.port, {"model": NAME, **more}, KEY, path)
        assert answer.status == (200 if path in PATHS[served.task] else 404), (path, answer.body)
    for path, more in PROBES[served.task].items():
        assert ask(served.vllm.port, {"model": NAME, **more}, None, path).status == 200


def test_smoke_finds_no_surprise(served: Served) -> None:
    target = Target(f"http://127.0.0.1:{served.edge.port}", KEY, timeout_seconds=60)
    found = {result.check: (result.outcome, result.detail) for result in run(Smoke(target, task=served.task))}
    assert {name: outcome for name, (outcome, _) in found.items()} == dict.fromkeys(CHECKS, "ok") | {
        "certificate": "skipped",
        "plain http": "skipped",
    }, found


def test_clients_that_embed_have_theirs(both: dict[Task, Served], programs: Path, tmp_path: Path) -> None:  # noqa: F811
    with way(both["embed"].vllm.port, tmp_path / "way", "embed") as found:
        for name in EMBED:
            done = found.run(programs, name)
            assert done.returncode == 0, done.stderr
            assert re.search(PRINTS[name], done.stdout), done.stdout


def test_one_request_may_have_more_texts_than_requests_may_wait(both: dict[Task, Served]) -> None:
    answer = ask(both["embed"].edge.port, {"model": NAME, "input": ["a host"] * 600}, KEY, "/v1/embeddings")
    assert answer.status == 200
    assert len(json.loads(answer.body)["data"]) == 600


@pytest.fixture
def watched(served: Served, load: Load, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The host's own scripts, whose looks take two seconds in place of 25."""
    scripts = load("embed", probe=probe(served.task, NAME))
    monkeypatch.setattr(scripts.probe, "SECONDS", 2.0)
    monkeypatch.setattr(scripts.probe, "LAST", 1.0)
    return scripts


def test_the_probe_passes_and_what_it_moves_is_prompts(served: Served, watched: SimpleNamespace) -> None:
    metric, port = watched.probe.metric, served.vllm.port
    read = metric(port, "prompt_tokens_total")
    assert watched.watchdog.Replica({"replica": 0, "port": port}).check() is True
    assert metric(port, "prompt_tokens_total") > read
    assert metric(port, "generation_tokens_total") == 0
    assert metric(port, "time_to_first_token_seconds_count") > 0, "until a vector or a score is there"
    assert metric(port, "inter_token_latency_seconds_count") == 0
    with played_server() as played:
        ours, theirs = (series(text(one)) for one in (played.port, port))
    assert {name: theirs[name] for name in ours} == ours


def text(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def busy(served: Served) -> Iterator[None]:
    """Requests of many texts, one after the other from each of four clients."""
    stop, path = threading.Event(), next(iter(PROBES[served.task]))
    texts = ["a host " * 40] * 200
    body = {"input": texts} if path == "/v1/embeddings" else {"query": "a host", "documents": texts}

    def go_on() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                ask(served.vllm.port, {"model": NAME, **body}, None, path, seconds=60)

    clients = [threading.Thread(target=go_on) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        stop.set()
        for client in clients:
            client.join()


def refused(*_: object, **__: object) -> None:
    raise OSError("every slot is taken")


def test_a_busy_server_is_told_from_one_that_hangs(
    served: Served, watched: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its own request is refused, as by a full server: the engine's counters tell."""
    asked = probe(served.task, NAME)
    with busy(served), monkeypatch.context() as full:
        full.setattr(watched.probe, "token", refused)
        deadline = time.monotonic() + 60
        while not watched.probe.metric(served.vllm.port, "num_requests_running", "num_requests_waiting"):
            assert time.monotonic() < deadline, "by which replicas follow the load"
            time.sleep(0.05)
        assert watched.probe.trouble(served.vllm.port, **asked) == ""
    os.kill(served.vllm.engine, signal.SIGSTOP)
    try:
        assert watched.probe.trouble(served.vllm.port, **asked).startswith("no token in 2.0 s")
    finally:
        os.kill(served.vllm.engine, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while why := watched.probe.trouble(served.vllm.port, **asked):
        assert time.monotonic() < deadline, why


def test_a_killed_engine_is_told(both: dict[Task, Served], load: Load) -> None:
    """The last test: nothing comes back here without a host's own units."""
    scripts, one = load("embed"), both["score"]
    os.kill(one.vllm.engine, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while not scripts.probe.trouble(one.vllm.port, **probe("score", NAME)):
        assert time.monotonic() < deadline
    assert ask(one.edge.port, {"model": NAME, **BODIES["/v1/rerank"]}, KEY, "/v1/rerank").status in (500, 502, 503)
