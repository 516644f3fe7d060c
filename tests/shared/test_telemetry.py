"""What machines report, and that each alarm is called by what it is for and by nothing else."""

from __future__ import annotations

import re
import time
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest
import telemetry

from rehearsal.account import simulated_account
from rehearsal.played_alarms import Figures, fires
from tandem.alarms import FIGURES, NAMESPACE, Alarm, Both, alarms
from tandem.objectives import Objectives
from tests.shared.told_server import ToldServer

PROMISED = Objectives(first_token_seconds=2.5, between_tokens_seconds=0.1, availability=0.995)
ALARMS = {alarm.name: alarm for alarm in alarms(PROMISED, always_on=True, gpus=True)}
HOUR = 3600


def reported(parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """The data of a request of the query protocol."""
    data: defaultdict[int, dict[str, Any]] = defaultdict(lambda: {"Values": [], "Counts": []})
    for name, value in parameters.items():
        if found := re.fullmatch(r"MetricData\.member\.(\d+)\.(Values|Counts)\.member\.\d+", name):
            data[int(found[1])][found[2]].append(float(value))
        elif found := re.fullmatch(r"MetricData\.member\.(\d+)\.(MetricName|Unit)", name):
            data[int(found[1])][found[2]] = value
        elif found := re.fullmatch(r"MetricData\.member\.(\d+)\.Dimensions\.member\.(\d+)\.(Name|Value)", name):
            dimensions = data[int(found[1])].setdefault("Dimensions", [])
            if found[3] == "Name":
                dimensions.append({})
            dimensions[-1][found[3]] = value
    return list(data.values())


class World:
    """A machine with one server and an edge, on a clock of its own, and CloudWatch."""

    def __init__(self) -> None:
        self.server, self.figures, self.now = ToldServer(), Figures(), 0
        self.statuses: Counter[int] = Counter()
        self.more: dict[str, float] = {}
        self.away, self.last = False, list[dict[str, Any]]()
        self.said: list[str] = []
        self.telemetry = telemetry.Telemetry(
            [telemetry.Server(self.server.ask)],
            self._answered,
            self._more,
            self._put,
            {"Stack": "dev", "Model": "m"},
            self._say,
        )

    def _answered(self) -> dict[int, int]:
        return dict(self.statuses)

    def _say(self, line: str) -> None:
        self.said.append(line)

    def _more(self) -> dict[str, float]:
        return self.more

    def _put(self, **parameters: str) -> None:
        if self.away:
            raise RuntimeError("Throttling: 400 Rate exceeded")
        self.last = reported(parameters)
        self.figures.put(self.now - 1, self.last)

    def live(self, seconds: int, each_look: Callable[[], Any] = lambda: None) -> None:
        """Lets time go by; what happens, happens before each look."""
        for _ in range(seconds // telemetry.SAMPLE):
            self.now += telemetry.SAMPLE
            each_look()
            self.telemetry.look(self.now)
            if self.now % telemetry.EVERY == 0:
                self.telemetry.report()

    def serve(self, requests: int = 10, first: float = 0.3, between: float = 0.03, failed: int = 0) -> None:
        """What comes between two looks."""
        server = self.server
        server.running, server.cache = 3, 0.4
        server.tokens += 100 * requests
        server.prompt_tokens += 500 * requests
        server.first_token[first] += requests
        server.between_tokens[between] += 99 * requests
        self.statuses[200] += requests - failed
        self.statuses[503] += failed
        self.statuses[401] += 5

    def firing(self) -> set[str]:
        return {name for name, alarm in ALARMS.items() if fires(alarm, self.figures, self.now)}


@pytest.fixture(scope="module")
def settled() -> World:
    world = World()
    world.live(7 * HOUR, world.serve)
    return world


@pytest.fixture
def world(settled: World) -> World:
    """A world of its own, after seven good hours."""
    return deepcopy(settled)


def test_nothing_calls_while_all_is_well(world: World) -> None:
    assert world.firing() == set()


def test_nothing_calls_while_nobody_asks(world: World) -> None:
    world.server.running, world.server.waiting = 0, 0
    world.live(HOUR)
    assert world.firing() == set()


def test_a_full_server_that_works_calls_nobody(world: World) -> None:
    def full() -> None:
        world.serve()
        world.server.running, world.server.cache = 256, 0.99
        world.server.refused += 2  # its probes

    world.live(HOUR, full)
    assert world.firing() == set()


def _fails(world: World) -> None:
    world.serve(failed=2)


def _fails_slowly(world: World) -> None:
    world.serve(requests=25, failed=1)


def _is_refused_in_streams(world: World) -> None:
    world.serve()
    world.server.refused += 5


def _begins_late(world: World) -> None:
    world.serve(first=4.0)


def _drips(world: World) -> None:
    world.serve(between=0.14)


def _waits(world: World) -> None:
    world.serve()
    world.server.waiting = 7


def _hangs(world: World) -> None:
    world.server.running = 3


def _throws_out(world: World) -> None:
    world.serve()
    world.server.cache, world.server.preemptions = 0.8 + 0.19 * (world.now % 20 == 0), world.server.preemptions + 1


def _starts_again(world: World) -> None:
    """Away for a minute each time."""
    world.server.answers = world.now % 300 >= 60
    if world.server.answers:
        world.serve()
    elif world.now % 300 == 0:
        world.server.started += 300


def _is_gone(world: World) -> None:
    world.server.answers = False


def _is_gone_with_its_machine(world: World) -> None:
    world.away = True


def _loses_a_gpu(world: World) -> None:
    world.serve()
    world.more = {"GpuErrors": 1.0}


WRONG: dict[str, tuple[Callable[[World], None], int, set[str]]] = {
    "requests fail": (_fails, HOUR, {"errors-fast", "errors-slow"}),
    "some requests fail, for hours": (_fails_slowly, 6 * HOUR, {"errors-slow"}),
    "requests are refused inside of streams": (_is_refused_in_streams, HOUR, {"errors-fast", "errors-slow"}),
    "answers begin late": (_begins_late, HOUR, {"first-token-fast", "first-token-slow"}),
    "tokens drip": (_drips, HOUR, {"between-tokens-fast", "between-tokens-slow"}),
    "requests wait": (_waits, 420, {"queue"}),
    "a server hangs": (_hangs, 240, {"stalled"}),
    "the cache is full": (_throws_out, 240, {"kv-cache"}),
    "a server starts again and again": (_starts_again, HOUR, {"restarts"}),
    "no server answers": (_is_gone, 300, {"no-server"}),
    "no machine reports": (_is_gone_with_its_machine, 300, {"no-server"}),
    "a GPU has an error": (_loses_a_gpu, 120, {"gpu"}),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_goes_wrong_calls_its_alarms_and_no_other(what: str, world: World) -> None:
    goes_wrong, seconds, expected = WRONG[what]
    world.live(seconds, lambda: goes_wrong(world))
    assert world.firing() == expected


def test_each_alarm_is_called_by_something() -> None:
    assert set().union(*(expected for _, _, expected in WRONG.values())) == set(ALARMS)


def test_the_first_start_of_a_stack_calls_nobody() -> None:
    world = World()
    world.server.answers = False
    world.live(HOUR)
    assert world.firing() == set()


def test_an_error_at_night_calls_nobody(world: World) -> None:
    def quiet() -> None:
        if world.now % 600 == 0:
            world.statuses[200 if world.now % 7200 else 503] += 1

    world.server.running = 0
    world.live(7 * HOUR, quiet)
    assert world.firing() == set()


def test_what_a_slow_look_missed_is_counted_with_the_next(world: World) -> None:
    world.server.answers = False
    world.live(10, world.serve)
    world.server.answers = True
    world.live(50, world.serve)
    assert world.figures.statistic("TokensOut", "Sum", world.now - 60, world.now) == 6000


def test_a_short_burst_of_errors_calls_nobody(world: World) -> None:
    world.live(120, lambda: _fails(world))
    assert world.firing() == set()


def test_an_alarm_ends_with_what_called_it(world: World) -> None:
    world.live(HOUR, lambda: _fails(world))
    world.live(2 * HOUR, world.serve)
    assert world.firing() == set()


def test_what_was_counted_while_cloudwatch_was_away_comes_later(world: World) -> None:
    world.away = True
    world.live(180, lambda: _fails(world))
    assert len(world.said) == 1
    world.away = False
    world.live(60)
    assert world.figures.statistic("Failed", "Sum", world.now - 60, world.now) == 36


def test_a_second_start_counts_from_zero_again(world: World) -> None:
    world.server.started, world.server.tokens = 5000.0, 7
    world.live(60)
    assert world.figures.statistic("TokensOut", "Sum", world.now - 60, world.now) == 7


def test_no_value_is_one_that_an_alarm_compares_with() -> None:
    """Whatever CloudWatch rounds, a bucket is on one side of an objective."""
    middles = {key[1] for key in telemetry.read(ToldServer().ask()) if isinstance(key, tuple)}
    compared = [one.above for alarm in ALARMS.values() for one in (alarm.of if isinstance(alarm, Both) else [alarm])]
    latencies = {one for one in compared if one in (PROMISED.first_token_seconds, PROMISED.between_tokens_seconds)}
    assert latencies
    assert min(abs(middle - seconds) / seconds for middle in middles for seconds in latencies) > 0.1


def test_the_program_knows_what_is_reported_and_where(world: World) -> None:
    world.live(60, world.serve)
    assert {datum["MetricName"] for datum in world.last} == {*FIGURES}
    assert telemetry.NAMESPACE == NAMESPACE


def test_all_figures_of_a_report_fit_into_one_call(world: World) -> None:
    assert len(world.telemetry.data({})) < 1000
    assert {type(alarm) for alarm in ALARMS.values()} == {Alarm, Both}


@pytest.mark.account
def test_an_account_takes_what_is_reported(world: World) -> None:
    """moto's CloudWatch, by the protocol that machines speak; what it makes of counts is what boto3 reads."""
    world.live(60, world.serve)
    form = {"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": telemetry.NAMESPACE}
    form |= dict(telemetry.flat("MetricData", world.last))
    with simulated_account() as account:
        scope = "Credential=rehearsal/20260101/us-east-1/monitoring/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
        request = urllib.request.Request(account.url, urllib.parse.urlencode(form).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200
        found = account.client("cloudwatch", "us-east-1").get_metric_statistics(
            Namespace=telemetry.NAMESPACE,
            MetricName="FirstToken",
            Dimensions=[{"Name": "Stack", "Value": "dev"}, {"Name": "Model", "Value": "m"}],
            StartTime=time.time() - 3600,
            EndTime=time.time() + 3600,
            Period=7200,
            Statistics=["SampleCount", "Average"],
        )["Datapoints"]
    assert [(point["SampleCount"], point["Average"]) for point in found] == [(60, 0.375)]
