"""The network: exact resources for each way out, and who may speak to whom."""

from __future__ import annotations

import functools
from ipaddress import IPv4Network, collapse_addresses
from typing import Any

import pytest

from infra.components.network import Network, NetworkArgs
from tandem.subnets import plan_subnets, public_range
from tests.infra.declared import Declared, declared

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


@functools.cache
def network(**changes: Any) -> Declared:
    args: dict[str, Any] = {
        "region": "us-east-1",
        "cidr_block": IPv4Network("10.20.0.0/16"),
        "zones": ZONES,
        "egress": "natPerZone",
        "edge_port": 8080,
        "client_cidrs": ["0.0.0.0/0"],
    }
    return declared(lambda: Network("n", NetworkArgs(**args | changes)) and None)


def counts(found: Declared) -> dict[str, int]:
    return {token.split(":")[-1]: number for token, number in found.counts().items()}


ALWAYS = {
    "Network": 1,
    "Vpc": 1,
    "DefaultSecurityGroup": 1,
    "InternetGateway": 1,
    "VpcEndpoint": 1,
    "SecurityGroup": 3,
    "SecurityGroupIngressRule": 4,
    "SecurityGroupEgressRule": 4,
}


@pytest.mark.parametrize(
    ("egress", "parts"),
    [
        ("natPerZone", {"Subnet": 6, "Eip": 3, "NatGateway": 3, "RouteTable": 4, "Route": 4}),
        ("singleNat", {"Subnet": 6, "Eip": 1, "NatGateway": 1, "RouteTable": 4, "Route": 4}),
        ("publicHosts", {"Subnet": 3, "RouteTable": 1, "Route": 1}),
    ],
)
def test_exact_resources_for_each_way_out(egress: str, parts: dict[str, int]) -> None:
    found = counts(network(egress=egress))
    assert found == ALWAYS | parts | {"RouteTableAssociation": parts["Subnet"]}


def test_subnets_give_addresses_only_where_hosts_stand_in_public_ones() -> None:
    """A node group of EKS does not join from a public subnet that gives none."""
    assert {subnet["mapPublicIpOnLaunch"] for subnet in network(egress="publicHosts").of("Subnet").values()} == {True}
    assert {subnet["mapPublicIpOnLaunch"] for subnet in network().of("Subnet").values()} == {False}


def test_every_child_hangs_on_the_component() -> None:
    found = network()
    assert {parent for parent, _ in found.parents()} == {"tandem:index:Network"}
    assert len(found.parents()) == len(found.counts()) - 1


def test_each_zone_leaves_by_its_own_nat() -> None:
    routes = network().of("Route")
    assert routes["n-private-b"]["natGatewayId"] == "n-nat-b-NatGateway-id"
    assert routes["n-public"]["gatewayId"] == "n-InternetGateway-id"


def test_all_zones_leave_by_the_only_nat() -> None:
    routes = network(egress="singleNat").of("Route")
    assert {name: route.get("natGatewayId") for name, route in routes.items() if "private" in name} == {
        f"n-private-{zone[-1]}": "n-nat-a-NatGateway-id" for zone in ZONES
    }


def test_the_world_comes_in_on_443_and_80_of_the_load_balancer_only() -> None:
    for egress in ("natPerZone", "publicHosts"):
        rules = network(egress=egress).of("SecurityGroupIngressRule").values()
        assert sorted((r["securityGroupId"], r["fromPort"], r["toPort"]) for r in rules if "cidrIpv4" in r) == [
            ("n-load-balancer-SecurityGroup-id", 80, 80),
            ("n-load-balancer-SecurityGroup-id", 443, 443),
        ]


def test_port_80_is_closed_where_nothing_redirects() -> None:
    rules = network(client_ports=(443,)).of("SecurityGroupIngressRule").values()
    assert {rule["fromPort"] for rule in rules if "cidrIpv4" in rule} == {443}


def test_the_other_rules_name_groups() -> None:
    rules = network().of("SecurityGroupIngressRule").values()
    assert sorted(
        (r["securityGroupId"], r["fromPort"], r["referencedSecurityGroupId"]) for r in rules if "cidrIpv4" not in r
    ) == [
        ("n-hosts-SecurityGroup-id", 8080, "n-load-balancer-SecurityGroup-id"),
        ("n-model-cache-SecurityGroup-id", 2049, "n-hosts-SecurityGroup-id"),
    ]


def test_hosts_leave_to_web_and_cache_only() -> None:
    rules = network().of("SecurityGroupEgressRule").values()
    assert sorted((r["securityGroupId"], r["fromPort"], r.get("cidrIpv4", "group")) for r in rules) == [
        ("n-hosts-SecurityGroup-id", 80, "0.0.0.0/0"),
        ("n-hosts-SecurityGroup-id", 443, "0.0.0.0/0"),
        ("n-hosts-SecurityGroup-id", 2049, "group"),
        ("n-load-balancer-SecurityGroup-id", 8080, "group"),
    ]


def test_hosts_reach_a_collector_that_has_a_port_of_its_own() -> None:
    rules = network(host_ports=(443, 80, 4318)).of("SecurityGroupEgressRule").values()
    assert {rule["fromPort"] for rule in rules if "cidrIpv4" in rule} == {443, 80, 4318}


def test_the_default_group_allows_nothing() -> None:
    assert network().one("DefaultSecurityGroup") == {"vpcId": "n-Vpc-id", "ingress": [], "egress": []}


def test_the_s3_gateway_endpoint_serves_every_route_table() -> None:
    """Without it images and weights from S3 would be paid by the gigabyte, as NAT's traffic."""
    endpoint = network(region="eu-west-1").one("VpcEndpoint")
    assert (endpoint["serviceName"], endpoint["vpcEndpointType"]) == ("com.amazonaws.eu-west-1.s3", "Gateway")
    assert len(endpoint["routeTableIds"]) == 4


def test_interface_endpoints_open_to_the_hosts_only() -> None:
    found = network(interface_endpoints=("ssm", "logs"))
    endpoints = {name: e for name, e in found.of("VpcEndpoint").items() if e["vpcEndpointType"] == "Interface"}
    assert sorted(endpoints) == ["n-logs", "n-ssm"]
    assert endpoints["n-ssm"]["privateDnsEnabled"] is True
    assert len(endpoints["n-ssm"]["subnetIds"]) == 3
    rule = found.of("SecurityGroupIngressRule")["n-endpoints"]
    assert (rule["fromPort"], rule["referencedSecurityGroupId"]) == (443, "n-hosts-SecurityGroup-id")
    # Hosts reach them by the rule that lets them reach HTTPS anywhere.
    assert counts(found)["SecurityGroupEgressRule"] == 4


def test_flow_logs_by_setting() -> None:
    found = network(flow_log_retention_days=90)
    assert found.one("LogGroup")["retentionInDays"] == 90
    assert found.one("FlowLog")["trafficType"] == "ALL"
    assert "arn:aws:mock:us-east-1:123456789012:LogGroup/n-flow-logs:*" in found.one("RolePolicy")["policy"]


@pytest.mark.parametrize("size", [16, 20, 22])
def test_subnets_never_overlap_and_keep_their_ranges(size: int) -> None:
    block = IPv4Network(f"10.20.0.0/{size}")
    four = (*ZONES, "us-east-1d")
    ranges = [IPv4Network(plan.cidr_block) for plan in plan_subnets(block, four, "natPerZone")]
    assert len(set(ranges)) == 8
    assert sum(part.num_addresses for part in ranges) == block.num_addresses
    public = [plan.cidr_block for plan in plan_subnets(block, four, "natPerZone") if plan.public]
    assert list(collapse_addresses(map(IPv4Network, public))) == [public_range(block)]
    for others in (four[:2], four[1:3], four[::-1][:3]):
        assert set(plan_subnets(block, others, "natPerZone")) < set(plan_subnets(block, four, "natPerZone"))
