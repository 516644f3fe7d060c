"""What machines report, and that each alarm is called by what it is for and by nothing else."""

from __future__ import annotations

import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest
import telemetry

from rehearsal.account import simulated_account
from rehearsal.played_alarms import fires
from tandem.alarms import FIGURES, NAMESPACE, Alarm, Both, alarms
from tandem.ops import figures
from tests.shared.told_server import ToldServer
from tests.shared.world import ALARMS, HOUR, PROMISED, WRONG, World, fails


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
    world.live(120, lambda: fails(world))
    assert world.firing() == set()


def test_an_alarm_ends_with_what_called_it(world: World) -> None:
    world.live(HOUR, lambda: fails(world))
    world.live(2 * HOUR, world.serve)
    assert world.firing() == set()


def test_what_was_counted_while_cloudwatch_was_away_comes_later(world: World) -> None:
    world.away = True
    world.live(180, lambda: fails(world))
    assert len(world.said) == 1
    world.away = False
    world.live(60)
    assert world.figures.statistic("Failed", "Sum", world.now - 60, world.now) == 36


def test_a_second_start_counts_from_zero_again(world: World) -> None:
    world.server.started, world.server.tokens = 5000.0, 7
    world.live(60)
    assert world.figures.statistic("TokensOut", "Sum", world.now - 60, world.now) == 7


def test_the_average_of_guesses_is_the_share_of_right_ones(world: World) -> None:
    world.live(60)
    assert world.figures.statistic("GuessesRight", "SampleCount", 0, world.now) is None
    for server_guessed, server_right in ((300, 60), (500, 140)):
        world.server.guessed, world.server.right = server_guessed, server_right
        world.live(60)
    assert world.figures.statistic("GuessesRight", "SampleCount", 0, world.now) == 500
    assert world.figures.statistic("GuessesRight", "Average", 0, world.now) == pytest.approx(0.28)


def test_a_server_that_makes_tokens_and_guesses_none_is_told(world: World) -> None:
    """Its scheduler has stopped guesses that did not pay."""
    world.live(10)
    world.server.tokens += 100
    world.live(60)
    assert world.figures.statistic("Guessing", "SampleCount", 0, world.now) is None, "where nothing is ever guessed"
    world.server.guessed = total = 0
    world.live(60)
    assert world.figures.statistic("Guessing", "SampleCount", 0, world.now) is None, "nor while no token is made"
    for guessed, share in ((40, 1.0), (0, 0.5)):
        world.server.tokens += 100
        world.server.guessed = total = total + guessed
        world.live(60)
        assert world.figures.statistic("Guessing", "Average", 0, world.now) == share


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
    """moto's CloudWatch, by the protocol that machines speak; boto3 and `tandem top` read there what was told."""
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
        later = datetime.now(UTC) + timedelta(minutes=1)
        known = [one for one in figures.FIGURES if not one.statistic.startswith("p")]
        told = figures.told(lambda service: account.client(service, "us-east-1"), "dev", "m", later, known)
    assert [(point["SampleCount"], point["Average"]) for point in found] == [(60, 0.375)]
    assert {name: round(values[0][1], 3) for name, values in told.items() if values} == {
        "servers": 0.2,
        "load": 3,
        "queued_seconds": 0,
        "stalled_seconds": 0,
        "tokens_a_second": 20,
        "requests_a_minute": 12,
        "failed_share": 0,
        "kv_cache_percent": 40,
        "kv_cache_most_percent": 40,
        "preemptions": 0,
        "restarts": 0,
    }


@pytest.mark.parametrize(("now", "then"), [(3.0, 10.0), (9.9, 10.0), (10.0, 20.0), (25.0, 30.0), (3600.0, 3610.0)])
def test_looks_that_are_late_are_not_made_up_for(now: float, then: float) -> None:
    assert telemetry.next_tick(0.0, now) == then


def test_a_look_that_fails_holds_up_no_report(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise KeyError("Credentials")

    world.telemetry._safely(fails)
    assert world.said == ["metrics do not leave: KeyError: 'Credentials'"]


MINUTE = 60
FOUR = {alarm.name: alarm for alarm in alarms(PROMISED, always_on=True, servers=4, gpus=False)}


def few(world: World, minutes: int, there: Callable[[int], int]) -> list[int]:
    """In which minutes few-servers calls, while so many of four answer."""
    called = []
    for minute in range(minutes):
        answering = there(minute)
        for number, server in enumerate((world.server, *world.others)):
            server.answers = number < answering
        world.live(MINUTE)
        if fires(FOUR["few-servers"], world.figures, world.now):
            called.append(minute)
    return called


@pytest.mark.parametrize(
    "there",
    [
        lambda minute: 4,
        lambda minute: min(4, max(0, minute - 10) // 17),  # a first start, one after another
        lambda minute: 4 - 2 * (100 <= minute < 140),  # a host of two is replaced
        lambda minute: 4 - (100 <= minute < 190),  # versions change
    ],
    ids=["all are there", "a first start", "a host is replaced", "a new version"],
)
def test_few_servers_calls_nobody_in_ordinary_hours(there: Callable[[int], int]) -> None:
    assert few(World(others=3), 360, there) == []


def test_few_servers_calls_after_two_hours_and_until_they_are_there() -> None:
    called = few(World(others=3), 420, lambda minute: 4 - (120 <= minute < 300))
    assert 215 <= called[0] <= 240
    assert called == list(range(called[0], called[-1] + 1))
    assert 300 <= called[-1] <= 325


def test_one_that_comes_and_goes_is_one_too_few() -> None:
    assert few(World(others=3), 200, lambda minute: 4 - (minute % 10 < 9))
