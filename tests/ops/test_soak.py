"""`tandem soak` without its generator: trends, what is found and what is not, metrics, questions, ends."""

from __future__ import annotations

import http.server
import json
import math
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from rehearsal.kubernetes.vllm_metrics import vllm
from tandem import loads
from tandem.errors import Problem, UserError
from tandem.ops.cli import app
from tandem.ops.commands import soak as command
from tandem.ops.load import generator, soak
from tandem.ops.load.soak import STARTED, WATCHED, Window, findings, unwatched
from tandem.ops.load.sweep import Request, step
from tandem.ops.load.trends import LEAST, Points, after, trend
from tandem.ops.smoke import Target
from tests.ops.test_load import FINE, MODEL, PROMISED
from tests.ops.test_top import PROD, cloudwatch

WHOLE = st.integers(-(10**6), 10**6)
SOME = st.lists(WHOLE, min_size=LEAST, max_size=40)
RSS = "process_resident_memory_bytes"


def points(values: Sequence[float], hours: float = 12) -> Points:
    return [(hours * (number + 1) / len(values), value) for number, value in enumerate(values)]


# -- trends ------------------------------------------------------------------------------------------------------------


@given(start=WHOLE, slope=st.integers(-1000, 1000), wild=st.lists(WHOLE, max_size=4), seed=st.randoms())
def test_a_line_is_found_whatever_a_fifth_of_the_points_say(
    start: int, slope: int, wild: list[int], seed: random.Random
) -> None:
    """16 of 20 points make 120 of 190 pairs, so that the median pair is one of theirs."""
    values = [start + slope * number for number in range(20)]
    for place, value in zip(seed.sample(range(20), len(wild)), wild, strict=True):
        values[place] = value
    found = trend([(number, value) for number, value in enumerate(values)])
    assert found
    assert found.per_hour == slope
    assert found.end - found.start == pytest.approx(19 * slope)


@given(SOME, WHOLE)
def test_where_values_begin_does_not_matter_for_how_they_change(values: list[int], more: int) -> None:
    one, other = trend(points(values)), trend(points([value + more for value in values]))
    assert one
    assert other
    assert (other.sigmas, other.per_hour) == (one.sigmas, pytest.approx(one.per_hour))
    assert other.start == pytest.approx(one.start + more)


@given(SOME)
def test_what_shrinks_grows_backwards(values: list[int]) -> None:
    one, other = trend(points(values)), trend(points([-value for value in values]))
    assert one
    assert other
    assert other.sigmas == -one.sigmas
    assert other.per_hour == pytest.approx(-one.per_hour)
    assert not (one.grew(0) and other.grew(0))


@given(SOME)
def test_only_the_order_of_values_says_how_sure_it_is(values: list[int]) -> None:
    one, other = trend(points(values)), trend(points([value**3 for value in values]))
    assert one
    assert other
    assert other.sigmas == one.sigmas


@pytest.mark.parametrize(
    ("values", "sigmas"),
    [([1, 2, 3, 4, 5, 6], 14 / math.sqrt(510 / 18)), ([1, 2, 2, 3, 4, 5], 13 / math.sqrt(492 / 18))],
)
def test_sigmas_are_mann_and_kendalls(values: list[int], sigmas: float) -> None:
    """As in R's Kendall::MannKendall: 1 less for continuity, less variance where values are the same."""
    found = trend(points(values))
    assert found
    assert found.sigmas == pytest.approx(sigmas)


@given(st.lists(WHOLE, max_size=LEAST - 1))
def test_of_few_points_nothing_is_said(values: list[int]) -> None:
    assert trend(points(values)) is None


def test_what_stays_seems_to_grow_once_in_200_times() -> None:
    chance = random.Random(1)
    sure = [
        found.sigmas > 2.58 for _ in range(1000) if (found := trend(points([chance.gauss(9, 1) for _ in range(40)])))
    ]
    assert len(sure) == 1000
    assert 0 < sum(sure) <= 12


def test_the_same_value_all_the_time_is_no_trend() -> None:
    found = trend(points([0.0] * 20))
    assert found
    assert (found.sigmas, found.per_hour) == (0, 0)
    assert not found.grew(0)


@pytest.mark.parametrize(("share", "left"), [(0.0, 9), (0.25, 7), (0.5, 5)])
def test_what_comes_after_a_share_is_the_rest(share: float, left: int) -> None:
    every = points([*range(9)])
    assert after(every, share) == every[-left:]
    assert after([], share) == []


# -- what is found -----------------------------------------------------------------------------------------------------

COUNT = 48


def run(
    request: Callable[[int], Request] = lambda _: FINE, told: Callable[[int], Mapping[str, float]] = lambda _: {}
) -> list[Window]:
    """Twelve hours of a server, by what the windows with a number saw of it."""
    return [
        Window(
            hours=12 * (number + 1) / COUNT,
            step=step(8, 60, [request(number)] * 10, PROMISED),
            told={(name, "page"): value for name, value in told(number).items()},
        )
        for number in range(COUNT)
    ]


def kinds(found: Sequence[Window], told: Mapping[Any, Points] | None = None) -> list[str]:
    return [one.kind for one in findings(found, told or {}, PROMISED)]


def noise(seed: int) -> Callable[[], float]:
    chance = random.Random(seed)
    return lambda: chance.lognormvariate(0, 0.1)


def healthy(number: int) -> dict[str, float]:
    """Memory that levels off, a cache that is empty at rest, a start long ago."""
    warm = 1 - math.exp(-number / 5)
    return {
        RSS: 1e9 * (1 + warm),
        "node_memory_MemAvailable_bytes": 60e9 - 2e9 * warm,
        "tandem_gpu_memory_percent": 92,
        "vllm:kv_cache_usage_perc": 0,
        "vllm:num_requests_running": 0,
        STARTED: 1_796_000_000,
    }


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_run_is_silent(seed: int) -> None:
    factor = noise(seed)

    def told(number: int) -> dict[str, float]:
        return {
            name: value if name == STARTED else value * (0.99 + factor() / 100)
            for name, value in healthy(number).items()
        }

    def request(number: int) -> Request:
        cold = 3 if number < 3 else 1
        return replace(FINE, first_token=0.5 * cold * factor(), gaps=[0.02 * factor() for _ in range(9)])

    found = run(request, told)
    assert kinds(found) == []
    assert unwatched(found, {}) == []


LEAKS = {
    RSS: lambda number: 1e9 + 2e6 * number,
    "node_memory_MemAvailable_bytes": lambda number: 60e9 - 1e8 * number,
    "tandem_gpu_memory_percent": lambda number: 80 + 0.2 * number,
    "DCGM_FI_DEV_FB_USED": lambda number: 70_000 + 100 * number,
    "vllm:kv_cache_usage_perc": lambda number: 0.002 * number,
    "vllm:num_requests_running": lambda number: number // 12,
}


@pytest.mark.parametrize("name", WATCHED)
def test_each_leak_is_found_and_named(name: str) -> None:
    found = run(told=lambda number: {**healthy(number), name: LEAKS[name](number)})
    (one,) = findings(found, {}, PROMISED)
    assert one.kind == "leak"
    assert WATCHED[name].says in one.said
    assert f"({name}, page)" in one.said


@pytest.mark.parametrize("name", WATCHED)
def test_what_ends_to_grow_before_the_half_is_no_leak(name: str) -> None:
    assert kinds(run(told=lambda number: {**healthy(number), name: LEAKS[name](min(number, 22))})) == []


SLOWER = {
    "first token": lambda by: replace(FINE, first_token=0.5 * by),
    "between tokens": lambda by: replace(FINE, gaps=[0.02 * by] * 9),
}


@pytest.mark.parametrize("what", SLOWER)
@pytest.mark.parametrize(("most", "found"), [(1.6, True), (1.1, False)])
def test_a_latency_that_grows_by_a_fifth_has_drifted(what: str, most: float, found: bool) -> None:
    wrong = findings(run(lambda number: SLOWER[what](1 + (most - 1) * number / COUNT)), {}, PROMISED)
    assert [one.kind for one in wrong] == ["drift", "drift"] * found
    assert [one.said.partition(":")[0] for one in wrong] == [what, f"{what} at 99 %"] * found


def test_one_slow_hour_and_a_slow_beginning_are_no_drift() -> None:
    slow = {*range(3), *range(40, 44)}
    assert kinds(run(lambda number: replace(FINE, first_token=2.0 if number in slow else 0.5))) == []


def test_a_restart_is_found_with_its_time() -> None:
    found = run(told=lambda number: {STARTED: 1.0 if number < 20 else 2.0})
    (one,) = findings(found, {}, PROMISED)
    assert (one.kind, one.said) == ("restart", "1, seen after minutes 315 (page)")


def test_a_server_that_comes_has_not_restarted() -> None:
    assert kinds(run(told=lambda number: {STARTED: 1.0} if number < 30 else {})) == []


def test_failures_are_found_beyond_what_is_promised() -> None:
    failed = run(lambda number: replace(FINE, failed="HTTP 503") if number == 7 else FINE)
    (one,) = findings(failed, {}, PROMISED)
    assert (one.kind, one.said) == ("errors", "10 of 480 requests: 10 HTTP 503")
    assert findings(failed, {}, replace(PROMISED, availability=0.97)) == []


def test_what_cloudwatch_tells_counts_too() -> None:
    place = "CloudWatch"
    told = {("restarts", place): points([0, 0, 2, 0]), ("kv_cache_percent", place): points([*range(20, 60)])}
    assert kinds(run(), told) == ["leak", "restart"]
    assert unwatched(run(), told) == ["memory", "GPU memory"]


def test_what_nobody_tells_is_said() -> None:
    silent = [replace(one, silent=["http://a"] if number < 3 else []) for number, one in enumerate(run())]
    assert unwatched(silent, {}) == ["memory", "GPU memory", "KV cache", "restarts", "http://a, 3 of 48 times"]


# -- metrics -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def page() -> Iterator[tuple[str, list[str]]]:
    """An address, and the texts that it answers with, one after the other, the last for ever."""
    texts = [""]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write((texts.pop(0) if len(texts) > 1 else texts[0]).encode())

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/metrics", texts
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.clock
def test_a_servers_metrics_are_read(page: tuple[str, list[str]]) -> None:
    url, texts = page
    texts[:] = [vllm("m", waiting=0.0) + f"{RSS} 1.09e+09\n{STARTED} 1.7e+09 1700000000000\nelse 1\n"]
    found, silent = soak.look([url, "http://127.0.0.1:1/"])
    assert found[RSS, url] == 1.09e9
    assert found[STARTED, url] == 1.7e9
    running = [
        value for (name, place), value in found.items() if name.endswith("running") and 'model_name="m"' in place
    ]
    assert len(running) == 1
    assert {name for name, _ in found} <= {*WATCHED, STARTED}
    assert silent == ["http://127.0.0.1:1/"]


# -- the command -------------------------------------------------------------------------------------------------------

Played = Callable[..., Result]


@pytest.fixture
def soaked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """The command against a URL, on a clock that each stretch moves on by a minute and a bit."""
    monkeypatch.setenv("TANDEM_API_KEY", "tdm_secret")
    monkeypatch.setattr(generator, "environment", lambda: tmp_path)
    monkeypatch.setattr(command, "ask", lambda *_: MODEL)

    def run(
        *words: str, seen: Callable[[int], Request] = lambda _: FINE, ends: int = 0, error: BaseException | None = None
    ) -> Result:
        now, calls, rates = [0.0], [0], set[float]()

        def send(_target: Target, _model: str, rate: float, bodies: Sequence[object], *_: object) -> object:
            if error and calls[0] == ends:
                raise error
            now[0] += 80
            calls[0] += 1
            rates.add(rate)
            return [seen(calls[0])] * len(bodies), 60.0

        monkeypatch.setattr(generator, "send", send)
        monkeypatch.setattr(soak, "time", SimpleNamespace(monotonic=lambda: now[0]))
        arguments = ["soak", "--url", "http://127.0.0.1:1", "--peak", "0.5", "--hours", "1"]
        done = CliRunner().invoke(app, [*arguments, "--into", str(tmp_path / "loads"), *words])
        assert rates <= {1.0}, "twice the peak"
        return done

    return run


def test_nothing_found_is_0_and_says_what_was_not_watched(soaked: Played, tmp_path: Path) -> None:
    done = soaked("--yes", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["kept"], found["whole"], len(found["steps"]), found["rate"]) == (True, True, 45, 1)
    assert found["line"] == (
        "`tandem soak 127.0.0.1`: m, chat, 1 requests/s for 1 h: nothing found; "
        "not watched: memory, GPU memory, KV cache, restarts"
    )
    assert json.loads((tmp_path / "loads/127.0.0.1.soak.json").read_text()) == found
    assert (tmp_path / "loads/127.0.0.1.soak.html").read_text().count("<svg") == 4
    assert loads.newest(tmp_path, "127.0.0.1") is None, "a soak is no load test"
    assert "tdm_secret" not in done.output


def test_a_drift_is_1(soaked: Played) -> None:
    done = soaked("--yes", seen=lambda number: replace(FINE, first_token=0.5 + number / 50))
    assert done.exit_code == 1, done.output
    assert "drift: first token: 0.74 s to 1.4 s" in done.output
    assert ": drift; not watched" in done.output


def test_a_server_that_answers_nothing_is_not_soaked(soaked: Played, tmp_path: Path) -> None:
    done = soaked("--yes", seen=lambda _: replace(FINE, failed="HTTP 401"))
    assert isinstance(done.exception, UserError)
    assert "nothing was answered" in str(done.exception)
    assert not (tmp_path / "loads").exists()


def test_without_a_yes_it_says_what_it_would_take_and_sends_nothing(soaked: Played, tmp_path: Path) -> None:
    done = soaked(error=AssertionError("sent"))
    assert isinstance(done.exception, UserError)
    assert "--yes" in str(done.exception)
    assert "at most: 1 requests/s, 66 minutes, 3,675 requests, about" in done.output
    assert not (tmp_path / "loads").exists()


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(128 + signal.SIGTERM), UserError(Problem(key="a", wrong="b"))]
)
def test_interrupted_it_keeps_whole_stretches(soaked: Played, tmp_path: Path, error: BaseException) -> None:
    first = soaked("--yes", error=error)
    assert first.exception is error if isinstance(error, UserError) else first.exit_code == 130
    assert not (tmp_path / "loads").exists()
    assert soaked("--yes", error=error, ends=9).exit_code == 130
    found = json.loads((tmp_path / "loads/127.0.0.1.soak.json").read_text())
    assert (found["whole"], len(found["steps"])) == (False, 9)


@pytest.mark.parametrize(
    ("words", "said"), [(["--metrics", "localhost:8000"], "is not a URL"), (["--metrics", "file:///a"], "is not a URL")]
)
def test_mistakes_are_named(soaked: Played, words: list[str], said: str) -> None:
    assert said in str(soaked("--yes", *words).exception)


def test_a_stacks_figures_come_from_cloudwatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        command, "aws_clients", lambda *_: cloudwatch({"restarts": [1, 0], "kv_cache_percent": [45] * 3})
    )
    told = command._told(command.Screen(), "prod", PROD, None, "main", run())
    assert [value for _, value in told["restarts", "CloudWatch"]] == [0, 1]
    times = [at for at, _ in told["kv_cache_percent", "CloudWatch"]]
    assert times == sorted(times)
    assert set(told) == {("restarts", "CloudWatch"), ("kv_cache_percent", "CloudWatch")}


def test_credentials_that_have_ended_lose_no_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(*_: object) -> object:
        raise UserError(Problem(key="AWS", wrong="the AWS credentials have expired"))

    monkeypatch.setattr(command, "aws_clients", ended)
    assert command._told(command.Screen(), "prod", PROD, None, "main", run()) == {}
    assert "have expired" in capsys.readouterr().out


def test_each_figure_of_cloudwatch_is_watched() -> None:
    assert {one.name for one in command.FIGURES} == {*soak.TOLD, soak.RESTARTS}


@pytest.mark.parametrize(("hours", "seconds"), [(0.5, 60), (1, 75), (4, 300), (12, 600), (168, 600)])
def test_stretches_are_as_long_as_there_is_time(hours: float, seconds: int) -> None:
    assert soak.stretch(hours) == seconds
