"""Cost by the hour."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import pytest

from infra import stack as stacks
from tandem import costs, pins
from tandem.catalog.prices import HOURS_PER_MONTH
from tandem.ops.cost.parts import Use, used
from tandem.settings.schema import Settings
from tests.infra.declared import declared
from tests.observing.growing import RECORDED


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
        "figures in CloudWatch": (15, 0.0062),
        "dashboard": (1, 0.0041),
        "alarms": (31, 0.0081),
        "model cache throughput": (100, 0.8219),
    }
    assert {
        item.name: (item.count, round(item.usd_per_hour, 4)) for item in costs.host_costs(settings, 3, "g6.12xlarge")
    } == {
        "g6.12xlarge on demand": (3, 13.8048),
        "root volumes": (3, 0.24),
        "reports to CloudWatch": (3, 0.0018),
    }


def test_metrics_cost_where_amazon_takes_them_by_the_sample() -> None:
    def written(url: str) -> list[float]:
        found = costs.host_costs(stack(metrics={"remoteWrite": url}), 2, "g6.12xlarge")
        return [item.usd_per_hour * HOURS_PER_MONTH for item in found if "Prometheus" in item.name]

    assert written("https://prometheus.example.com/api/v1/write") == []
    url = "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-0/api/v1/remote_write"
    assert written(url) == [pytest.approx(4 * 3.15, abs=0.05)], "of four servers"
    own = costs.host_costs(stack(metrics={"managedPrometheus": True}), 2, "g6.12xlarge")
    assert [item.usd_per_hour for item in own if "Prometheus" in item.name] == [12.6144 / HOURS_PER_MONTH]
    told = [line for line in RECORDED.splitlines() if line.startswith(("vllm:", "tandem_", "process_start"))]
    assert 0.8 * costs.SERIES < len(told) <= costs.SERIES


def test_a_grafana_costs_somebody_who_may_change_it() -> None:
    settings = stack(metrics={"managedPrometheus": True, "managedGrafana": True})
    (one,) = (item for item in costs.fixed_costs(settings) if "Grafana" in item.name)
    assert (one.count, one.usd_per_hour * HOURS_PER_MONTH) == (1, pytest.approx(9))


def test_a_gateway_costs_its_copies_a_database_and_a_cache_and_its_alarms() -> None:
    fallback = {"model": "bedrock/nova", "maxUsdPerDay": 5, "promptUsdPerMillion": 1, "answerUsdPerMillion": 4}
    balancer = {"domainName": "api.example.com", "hostedZoneId": "Z0123456789ABC"}

    def month(**gateway: Any) -> dict[str, tuple[float, float]]:
        with_it = stack(loadBalancer=balancer, gateway={"hostName": "teams.example.com", **gateway})
        before, after = ({one.name: one for one in costs.fixed_costs(own)} for own in (stack(), with_it))
        return {
            name: (one.count, round(one.usd_per_hour * HOURS_PER_MONTH, 2))
            for name, one in after.items()
            if one != before.get(name)
        }

    assert month() == {
        "gateway's copies": (2, 85.06),
        "gateway's database": (1, 25.66),
        "gateway's cache": (1, 9.34),
        "alarms": (35, 6.3),
    }
    large = month(replicas=1, databaseStandby=True, databaseClass="db.m7g.large", fallback=fallback)
    assert large["gateway's database"] == (2, 249.88)
    assert large["alarms"][0] == 36
    assert "gateway's cache" not in large
    found = declared(
        lambda: stacks.build(
            stack(loadBalancer=balancer, gateway={"hostName": "teams.example.com"}), pins.load(), "dev"
        )
    )
    alarms = {kind: count for kind, count in found.counts().items() if kind.endswith("Alarm")}
    assert sum(alarms.values()) == 35


def test_guesses_have_a_figure_of_their_own() -> None:
    """In CloudWatch, of each model that has any: $0.30 a month each."""
    (plain, guessing) = (
        next(item for item in costs.watching_costs(one) if item.name == "figures in CloudWatch")
        for one in (stack(), stack(inference={"speculation": {}}))
    )
    assert guessing.count == plain.count + 2


def test_an_idle_stop_pays_for_the_metrics_of_its_alarm() -> None:
    """$0.10 a month for each that the alarm looks at: https://aws.amazon.com/cloudwatch/pricing/ (metric math)."""
    settings = stack(costGuard={"idleAfter": "1h", "expiresAfter": "4h"})
    (alarm,) = (item for item in costs.fixed_costs(settings) if item.name.startswith("idle alarm"))
    found = declared(lambda: stacks.build(settings, pins.load(), "dev"))
    (made,) = (one for one in found.resources if "metricQueries" in one.inputs)
    metrics = [query for query in made.inputs["metricQueries"] if "metric" in query]
    assert (alarm.count, round(alarm.usd_per_hour * 730, 2)) == (len(metrics), 0.30)


def test_hosts_that_follow_the_load_pay_for_what_scales_them() -> None:
    """$0.30 a month for each metric of an alarm of a high resolution, $0.10 of others; and seven calls a minute."""
    fixed = stack(fleet={"hosts": 1, "maxHosts": 2})
    for fleet, fast, slow in (({"hosts": 1}, 2, 3), ({"hosts": 0}, 2, 6)):
        settings = stack(fleet={"maxHosts": 2, "followLoad": True, **fleet}, alarms={"enabled": False})
        (alarms,) = (item for item in costs.fixed_costs(settings) if item.name.startswith("scaling alarms"))
        assert (alarms.count, round(alarms.usd_per_hour * 730, 2)) == (fast + slow, round(0.3 * fast + 0.1 * slow, 2))
        found = declared(functools.partial(stacks.build, settings, pins.load(), "dev"))
        made = [one for one in found.resources if "metricQueries" in one.inputs and not one.name.endswith("-idle")]
        metrics = [query["metric"] for one in made for query in one.inputs["metricQueries"] if "metric" in query]
        assert Counter(one["period"] for one in metrics) == {10: fast, 60: slow}
        (reports,) = (item for item in costs.host_costs(settings, 1, "g6.12xlarge") if item.name.startswith("reports"))
        assert round(reports.usd_per_hour * 730, 2) == 3.07
    assert not any(item.name.startswith("scaling") for item in costs.fixed_costs(fixed))


def test_public_hosts_pay_for_addresses_and_not_for_nat() -> None:
    settings = stack(network={"egress": "publicHosts"})
    names = [item.name for item in costs.fixed_costs(settings) + costs.host_costs(settings, 1, "g6.12xlarge")]
    assert "NAT gateways with address" not in names
    assert "host addresses" in names


def test_a_gateways_copies_on_public_networks_pay_for_an_address_each() -> None:
    """$0.005 an hour: https://aws.amazon.com/vpc/pricing/."""
    balancer = {"domainName": "api.example.com", "hostedZoneId": "Z0123456789ABC"}
    gateway = {"hostName": "teams.example.com", "replicas": 3}
    for egress, expected in (("publicHosts", (3, 0.015)), ("natPerZone", (0, 0))):
        found = costs.gateway_costs(stack(network={"egress": egress}, loadBalancer=balancer, gateway=gateway))
        (item,) = (one for one in found if one.name == "gateway's addresses")
        assert (item.count, round(item.usd_per_hour, 4)) == expected


def test_the_most_a_stack_costs_is_its_dearest_type_at_full_size() -> None:
    fleet = {"instanceTypes": ["g6.12xlarge", "p5.48xlarge", "g5.12xlarge"], "hosts": 1, "maxHosts": 3}
    settings = stack(fleet=fleet | {"rollout": "terminateFirst"})
    most = costs.max_usd_per_hour(settings)
    assert most == pytest.approx(costs.total(costs.fixed_costs(settings)) + 3 * (55.04 + 200 * 0.08 / 730 + 60e-5))
    assert costs.usd_per_hour(settings) < most / 10


@pytest.mark.parametrize(
    ("fleet", "expected"),
    [
        ({"hosts": 1, "rollout": "terminateFirst"}, 0),
        ({"hosts": 1}, 1),
        ({"hosts": 1, "onDemandPercentage": 0}, 2),
        ({"hosts": 1, "onDemandPercentage": 0, "rollout": "terminateFirst"}, 0),
        ({"hosts": 10, "rollout": "terminateFirst"}, 0),
        ({"hosts": 10}, 2),
        ({"hosts": 1, "maxHosts": 11}, 3),
    ],
)
def test_what_overlaps_while_hosts_are_replaced(fleet: dict[str, Any], expected: int) -> None:
    assert costs.overlapping_hosts(stack(fleet=fleet)) == expected


def test_nodes_overlap_by_two_a_zone_and_karpenters_by_one_a_pool() -> None:
    managed = {"platform": "eks", "nodePool": {"provisioner": "managed"}, "fleet": {"hosts": 1}}
    assert costs.overlapping_hosts(stack(**managed)) == 4
    assert costs.overlapping_hosts(stack(**managed | {"fleet": {"hosts": 1, "rollout": "terminateFirst"}})) == 0
    assert costs.overlapping_hosts(stack(**managed | {"fleet": {"hosts": 2, "rollout": "terminateFirst"}})) == 1
    mixed = {"maxHosts": 4, "onDemandBase": 2, "onDemandPercentage": 0}
    assert costs.overlapping_hosts(stack(platform="eks")) == 1
    assert costs.overlapping_hosts(stack(platform="eks", fleet={"hosts": 1, "rollout": "terminateFirst"})) == 1
    assert costs.overlapping_hosts(stack(platform="eks", fleet=mixed)) == 2
    assert costs.overlapping_hosts(stack(platform="eks", fleet=mixed | {"maxHosts": 2})) == 1
    block = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1a", "endsAt": "2026-12-24T18:00:00Z"}
    assert costs.overlapping_hosts(stack(platform="eks", fleet={"hosts": 1, "capacityBlock": block})) == 0


def test_a_cluster_costs_its_control_plane_and_the_controllers_nodes_and_a_name_its_check_from_outside() -> None:
    name = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
    hosts, nodes = stack(), stack(platform="eks", cluster={"systemNodes": 3}, globalName=name)
    before, after = ({item.name: item for item in costs.fixed_costs(one)} for one in (hosts, nodes))
    assert {key: (item.count, round(item.usd_per_hour, 4)) for key, item in after.items() if key not in before} == {
        "health check from outside": (1, 0.0021),
        "EKS cluster": (1, 0.1),
        "controllers' nodes": (3, 0.3024),
    }


def test_a_small_stack_is_watched_for_under_5_dollars_a_month_and_production_for_under_60() -> None:
    def month(settings: Settings, hosts: int) -> float:
        items = [*costs.watching_costs(settings), *costs.host_costs(settings, hosts, "g6.12xlarge")]
        watched = ("figures in CloudWatch", "alarms", "reports to CloudWatch")
        starts = sum(part.usd_per_month for part in used(settings, Use()) if part.name == "figures of cold starts")
        return starts + 730 * costs.total(item for item in items if item.name in watched)

    assert month(stack(ephemeral=True, costGuard={"expiresAfter": "4h"}), hosts=1) < 5
    assert 10 < month(stack(), hosts=4) < 60


def test_what_nobody_wants_to_know_costs_nothing() -> None:
    settings = stack(metrics={"cloudwatch": False}, alarms={"enabled": False})
    assert {item.count for item in costs.watching_costs(settings)} == {0}


@pytest.mark.parametrize(
    ("platform", "fleet", "on_demand", "spot"),
    [
        ("ec2", {"hosts": 3}, 4, 0),
        ("ec2", {"hosts": 3, "rollout": "terminateFirst"}, 3, 0),
        ("ec2", {"hosts": 3, "onDemandBase": 1, "onDemandPercentage": 0}, 1, 3),
        ("eks", {"maxHosts": 4, "onDemandBase": 2, "onDemandPercentage": 0}, 3, 3),
        ("eks", {"maxHosts": 4, "onDemandPercentage": 0}, 0, 5),
        ("managed", {"hosts": 2, "onDemandBase": 1, "onDemandPercentage": 0}, 1, 5),
    ],
)
def test_how_the_full_group_and_those_ahead_of_it_are_bought(
    platform: str, fleet: dict[str, Any], on_demand: int, spot: int
) -> None:
    managed = {"platform": "eks", "nodePool": {"provisioner": "managed"}}
    settings = stack(fleet=fleet, **(managed if platform == "managed" else {"platform": platform}))
    assert costs.hosts_while_replaced(settings) == {"on demand": on_demand, "spot": spot}


def test_spot_is_what_the_full_group_has_above_its_share_and_a_capacity_block_never() -> None:
    spot = {"hosts": 1, "maxHosts": 2, "onDemandBase": 1, "onDemandPercentage": 0}
    block = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1a", "endsAt": "2026-12-24T18:00:00Z"}
    assert costs.uses_spot(stack(fleet=spot))
    assert not costs.uses_spot(stack(fleet=spot | {"maxHosts": 1}))
    assert not costs.uses_spot(stack(fleet=spot | {"capacityBlock": block}))
