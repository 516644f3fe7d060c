"""Cost by the hour and the moment of expiry, to the minute."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra import costs
from infra.components.cost_guard import schedule_expression
from infra.settings.schema import Settings

CREATED = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)


def stack(**sections: Any) -> Settings:
    return Settings.model_validate({"region": "us-east-1", **sections})


def test_each_part_of_the_hourly_cost() -> None:
    settings = stack(
        network={"zones": ["us-east-1a", "us-east-1b", "us-east-1c"], "interfaceEndpoints": ["ssm"]},
        modelCache={"provisionedMibps": 100},
        fleet={"hosts": 2, "spareHosts": 1, "rootVolumeGib": 730},
    )
    assert {item.name: (item.count, round(item.usd_per_hour, 4)) for item in costs.fixed_costs(settings)} == {
        "load balancer": (1, 0.0225),
        "load balancer addresses": (3, 0.015),
        "web ACL": (1, 0.0082),
        "NAT gateways with address": (3, 0.15),
        "interface endpoints": (3, 0.03),
        "model cache throughput": (100, 0.8219),
    }
    assert {
        item.name: (item.count, round(item.usd_per_hour, 4)) for item in costs.host_costs(settings, 3, "g6.12xlarge")
    } == {"g6.12xlarge on demand": (3, 13.8048), "root volumes": (3, 0.24)}


def test_public_hosts_pay_for_addresses_and_not_for_nat() -> None:
    settings = stack(network={"egress": "publicHosts"})
    names = [item.name for item in costs.fixed_costs(settings) + costs.host_costs(settings, 1, "g6.12xlarge")]
    assert "NAT gateways with address" not in names
    assert "host addresses" in names


def test_the_most_a_stack_costs_is_its_dearest_type_at_full_size() -> None:
    settings = stack(fleet={"instanceTypes": ["g6.12xlarge", "p5.48xlarge", "g5.12xlarge"], "hosts": 1, "maxHosts": 3})
    most = costs.max_usd_per_hour(settings)
    assert most == pytest.approx(costs.total(costs.fixed_costs(settings)) + 3 * (55.04 + 200 * 0.08 / 730))
    assert costs.usd_per_hour(settings) < most / 10


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        ({}, None),
        ({"expiresAfter": "4h"}, "2026-11-20T16:00"),
        ({"expiresAfter": "90m"}, "2026-11-20T13:30"),
        ({"expiresAfter": "3d"}, "2026-11-23T12:00"),
        ({"expiresAt": "2026-11-21T09:30:00+01:00"}, "2026-11-21T08:30"),
        ({"maxUsd": 30}, "2026-11-20T18:09"),
        ({"maxUsd": 30, "expiresAfter": "4h"}, "2026-11-20T16:00"),
        ({"maxUsd": 10, "expiresAfter": "4h"}, "2026-11-20T13:57"),
        ({"maxUsd": 10, "expiresAt": "2026-11-20T13:00:00Z"}, "2026-11-20T13:00"),
    ],
)
def test_the_sooner_of_expiry_and_cap_wins(guard: dict[str, Any], expected: str | None) -> None:
    found = costs.expires_at(stack(costGuard=guard), CREATED)
    assert (found and f"{found:%Y-%m-%dT%H:%M}") == expected


Combination = tuple[list[str], str, int, int, int, str | None, float, str]
COMBINATIONS: list[Combination] = [
    # types, way out, GiB of root volume, maxHosts, seconds of grace, life, cap in US dollars: the schedule's minute
    # (worked out apart, in exact fractions from the price pages)
    (["g6.12xlarge"], "natPerZone", 200, 1, 420, "4h", 30, "2026-11-20T16:00"),
    (["g6.12xlarge"], "natPerZone", 200, 1, 420, "8h", 30, "2026-11-20T18:09"),
    (["g6.12xlarge", "g5.12xlarge"], "publicHosts", 200, 1, 420, "4h", 30, "2026-11-20T16:00"),
    (["g6.12xlarge", "g5.12xlarge"], "publicHosts", 200, 1, 420, None, 30, "2026-11-20T17:05"),
    (["g6.12xlarge"], "singleNat", 200, 2, 420, None, 30, "2026-11-20T15:04"),
    (["g6.12xlarge"], "singleNat", 200, 4, 420, None, 30, "2026-11-20T13:28"),
    (["g6.12xlarge"], "singleNat", 200, 4, 420, "1h", 30, "2026-11-20T13:00"),
    (["g6e.12xlarge", "g6e.48xlarge"], "natPerZone", 200, 4, 420, None, 1000, "2026-11-20T20:08"),
    (["g6e.12xlarge", "g6e.48xlarge"], "natPerZone", 200, 4, 420, "10h", 1000, "2026-11-20T20:08"),
    (["g6e.12xlarge"], "natPerZone", 500, 3, 600, "1d", 333.33, "2026-11-20T22:18"),
    (["p5.48xlarge"], "natPerZone", 1000, 1, 420, None, 100, "2026-11-20T13:40"),
    (["p5.48xlarge"], "natPerZone", 1000, 8, 420, None, 1000, "2026-11-20T14:07"),
    (["p5.48xlarge"], "natPerZone", 1000, 8, 3600, None, 1000, "2026-11-20T13:14"),
    (["p5en.48xlarge"], "singleNat", 200, 20, 420, None, 5000, "2026-11-20T15:48"),
    (["p5en.48xlarge"], "singleNat", 200, 120, 420, None, 1000000, "2026-11-25T23:28"),
    (["g4dn.12xlarge"], "publicHosts", 100, 1, 420, "10m", 30, "2026-11-20T12:10"),
    (["g4dn.12xlarge"], "publicHosts", 100, 1, 420, "90d", 30, "2026-11-20T19:25"),
    (["g4dn.12xlarge"], "publicHosts", 100, 1, 420, "90d", 100000, "2027-02-18T12:00"),
    (["g5.12xlarge"], "publicHosts", 200, 1, 420, None, 3.75, "2026-11-20T12:31"),
    (["g6.12xlarge", "g6e.48xlarge", "g5.12xlarge"], "natPerZone", 200, 10, 7200, None, 1500, "2026-11-20T14:57"),
]


def capped(combination: Combination) -> Settings:
    types, egress, volume, max_hosts, grace, life, cap, _minute = combination
    return stack(
        network={"egress": egress},
        fleet={"instanceTypes": types, "hosts": 1, "maxHosts": max_hosts, "rootVolumeGib": volume},
        timeouts={"terminationGraceSeconds": grace},
        costGuard={"maxUsd": cap, **({"expiresAfter": life} if life else {})},
    )


def test_there_are_twenty_combinations_and_both_cap_and_life_win_some() -> None:
    assert len(COMBINATIONS) == 20
    settings = [capped(one) for one in COMBINATIONS]
    by_life = [costs.expires_at(one, CREATED) == costs.expires_at(uncapped(one), CREATED) for one in settings]
    assert 4 <= sum(by_life) <= 16


def uncapped(settings: Settings) -> Settings:
    return settings.model_copy(update={"cost_guard": settings.cost_guard.model_copy(update={"max_usd": None})})


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda one: f"{one[0][-1]}x{one[3]}-{one[5]}-{one[6]}")
def test_the_schedule_is_right_to_the_minute(combination: Combination) -> None:
    moment = costs.expires_at(capped(combination), CREATED.replace(second=0))
    assert moment is not None
    assert schedule_expression(moment.isoformat()) == f"at({combination[-1]}:00)"


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda one: f"{one[0][-1]}x{one[3]}-{one[5]}-{one[6]}")
def test_however_the_fleet_is_scaled_it_cannot_spend_more_than_its_cap(combination: Combination) -> None:
    """Minute by minute, at any size up to maxHosts and of any type; then all of it leaves as slowly as it may."""
    settings, cap = capped(combination), combination[6]
    moment = costs.expires_at(settings, CREATED)
    assert moment is not None
    minutes = int((moment - CREATED.replace(second=0)) / timedelta(minutes=1))
    leaving = costs.leaving_time(settings) / timedelta(hours=1)
    full = costs.max_usd_per_hour(settings)
    fixed = costs.total(costs.fixed_costs(settings))
    chance = random.Random(7)
    for scaled in ("at full size", "up at the end", "at random"):
        spent = 0.0
        for minute in range(minutes):
            hosts, name = settings.max_group_size, chance.choice(settings.fleet.instance_types)
            if scaled == "at random":
                hosts = chance.randint(0, hosts)
            elif scaled == "up at the end":
                hosts = hosts if minute > minutes - 30 else 1
            usd = full if scaled == "at full size" else fixed + costs.total(costs.host_costs(settings, hosts, name))
            spent += usd / 60
        spent += full * leaving
        assert spent <= cap, scaled
    if combination[5] is None:
        assert cap - full / 60 <= minutes / 60 * full + full * leaving, "the cap is used to the minute"


@pytest.mark.parametrize("raised_after", [0, 15, 60, 80])
def test_raising_max_hosts_moves_the_end_so_that_the_cap_still_holds(raised_after: int) -> None:
    """`up` counts anew from the stack's first moment, at the larger size."""
    before = stack(fleet={"hosts": 1, "maxHosts": 1}, costGuard={"maxUsd": 30})
    after = stack(fleet={"hosts": 1, "maxHosts": 4}, costGuard={"maxUsd": 30})
    end = costs.expires_at(after, CREATED)
    assert end is not None
    then = timedelta(minutes=raised_after)
    assert CREATED + then < end < (costs.expires_at(before, CREATED) or CREATED)
    rest = end - CREATED - then + costs.leaving_time(after)
    hour = timedelta(hours=1)
    assert then / hour * costs.max_usd_per_hour(before) + rest / hour * costs.max_usd_per_hour(after) <= 30


def test_a_capacity_block_ends_half_an_hour_early() -> None:
    block = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1a", "endsAt": "2026-11-21T11:30:00Z"}
    settings = stack(fleet={"instanceTypes": ["p5.48xlarge"], "capacityBlock": block})
    assert costs.expires(settings)
    assert costs.expires_at(settings, CREATED) == datetime(2026, 11, 21, 11, 0, tzinfo=UTC)


def test_a_cap_that_is_spent_by_leaving_alone_stops_at_once() -> None:
    assert costs.life_within_cap(stack(costGuard={"maxUsd": 0.01})) == timedelta()
