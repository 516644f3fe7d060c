"""Alarms: as many as there are figures to call by, each with a page."""

from __future__ import annotations

import re

from rehearsal.played_alarms import Figures, fires
from tandem import gateway_alarms
from tandem.alarms import (
    CANARY_FIGURES,
    CERTIFICATE,
    FIGURES,
    GPU_FIGURES,
    GUESS_FIGURES,
    KEY_FIGURES,
    KEYS,
    OBJECTIVES,
    Alarm,
    Both,
    alarms,
)
from tandem.files import PROJECT
from tandem.objectives import Objectives
from tandem.settings.gateway import GatewaySettings

FALLING_BACK = GatewaySettings.model_validate(
    {
        "hostName": "teams.example.com",
        "fallback": {
            "model": "bedrock/nova",
            "maxUsdPerDay": 5,
            "promptUsdPerMillion": 1,
            "answerUsdPerMillion": 4,
        },
    }
)
PROMISED = Objectives(first_token_seconds=2.5, between_tokens_seconds=0.1, availability=0.995)
ALL = alarms(PROMISED, always_on=True, servers=2, gpus=True, canary=True)
REPORTED = {*FIGURES, *GUESS_FIGURES, *GPU_FIGURES, *CANARY_FIGURES, *KEY_FIGURES}
PARTS = [part for alarm in ALL for part in (alarm.of if isinstance(alarm, Both) else [alarm])]
GATEWAY = [alarm for _, alarm in gateway_alarms.alarms(FALLING_BACK, "dev")]
PAGE = (PROJECT / "docs/alarms.md").read_text()


def test_each_alarm_has_a_page_that_begins_with_a_command() -> None:
    headings = [name for heading in re.findall("(?m)^## ([a-z, -]+)$", PAGE) for name in heading.split(", ")]
    assert sorted(headings) == sorted(alarm.name for alarm in (*ALL, CERTIFICATE, KEYS, *GATEWAY))
    firsts = re.findall(r"(?m)^## [a-z, -]+\n\n(\S+ \S+)", PAGE)
    assert {first for first in firsts if not first.startswith("`tandem ")} == set()


def test_what_is_promised_has_alarms_that_gate_a_rollout() -> None:
    assert set(OBJECTIVES) == {alarm.name for alarm in ALL if isinstance(alarm, Both)} - {"kv-cache"}


def test_what_makes_no_tokens_promises_nothing_between_them() -> None:
    found = alarms(PROMISED, always_on=True, servers=2, gpus=True, canary=True, tokens=False)
    gone = {alarm.name for alarm in ALL} - {alarm.name for alarm in found}
    assert gone == {"between-tokens-fast", "between-tokens-slow"}


def test_alarms_look_at_what_is_reported() -> None:
    assert {part.metric for part in (*PARTS, KEYS)} <= REPORTED
    table = PAGE.partition("| figure |")[2].partition("\n\n")[0]
    named = {name for row in re.findall(r"(?m)^\| ([A-Z][A-Za-z, ]+) \|", table) for name in row.split(", ")}
    assert named == REPORTED


def test_a_burn_rate_is_a_share_of_late_answers() -> None:
    """14.4 times the budget of 1 % is 14.4 % late, so that the 85.6th percentile is as late as promised."""
    by_name = {part.name: part for part in PARTS}
    assert by_name["first-token-fast-60m"].statistic == "p85.6"
    assert by_name["first-token-slow-30m"].statistic == "p94"
    assert by_name["errors-fast-5m"].above == 0.072
    assert by_name["errors-slow-360m"].period == 6 * 3600


def test_cloudwatch_takes_their_periods() -> None:
    """A day at most by periods below an hour, seven days otherwise
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html)."""
    for part in PARTS:
        assert part.period % 60 == 0
        assert part.period * part.periods <= 86400


def test_who_would_fall_back_is_told_of_only_where_there_is_a_fallback() -> None:
    alone = gateway_alarms.alarms(GatewaySettings(host_name="teams.example.com"), "dev")
    assert {alarm.name for alarm in GATEWAY} - {alarm.name for _, alarm in alone} == {"gateway-fallback-spent"}
    assert GATEWAY[-1].namespace == "tandem/dev/gateway", "two stacks of an account count apart"


def test_without_servers_at_night_none_is_no_alarm_and_few_are_not() -> None:
    names = {alarm.name for alarm in alarms(PROMISED, always_on=False, servers=1, gpus=False)}
    assert names == {alarm.name for alarm in ALL} - {"no-server", "few-servers", "gpu", "canary"}
    assert isinstance(ALL[-1], Alarm)


def test_a_certificate_that_is_not_renewed_calls_two_weeks_before() -> None:
    """As ACM tells it, twice a day, until it has ended."""
    figures = Figures()
    called = []
    for half_day in range(60, -20, -1):
        now = (60 - half_day) * 12 * 3600
        if half_day > 0:  # then there is no figure any more
            figures.put(now, [{"MetricName": "DaysToExpiry", "Values": [half_day / 2], "Counts": [1]}])
        if fires(CERTIFICATE, figures, now + 1):
            called.append(half_day / 2)
    assert called[0] == 13.5
    assert called[-1] == -9.5, "what has ended is not mended"
    assert len(called) == 27 + 20
    assert not fires(CERTIFICATE, Figures(), 3600), "not before its first figure"


def test_a_key_that_ends_calls_for_a_week_and_a_new_one_ends_the_call() -> None:
    figures = Figures()
    called = []
    for hour in range(240):
        days = 8 - hour / 24
        if days > 0:
            figures.put(3600 * hour, [{"MetricName": "KeyDays", "Values": [days], "Counts": [60]}])
        if fires(KEYS, figures, 3600 * (hour + 1)):
            called.append(hour)
    assert called == [*range(25, 192)], "until it has ended: then there is nothing to say"
    figures.put(3600 * 240, [{"MetricName": "KeyDays", "Values": [30.0], "Counts": [60]}])
    assert not fires(KEYS, figures, 3600 * 241)
