"""How long a stack runs: its cap, its expiry and its business hours, to the minute."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tandem import costs, lifetime
from tandem.platforms import platform_of
from tandem.settings.schema import BusinessHoursSettings, Settings

CREATED = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def stack(**sections: Any) -> Settings:
    return Settings.model_validate({"region": "us-east-1"} | sections)


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        ({}, None),
        ({"expiresAfter": "4h"}, "2026-11-20T16:00"),
        ({"expiresAfter": "90m"}, "2026-11-20T13:30"),
        ({"expiresAfter": "3d"}, "2026-11-23T12:00"),
        ({"expiresAt": "2026-11-21T09:30:00+01:00"}, "2026-11-21T08:30"),
        ({"maxUsd": 30}, "2026-11-20T14:37"),
        ({"maxUsd": 30, "expiresAfter": "2h"}, "2026-11-20T14:00"),
        ({"maxUsd": 20, "expiresAfter": "4h"}, "2026-11-20T13:33"),
        ({"maxUsd": 20, "expiresAt": "2026-11-20T13:00:00Z"}, "2026-11-20T13:00"),
    ],
)
def test_the_sooner_of_expiry_and_cap_wins(guard: dict[str, Any], expected: str | None) -> None:
    found = lifetime.expires_at(stack(costGuard=guard), CREATED)
    assert (found and f"{found:%Y-%m-%dT%H:%M}") == expected


# % on demand, GiB of root volume, seconds of grace, cap in US dollars. The end, in November 2026, was worked out apart,
# in exact fractions of the listed prices.
TABLE = """
region         on  rollout        %   types                     egress      GiB  max grace hours life USD     end
us-east-1      ec2 launchFirst    100 g6.12xlarge               natPerZone  200  1   420   -     4h   30      20T14:37
us-east-1      ec2 terminateFirst 100 g6.12xlarge               natPerZone  200  1   420   -     8h   30      20T17:33
us-east-1      ec2 terminateFirst 0   g6.12xlarge,g5.12xlarge   publicHosts 200  1   420   -     4h   30      20T16:00
eu-central-1   ec2 launchFirst    0   g6.12xlarge,g5.12xlarge   publicHosts 200  1   420   -     -    30      20T12:53
eu-central-1   ec2 launchFirst    100 g6.12xlarge               singleNat   200  2   420   hours -    60      20T14:01
eu-west-1      ec2 terminateFirst 100 g6.12xlarge               singleNat   200  4   420   hours -    100     20T14:25
sa-east-1      ec2 terminateFirst 100 g6.12xlarge,g5.12xlarge   singleNat   200  4   420   -     1h   100     20T13:00
eu-central-1   ec2 launchFirst    50  g6e.12xlarge,g6e.48xlarge natPerZone  200  4   420   -     -    1000    20T15:47
us-east-1      ec2 terminateFirst 50  g6e.12xlarge,g6e.48xlarge natPerZone  200  4   420   -     10h  1000    20T19:31
us-west-2      ec2 launchFirst    100 g6e.12xlarge              natPerZone  500  3   600   -     1d   333.33  20T17:37
ap-northeast-1 ec2 terminateFirst 100 p5.48xlarge               natPerZone  1000 1   420   -     -    100     20T12:41
us-east-1      ec2 launchFirst    100 p5.48xlarge               natPerZone  1000 8   420   -     -    1500    20T14:02
us-west-2      ec2 terminateFirst 100 p5.48xlarge               natPerZone  1000 8   3600  -     -    2000    20T14:00
us-east-1      ec2 launchFirst    100 p5en.48xlarge             singleNat   200  20  420   -     -    5000    20T14:43
us-east-1      ec2 launchFirst    100 p5en.48xlarge             singleNat   200  120 420   hours -    1000000 25T10:01
us-east-1      ec2 launchFirst    100 g4dn.12xlarge             publicHosts 100  1   420   -     10m  30      20T12:10
us-east-1      eks launchFirst    100 g6.12xlarge               natPerZone  200  2   420   -     -    60      20T13:10
us-east-1      eks terminateFirst 100 g6.12xlarge               natPerZone  200  2   420   -     -    60      20T15:21
eu-central-1   eks terminateFirst 0   g6e.48xlarge              singleNat   200  1   420   hours 12h  300     20T15:11
ap-northeast-1 eks launchFirst    0   g6e.48xlarge              natPerZone  200  1   2400  hours 3d   2000    20T18:48
"""
MOST_USD_PER_HOUR = [
    "9.3878",
    "4.7642",
    "5.7396",
    "21.3999",
    "23.1956",
    "31.4657",
    "38.7435",
    "226.3289",
    "120.7531",
    "52.8779",
    "69.0503",
    "551.6366",
    "441.3374",
    "1456.4028",
    "8421.3738",
    "7.8966",
    "32.8069",
    "14.3129",
    "75.9295",
    "262.9096",
]
"""Row by row, worked out in the same way; an unknown price is us-east-1's times the dearest surcharge known."""
NAMES, *COMBINATIONS = [line.split() for line in TABLE.strip().splitlines()]
EACH = pytest.mark.parametrize(
    "row", [dict(zip(NAMES, one, strict=True)) for one in COMBINATIONS], ids=["-".join(one) for one in COMBINATIONS]
)


def capped(row: dict[str, str]) -> Settings:
    nodes = {"nodePool": {"provisioner": "managed"}} if row["on"] == "eks" else {}
    return stack(
        region=row["region"],
        platform=row["on"],
        network={"egress": row["egress"]},
        fleet={
            "instanceTypes": row["types"].split(","),
            "hosts": 1,
            "maxHosts": int(row["max"]),
            "rootVolumeGib": int(row["GiB"]),
            "rollout": row["rollout"],
            "onDemandPercentage": int(row["%"]),
        },
        timeouts={"terminationGraceSeconds": int(row["grace"])},
        metrics={"cloudwatch": False},
        alarms={"enabled": False},
        costGuard={
            "maxUsd": float(row["USD"]),
            **({"expiresAfter": row["life"]} if row["life"] != "-" else {}),
            **({"businessHours": {}} if row["hours"] == "hours" else {}),
        },
        **nodes,
    )


def test_there_are_twenty_combinations_and_both_cap_and_life_win_some() -> None:
    assert len(COMBINATIONS) == 20
    settings = [capped(dict(zip(NAMES, one, strict=True))) for one in COMBINATIONS]
    by_life = [lifetime.planned(one) == one.cost_guard.expires_after for one in settings]
    assert 3 <= sum(by_life) <= 17


@EACH
def test_the_end_is_right_to_the_minute(row: dict[str, str]) -> None:
    moment = lifetime.expires_at(capped(row), CREATED.replace(second=0))
    assert f"{moment:%dT%H:%M}" == row["end"]


@pytest.mark.parametrize("number", range(20))
def test_the_most_that_an_hour_costs_is_right_to_a_hundredth_of_a_cent(number: int) -> None:
    settings = capped(dict(zip(NAMES, COMBINATIONS[number], strict=True)))
    assert f"{costs.max_usd_per_hour(settings):.4f}" == MOST_USD_PER_HOUR[number]


@EACH
def test_however_the_fleet_is_scaled_it_cannot_spend_more_than_its_cap(row: dict[str, str]) -> None:
    """Minute by minute, at any size up to maxHosts and of any type, with a rollout under way all along; each host is
    replaced once, and in the end all leave as slowly as they may."""
    settings, cap = capped(row), float(row["USD"])
    moment = lifetime.expires_at(settings, CREATED)
    assert moment is not None
    minutes = int((moment - CREATED.replace(second=0)) / MINUTE)
    drain, leaving = platform_of(settings).drain_time / HOUR, lifetime.leaving_time(settings) / HOUR
    fixed, full = costs.total(costs.fixed_costs(settings)), costs.max_usd_per_hour(settings)
    most, overlap = settings.max_group_size, costs.overlapping_hosts(settings)

    def hosts(number: int, name: str) -> float:
        return costs.total(costs.host_costs(settings, number, name))

    replaced = hosts(most, costs.dearest_type(settings)) * drain
    chance = random.Random(7)
    for scaled in ("at full size", "up at the end", "at random"):
        spent = full * leaving + replaced
        for minute in range(minutes):
            number, name = most, chance.choice(settings.fleet.instance_types)
            if scaled == "at random":
                number = chance.randint(0, number)
            elif scaled == "up at the end":
                number = number if minute > minutes - 30 else 1
            usd = full if scaled == "at full size" else fixed + hosts(number + overlap, name)
            spent += usd / 60
        assert spent <= cap, scaled
    if row["life"] == "-":
        assert cap - full / 60 <= lifetime.usd_at_most(settings, minutes * MINUTE), "the cap is used to the minute"


@pytest.mark.parametrize("raised_after", [0, 15, 30, 40])
def test_raising_max_hosts_moves_the_end_so_that_the_cap_still_holds(raised_after: int) -> None:
    """`up` counts anew from the stack's first moment, at the larger size."""
    before = stack(fleet={"hosts": 1, "maxHosts": 1}, costGuard={"maxUsd": 60})
    after = stack(fleet={"hosts": 1, "maxHosts": 4}, costGuard={"maxUsd": 60})
    end = lifetime.expires_at(after, CREATED)
    assert end is not None
    then = timedelta(minutes=raised_after)
    assert CREATED + then < end < (lifetime.expires_at(before, CREATED) or CREATED)
    rest = end - CREATED - then + lifetime.leaving_time(after)
    assert then / HOUR * costs.max_usd_per_hour(before) + rest / HOUR * costs.max_usd_per_hour(after) <= 60


def test_hosts_of_a_capacity_block_have_left_when_aws_takes_it() -> None:
    """It takes it half an hour before its end, and a host may take 23 minutes to leave."""
    block = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1a", "endsAt": "2026-11-21T11:30:00Z"}
    settings = stack(fleet={"instanceTypes": ["p5.48xlarge"], "capacityBlock": block})
    assert lifetime.expires(settings)
    assert lifetime.leaving_time(settings) == timedelta(minutes=23)
    assert lifetime.expires_at(settings, CREATED) == datetime(2026, 11, 21, 10, 37, tzinfo=UTC)


def test_a_cap_that_is_spent_by_leaving_alone_stops_at_once() -> None:
    assert lifetime.life_within_cap(stack(costGuard={"maxUsd": 0.01})) == timedelta()


@pytest.mark.parametrize(
    ("zone", "moment", "expected"),
    [
        ("Etc/UTC", "2026-11-20T07:59:59Z", False),
        ("Etc/UTC", "2026-11-20T08:00:00Z", True),
        ("Etc/UTC", "2026-11-20T19:59:59Z", True),
        ("Etc/UTC", "2026-11-20T20:00:00Z", False),
        ("Etc/UTC", "2026-11-21T12:00:00Z", False),
        ("Europe/Berlin", "2026-11-20T07:30:00Z", True),
        ("Europe/Berlin", "2026-07-20T06:30:00Z", True),
        ("Europe/Berlin", "2026-11-20T06:30:00Z", False),
        ("Asia/Tokyo", "2026-11-22T23:30:00Z", True),
        ("Asia/Tokyo", "2026-11-20T23:30:00Z", False),
        ("America/Los_Angeles", "2026-11-21T03:30:00Z", True),
    ],
)
def test_business_hours_are_on_their_own_clock(zone: str, moment: str, expected: bool) -> None:
    hours = BusinessHoursSettings.model_validate({"timeZone": zone})
    assert lifetime.is_open(hours, datetime.fromisoformat(moment)) is expected


@pytest.mark.parametrize(
    ("days", "expected"),
    [("MON-FRI", "1111100"), ("MON-SAT", "1111110"), ("SUN-THU", "1111001"), ("*", "1111111")],
)
def test_days_of_the_week(days: str, expected: str) -> None:
    hours = BusinessHoursSettings.model_validate({"days": days})
    monday = datetime(2026, 11, 23, 12, tzinfo=UTC)
    found = [lifetime.is_open(hours, monday + timedelta(days=number)) for number in range(7)]
    assert "".join(str(int(one)) for one in found) == expected


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ({}, None),
        ({"timeZone": "Europe/Berlin"}, None),
        ({"timeZone": "Europe/Berlin", "start": "02:30", "stop": "18:00"}, ("02:30", "2027-03-28")),
        ({"timeZone": "America/New_York", "start": "01:00", "stop": "02:00"}, ("02:00", "2027-03-14")),
        ({"timeZone": "Asia/Tokyo", "start": "02:30", "stop": "18:00"}, None),
    ],
)
def test_a_time_that_the_clock_jumps_over_is_found(hours: dict[str, str], expected: tuple[str, str] | None) -> None:
    found = lifetime.skipped_on(BusinessHoursSettings.model_validate(hours), range(2027, 2029))
    assert (found and (found[0], str(found[1]))) == expected


@pytest.mark.parametrize(
    ("guard", "now", "words"),
    [
        ({"expiresAfter": "4h"}, "2026-11-20T15:59:00Z", None),
        ({"expiresAfter": "4h"}, "2026-11-20T16:00:00Z", "ended at 2026-11-20 16:00Z, so its GPU hosts are at 0"),
        ({"businessHours": {}}, "2026-11-20T19:00:00Z", None),
        (
            {"businessHours": {}},
            "2026-11-20T21:00:00Z",
            "outside the business hours (08:00 to 20:00, MON-FRI, Etc/UTC)",
        ),
        ({"businessHours": {}, "expiresAfter": "1h"}, "2026-11-20T21:00:00Z", "the time of this stack ended"),
    ],
)
def test_a_stack_that_is_stopped_says_why(guard: dict[str, Any], now: str, words: str | None) -> None:
    settings = stack(costGuard=guard)
    ends = lifetime.expires_at(settings, CREATED)
    why = lifetime.why_stopped(settings, ends, datetime.fromisoformat(now))
    assert (why is None) == (words is None)
    assert (words or "") in (why or "")
