"""A real vLLM 0.32.0 that is held full: who is answered, who is refused and how, and who takes it for a hung one."""

from __future__ import annotations

import collections
import contextlib
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import stacks
from asking import Answer, ask, series
from edge import KEY, nginx
from played_server import played_server
from scripts import Load
from served import LASTING, NAME, completion, config
from troubled import REFUSAL
from vllm_cpu import Server

from tandem.serving.vllm import requests_at_once
from tandem.tasks import probe
from tests.infra.kubernetes import samples

pytestmark = pytest.mark.real

BATCH, QUEUE = 8, 48
FULL_SECONDS = 300
CONFIG = config(max_num_seqs=BATCH, max_num_batched_tokens=64, max_queued_requests=QUEUE)
"""With a batch that a CPU can fill."""


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return LASTING(CONFIG, tmp_path_factory.mktemp("vllm"))


def at_once(port: int, number: int, tokens: int, key: str | None = None, **more: Any) -> list[Answer]:
    """Answers to so many requests that are sent at the same moment."""
    together, answers = threading.Barrier(number), list[Answer]()

    def one() -> None:
        together.wait()
        answers.append(ask(port, completion(tokens, **more), key))

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def kinds(answers: list[Answer]) -> collections.Counter[str]:
    """How many were answered whole, refused by status, or refused inside a stream that began with 200."""

    def kind(answer: Answer) -> str:
        if answer.status != 200:
            return str(answer.status)
        return "in stream" if answer.error else "whole"

    return collections.Counter(map(kind, answers))


@pytest.mark.parametrize("stream", [False, True])
def test_the_batch_and_40_more_at_once_are_all_answered(vllm: Server, stream: bool) -> None:
    assert kinds(at_once(vllm.port, BATCH + 40, 20, stream=stream)) == {"whole": BATCH + 40}


def test_what_is_beyond_batch_and_queue_is_refused(vllm: Server) -> None:
    found = kinds(at_once(vllm.port, BATCH + QUEUE + 20, 200))
    assert found == {"whole": BATCH + QUEUE, "503": 20}


def test_the_edge_refuses_before_a_stream_begins(vllm: Server, load: Load, tmp_path: Path) -> None:
    """Of a burst of twice what a replica takes, vLLM refuses a part inside the stream, and none behind the edge.

    On a busy machine a burst has a tail, and whoever comes after the first answers is served too.
    """
    metric = load().probe.metric
    number, bound = 2 * (BATCH + QUEUE), requests_at_once(CONFIG.engine, CONFIG.instance_types)[1]
    direct = [kinds(at_once(vllm.port, number, 200, stream=True)) for _ in range(3)]
    refused_by_vllm = metric(vllm.port, "admission_rejections_total", timeout=30)
    with nginx(CONFIG, [vllm.port], tmp_path, max_conns=bound) as edge:
        through = [at_once(edge.port, number, 200, KEY, stream=True) for _ in range(3)]
    print(f"bursts of {number}: direct {direct}, through the edge {list(map(kinds, through))}")
    assert metric(vllm.port, "admission_rejections_total", timeout=30) == refused_by_vllm > 0
    for answers in through:
        found = kinds(answers)
        assert set(found) == {"whole", "503"}
        assert found["whole"] >= bound
        for refused in (answer for answer in answers if answer.status == 503):
            assert refused.headers["retry-after"] == "5"
            assert json.loads(refused.body)["error"]["code"] == 503
    assert sum(found["in stream"] for found in direct) > 0, "vLLM asks a second time, once the stream has begun"


def test_trouble_refuses_inside_a_stream_as_vllm_does(vllm: Server) -> None:
    deadline, found = time.monotonic() + 60, None
    while found is None and time.monotonic() < deadline:
        burst = at_once(vllm.port, 2 * (BATCH + QUEUE), 50, stream=True)
        found = next((one.error for one in burst if one.status == 200 and one.error), None)
    assert found is not None
    ours = json.loads(REFUSAL.removeprefix(b"data: "))["error"]
    assert (ours.keys(), ours["code"]) == (found.keys(), found["code"])


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Seconds until it held."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            raise AssertionError(f"{what}: not in {seconds} s")
        time.sleep(0.1)
    return time.monotonic() - started


@contextlib.contextmanager
def held_full(port: int) -> Iterator[collections.Counter[str]]:
    """More clients than the server takes, who ask again as soon as they are answered or refused; counts both."""
    stop, found = threading.Event(), collections.Counter[str]()

    def client() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                found.update(kinds([ask(port, completion(200, stream=True), None)]))
            stop.wait(0.2)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(BATCH + QUEUE + 24)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@dataclass
class Kubelet:
    """Runs a pod's probe as the manifest says, and counts failures in a row.

    Stands for: the kubelet's exec probes: period, timeout, failure threshold.
    Held by: tests/real/test_kubelet.py::test_a_hung_server_is_not_ready_and_started_again
    """

    command: list[str]
    probe: dict[str, Any]
    results: list[tuple[float, str]] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        tick = time.monotonic()
        while not stop.wait(max(0, tick - time.monotonic())):
            tick = max(tick, time.monotonic()) + self.probe["periodSeconds"]
            try:
                done = subprocess.run(
                    self.command, capture_output=True, text=True, timeout=self.probe["timeoutSeconds"], check=False
                )
                said = done.stderr.strip() if done.returncode else ""
            except subprocess.TimeoutExpired:
                said = "cut off"
            self.results.append((time.monotonic(), said))

    def failed(self) -> bool:
        last = self.results[-self.probe["failureThreshold"] :]
        return len(last) == self.probe["failureThreshold"] and all(said for _, said in last)


PROBE = """
import pathlib, sys
import server
server.LOCAL = server.SHARED = pathlib.Path({directory!r})
if why := server.ready({{"port": {port}, "probe": {probe!r}}}):
    server.say(why)
    raise SystemExit(1)
"""


def kubelets(port: int, directory: Path) -> dict[str, Kubelet]:
    """Readiness and liveness as the program's manifest has them, of the pods' own script; only its paths are others."""
    (deployment,) = (one for one in samples.manifests("karpenter") if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    script = directory / "look.py"
    script.write_text(PROBE.format(directory=str(directory), port=port, probe=probe("generate", NAME)))
    path = f"{stacks.ROOT}/cloud-init/pod:{stacks.ROOT}/cloud-init/shared"
    command = ["env", f"PYTHONPATH={path}", sys.executable, str(script)]
    return {name: Kubelet(command, container[f"{name}Probe"]) for name in ("readiness", "liveness")}


def metrics_of(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        return answer.read().decode()


def test_a_full_server_is_as_the_played_one(vllm: Server, load: Load) -> None:
    """The server that unit tests of hosts and pods play: its metrics, its refusals, and that those come at once."""
    metric = load().probe.metric
    with played_server() as played:
        played.refuses = True
        ours, our_refusal = series(metrics_of(played.port)), ask(played.port, completion(1), None)
    with held_full(vllm.port):
        wait_for(
            lambda: metric(vllm.port, "num_requests_running", "num_requests_waiting") >= BATCH + QUEUE,
            120,
            "full",
        )
        refusals = [(time.perf_counter(), ask(vllm.port, completion(1), None), time.perf_counter()) for _ in range(20)]
    theirs = series(metrics_of(vllm.port))
    assert {name: theirs[name] for name in ours} == ours
    times = [end - start for start, answer, end in refusals if answer.status == 503]
    print(f"refused after {statistics.median(times) * 1e3:.0f} ms")
    refusal = next(answer for _, answer, _ in refusals if answer.status == 503)
    assert our_refusal.status == refusal.status
    assert json.loads(our_refusal.body).keys() == json.loads(refusal.body).keys()
    assert json.loads(our_refusal.body)["error"].keys() <= json.loads(refusal.body)["error"].keys()


def test_a_prompt_that_is_read_fills_the_cache_step_by_step_and_makes_no_token(vllm: Server, load: Load) -> None:
    metric, seen = load().probe.metric, set[float]()

    def read(number: int) -> None:
        """A prompt that none before it began like; on a fast machine few looks fall into its time."""
        tokens = metric(vllm.port, "generation_tokens_total")
        prompt = [[number % 500 for number in range(number, number + 2000)]]
        reader = threading.Thread(target=ask, args=(vllm.port, completion(1, prompt=prompt), None))
        reader.start()
        while reader.is_alive():
            cache = metric(vllm.port, "kv_cache_usage_perc")
            if metric(vllm.port, "generation_tokens_total") == tokens:
                seen.add(cache)

    for number in range(1, 50):
        read(number)
        if len(seen) >= 4:
            break
    assert len(seen) >= 4, "by which a long prompt is told from a hang"


class Watch:
    """The host's own watchdog in a thread, at its own pace; `docker kill` is noted, and so is what it reports."""

    def __init__(self, load: Load, monkeypatch: pytest.MonkeyPatch, port: int) -> None:
        body = {"model": NAME, "prompt": "1", "max_tokens": 1}
        self.scripts = load(probe={"path": "/v1/completions", "body": body})
        self.kills: list[float] = []
        self.looks: list[bool] = []
        watchdog = self.scripts.watchdog
        self.replica = watchdog.Replica({"replica": 0, "port": port})
        monkeypatch.setattr(watchdog, "sh", lambda *command, **_: self.kills.append(time.monotonic()))

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.looks.append(self.replica.check())
            stop.wait(self.scripts.watchdog.EVERY)


@pytest.mark.long
def test_five_minutes_of_a_full_server_alarm_nobody_and_a_hang_then_does(
    vllm: Server, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hang is the worst one to see: the server goes on refusing at once, as it did while it was only full."""
    stop, watch, probes = threading.Event(), Watch(load, monkeypatch, vllm.port), kubelets(vllm.port, tmp_path)
    metric = watch.scripts.probe.metric
    actors = [threading.Thread(target=one.run, args=(stop,), daemon=True) for one in (watch, *probes.values())]
    refused: list[float] = []
    with held_full(vllm.port) as clients, contextlib.ExitStack() as ending:
        ending.callback(stop.set)
        wait_for(
            lambda: metric(vllm.port, "num_requests_running", "num_requests_waiting") >= BATCH + QUEUE, 120, "full"
        )
        for actor in actors:
            actor.start()
        end = time.monotonic() + FULL_SECONDS
        while time.monotonic() < end:
            refused.append(metric(vllm.port, "admission_rejections_total", timeout=30))
            time.sleep(1)
        failed = {name: [said for _, said in probe.results if said] for name, probe in probes.items()}
        asked = {name: len(probe.results) for name, probe in probes.items()}
        print(
            f"full for {FULL_SECONDS} s: {len(watch.looks)} looks, {len(watch.kills)} kills, probes {asked}, {clients}"
        )
        assert (watch.kills, watch.looks.count(False)) == ([], 0)
        assert failed == {"readiness": [], "liveness": []}
        assert len(watch.looks) + sum(asked.values()) > 30
        idle = sum(before == after for before, after in itertools.pairwise(refused))
        assert idle < len(refused) / 10, "full nearly all the time: somebody was refused each second"

        hung, engine = time.monotonic(), vllm.engine
        os.kill(engine, signal.SIGSTOP)
        try:
            wait_for(lambda: watch.kills, 120, "the watchdog kills")
            wait_for(probes["readiness"].failed, 120, "the pod is not ready")
            wait_for(probes["liveness"].failed, 300, "the pod is restarted")
            print(f"hung: killed after {watch.kills[0] - hung:.0f} s, {time.monotonic() - hung:.0f} s until liveness")
            assert ask(vllm.port, completion(1), None, seconds=30).status == 503, "it refused all the time"
        finally:
            stop.set()
            os.kill(engine, signal.SIGCONT)
