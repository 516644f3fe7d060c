"""What machines report, of a real vLLM 0.32.0: every name that is read is there, and real trouble calls its alarm.

The clock of the looks is played, ten seconds for one, so that alarms of minutes take seconds.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from asking import ask
from served import completion, config, serving
from vllm_cpu import Server

from rehearsal.played_alarms import Figures, fires
from tandem.alarms import alarms
from tandem.objectives import Objectives
from tandem.scripts import DIRECTORY
from tandem.settings.inference import SpeculationSettings
from tandem.settings.types import BETWEEN_TOKENS, FIRST_TOKEN

sys.path.insert(0, str(DIRECTORY / "shared"))

import telemetry

from tests.shared.told_server import ToldServer
from tests.shared.world import reported

pytestmark = pytest.mark.real

SMALL = ("--num-gpu-blocks-override", "24", "--block-size", "32", "--max-model-len", "512")
"""A KV cache that some streams fill."""
BATCH, STREAMS = 8, 20
PAYS = {1: 0.05}
GUESSES = SpeculationSettings(tokens=3, prompt_lookup_max=3, prompt_lookup_min=2, up_to_requests=1)
PROMISED = Objectives(first_token_seconds=640, between_tokens_seconds=1, availability=0.995)
"""On a busy machine with two processors; the alarms of latency are the unit tests'."""
ALARMS = {alarm.name: alarm for alarm in alarms(PROMISED, always_on=True, servers=1, gpus=False)}


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    guesses = {"speculation": GUESSES, "guesses_pay": PAYS}
    small = config(max_num_seqs=BATCH, max_num_batched_tokens=64, max_queued_requests=100, **guesses)
    with serving(small, tmp_path_factory.mktemp("vllm"), *SMALL) as running:
        yield running


class Watch:
    """Reports of one server, on a clock of its own."""

    def __init__(self, port: int) -> None:
        self.now, self.figures = 0, Figures()
        server = telemetry.Server(telemetry.metrics_of(port))
        self.telemetry = telemetry.Telemetry([server], dict, dict, self._put, {"Stack": "s", "Model": "m"}, print)

    def _put(self, **parameters: str) -> None:
        self.figures.put(self.now - 1, reported(parameters))

    def look(self, looks: int, pause: float = 0.5) -> set[str]:
        """So many looks; the alarms that call after them."""
        for _ in range(looks):
            time.sleep(pause)
            self.now += telemetry.SAMPLE
            self.telemetry.look(self.now)
            if self.now % telemetry.EVERY == 0:
                self.telemetry.report()
        return {name for name, alarm in ALARMS.items() if fires(alarm, self.figures, self.now)}


def seen(vllm: Server) -> telemetry.Seen:
    return telemetry.read(telemetry.metrics_of(vllm.port)())


@contextlib.contextmanager
def streams(port: int) -> Iterator[None]:
    """So many clients at once, who ask again and again."""
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                ask(port, completion(300, stream=True), None)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(STREAMS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_real_server_tells_all_that_is_read(vllm: Server) -> None:
    """Also before its first request: an alarm on a name that is not there would never call."""
    text = telemetry.metrics_of(vllm.port)()
    assert {name for name, _, _ in telemetry.LINE.findall(text)} == set(telemetry.NEEDED)
    theirs, ours = telemetry.read(text), telemetry.read(ToldServer(guessed=0).ask())
    assert ours.keys() == theirs.keys(), "the server that unit tests play has the same buckets"


@pytest.mark.parametrize(
    ("histogram", "bounds"),
    [("vllm:time_to_first_token_seconds", FIRST_TOKEN), ("vllm:inter_token_latency_seconds", BETWEEN_TOKENS)],
)
def test_objectives_are_bounds_of_its_histograms(vllm: Server, histogram: str, bounds: tuple[float, ...]) -> None:
    found = telemetry.LINE.findall(telemetry.metrics_of(vllm.port)())
    said = {labels.partition('le="')[2].partition('"')[0] for name, labels, _ in found if name == f"{histogram}_bucket"}
    assert set(bounds) <= {float(text) for text in said}


def test_what_a_request_leaves_behind_is_reported(vllm: Server) -> None:
    watch = Watch(vllm.port)
    watch.look(1)
    assert ask(vllm.port, completion(20), None).status == 200
    watch.look(5)
    found = {name: watch.figures.statistic(name, "Sum", 0, watch.now) for name in ("TokensOut", "Failed", "Servers")}
    assert found == {"TokensOut": 20, "Failed": None, "Servers": 1}
    assert watch.figures.statistic("FirstToken", "Average", 0, watch.now)
    assert watch.figures.statistic("BetweenTokens", "Average", 0, watch.now)


def test_the_share_of_right_guesses_is_reported(vllm: Server) -> None:
    """A model with random weights soon repeats itself, and what n-grams guess is then right."""
    watch = Watch(vllm.port)
    watch.look(1)
    before = seen(vllm)
    assert ask(vllm.port, completion(200, temperature=0), None).status == 200
    watch.look(5)
    guessed, right = (seen(vllm)[name] - before[name] for name in (telemetry.GUESSED, telemetry.RIGHT))
    assert 0 < right <= guessed
    assert watch.figures.statistic("GuessesRight", "SampleCount", 0, watch.now) == guessed
    assert watch.figures.statistic("GuessesRight", "Average", 0, watch.now) == pytest.approx(right / guessed)


def guesses_a_token(vllm: Server, number: int) -> float:
    """While so many requests run, that begin and end together."""
    names = (telemetry.GUESSED, "vllm:generation_tokens_total")
    before = seen(vllm)
    body = completion(200, temperature=0)
    asking = [threading.Thread(target=ask, args=(vllm.port, body, None)) for _ in range(number)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    after = seen(vllm)
    guessed, made = (after[name] - before[name] for name in names)
    assert made == 200 * number
    return guessed / made


def test_nothing_is_guessed_for_more_requests_than_the_setting_says(vllm: Server) -> None:
    """But in the moments in which one of them is there before the others, or after them."""
    alone, together = guesses_a_token(vllm, 1), guesses_a_token(vllm, 8)
    print(f"{alone:.2f} guesses a token for one, {together:.2f} for eight at once")
    assert alone > 0.5
    assert together < alone / 2
    assert "guesses: " not in vllm.log.read_text(), "what is right goes on"


@pytest.mark.parametrize("more", [{"min_p": 0.1}, {"logit_bias": {"5": 1}}])
def test_what_vllm_does_not_apply_to_guesses_it_refuses(vllm: Server, more: dict[str, Any]) -> None:
    answer = ask(vllm.port, completion(4, **more), None)
    assert (answer.status, b"not yet supported with speculative decoding" in answer.body) == (400, True)


def test_a_full_cache_a_hang_and_an_end_call_their_alarms(vllm: Server) -> None:
    watch = Watch(vllm.port)
    assert watch.look(12) == set()
    with streams(vllm.port):
        wanted = {"queue", "kv-cache"}
        called = next(called for _ in itertools.count() if (called := watch.look(12)) >= wanted or watch.now > 3600)
        assert called == wanted
        engine = vllm.engine
        os.kill(engine, signal.SIGSTOP)
        try:
            assert "stalled" in watch.look(18)
        finally:
            os.kill(engine, signal.SIGCONT)
    watch.look(30)
    assert watch.look(30) == set()
    vllm.process.send_signal(signal.SIGKILL)
    assert "no-server" in watch.look(24)
