"""Cost by the hour and the moment of expiry, to the minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra import costs
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
    } == {"g6.12xlarge on demand": (3, 13.806), "root volumes": (3, 0.24)}


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
        ({"maxUsd": 30}, "2026-11-20T18:17"),
        ({"maxUsd": 30, "expiresAfter": "4h"}, "2026-11-20T16:00"),
        ({"maxUsd": 10, "expiresAfter": "4h"}, "2026-11-20T14:05"),
        ({"maxUsd": 10, "expiresAt": "2026-11-20T13:00:00Z"}, "2026-11-20T13:00"),
    ],
)
def test_the_sooner_of_expiry_and_cap_wins(guard: dict[str, Any], expected: str | None) -> None:
    found = costs.expires_at(stack(costGuard=guard), CREATED)
    assert (found and f"{found:%Y-%m-%dT%H:%M}") == expected


def test_a_capped_stack_cannot_spend_its_cap_even_at_full_size() -> None:
    settings = stack(fleet={"hosts": 1, "maxHosts": 7}, costGuard={"maxUsd": 100})
    life = costs.life_within_cap(settings)
    assert life is not None
    spent = life / timedelta(hours=1) * costs.max_usd_per_hour(settings)
    assert 100 - costs.max_usd_per_hour(settings) / 60 <= spent <= 100


def test_a_capacity_block_ends_half_an_hour_early() -> None:
    block = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1a", "endsAt": "2026-11-21T11:30:00Z"}
    settings = stack(fleet={"instanceTypes": ["p5.48xlarge"], "capacityBlock": block})
    assert costs.expires(settings)
    assert costs.expires_at(settings, CREATED) == datetime(2026, 11, 21, 11, 0, tzinfo=UTC)
