"""A network that is there: security groups come, and nothing else of a network does."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tandem.errors import UserError
from tests.infra.declared import DHCP_OPTIONS, SECURITY_GROUPS, Declared, declared_by

pytestmark = pytest.mark.sweep

VPC = f"vpc-{'0' * 17}"
PRIVATE, PUBLIC = (
    {f"us-east-1{zone}": f"subnet-{id * 17}" for zone, id in zip("ab", ids, strict=True)} for ids in ("12", "34")
)
THERE = {"vpcId": VPC, "privateSubnetIds": PRIVATE, "publicSubnetIds": PUBLIC}
INTERNAL = {"network": {"existing": THERE | {"publicSubnetIds": {}}}, "loadBalancer": {"scheme": "internal"}}
RANGE = "10.9.0.0/24"
"""Of each subnet, as tests/infra/declared.py answers."""


def values(**changes: Any) -> dict[str, Any]:
    base = {"region": "us-east-1", "ephemeral": True, "network": {"existing": THERE}}
    return base | {"fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 1, "maxHosts": 2}} | changes


@functools.cache
def on(platform: str, *, internal: bool = False) -> Declared:
    changes: dict[str, Any] = INTERNAL if internal else {}
    fleet = {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 2} | ({"hosts": 1} if platform == "ec2" else {})
    return declared_by(values(platform=platform, fleet=fleet, **changes), "golden")


@pytest.mark.parametrize("platform", ["ec2", "eks"])
def test_of_a_network_only_security_groups_are_made(platform: str) -> None:
    found = {
        token: number for token, number in on(platform).counts().items() if token.startswith(("aws:ec2", "aws:vpc"))
    }
    assert found == {
        "aws:ec2/launchTemplate:LaunchTemplate": 1,
        "aws:ec2/securityGroup:SecurityGroup": 3,
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 4,
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 4,
    }
    assert {group["vpcId"] for group in on(platform).of("SecurityGroup").values()} == {VPC}


def test_hosts_cache_and_load_balancer_stand_in_the_subnets_named() -> None:
    found = on("ec2")
    assert found.one("Group")["vpcZoneIdentifiers"] == list(PRIVATE.values())
    assert [target["subnetId"] for target in found.of("MountTarget").values()] == list(PRIVATE.values())
    assert found.one("LoadBalancer")["subnets"] == list(PUBLIC.values())
    assert found.one("TargetGroup")["vpcId"] == VPC


def test_the_cluster_and_its_nodes_stand_there_without_a_tag_on_a_subnet() -> None:
    found = on("eks")
    assert found.one("Cluster")["vpcConfig"]["subnetIds"] == list(PRIVATE.values())
    [node_class] = found.of("EC2NodeClass").values()
    assert node_class["spec"]["subnetSelectorTerms"] == [{"id": subnet} for subnet in PRIVATE.values()]
    [controller] = [one for name, one in found.of("Release").items() if "load-balancer-controller" in name]
    assert controller["values"]["vpcId"] == VPC
    assert "aws:ec2/tag:Tag" not in found.counts()


def test_hosts_may_ask_the_name_servers_of_the_vpc() -> None:
    """AWS's own, at .2 of the VPC, no security group holds back."""
    own = {DHCP_OPTIONS: {"domainNameServers": ["10.1.2.3", "fd00::3", "AmazonProvidedDNS"]}}
    found = declared_by(values(), "golden", account=own)
    rules = [one for one in found.of("SecurityGroupEgressRule").values() if one["toPort"] == 53]
    assert [(one["ipProtocol"], one["fromPort"], one["cidrIpv4"]) for one in rules] == [
        ("tcp", 53, "10.1.2.3/32"),
        ("udp", 53, "10.1.2.3/32"),
    ]
    none = {
        "aws:ec2/getVpc:getVpc": {"dhcpOptionsId": "default"}
    }  # there are none, and nothing of this name to ask for
    found = declared_by(values(), "golden", account=own | none)
    assert 53 not in [one["toPort"] for one in found.of("SecurityGroupEgressRule").values()]


@pytest.mark.parametrize("platform", ["ec2", "eks"])
def test_an_internal_load_balancer_stands_beside_the_hosts(platform: str) -> None:
    found = on(platform, internal=True)
    assert found.one("LoadBalancer")["subnets"] == list(PRIVATE.values())


def test_pods_let_in_the_ranges_of_the_load_balancers_subnets() -> None:
    assert RANGE in repr([one.inputs for one in on("eks").resources if one.type.endswith(":NetworkPolicy")])


@pytest.mark.parametrize(("network", "where"), [({"existing": THERE}, "vpc-1"), ({}, "vpc-1"), ({}, "vpc-own")])
def test_a_stack_stays_where_it_was_made(network: dict[str, Any], where: str) -> None:
    account = {SECURITY_GROUPS: {"vpcIds": [where, where]}, "aws:ec2/getVpcs:getVpcs": {"ids": ["vpc-own"]}}
    if where == "vpc-own":
        declared_by(values(network=network), "golden", account=account)
        return
    with pytest.raises(UserError, match="the stack is in vpc-1, and nothing of it can go to another VPC"):
        declared_by(values(network=network), "golden", account=account)
