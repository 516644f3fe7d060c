"""Whether a network that is there can hold the stack: what only the account knows of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from tandem import costs
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, or_fine, warning
from tandem.ops.doctor.network_acls import lets_through, of_subnet
from tandem.rules.hosts import DOCKERS
from tandem.settings import Settings
from tandem.settings.commands import set_to
from tandem.settings.network import ExistingNetworkSettings
from tandem.tags import PROJECT, PROJECT_TAG, STACK_TAG

ANYWHERE = "0.0.0.0/0"
BALANCERS_ADDRESSES = 8
"""Free in each of its subnets: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html"""
CLUSTERS_ADDRESSES = 16
"""What EKS recommends, where it needs 6: https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html"""
NODES_ADDRESSES = 60
"""Of a 12xlarge: the network plugin keeps a spare interface of 30 beside the one that pods take from
(https://docs.aws.amazon.com/eks/latest/best-practices/vpc-cni.html)."""
_OWNER = "who owns the network"


@dataclass(frozen=True)
class _Place:
    """A subnet of the settings."""

    key: str
    zone: str
    id: str
    public: bool


def existing_network_fits(examination: Examination) -> Iterator[Finding]:
    """The VPC and each subnet of `network.existing`; nothing of it is changed."""
    there = examination.settings.network.existing
    if there is None:
        return
    yield from or_fine(_complaints(examination, there), "the network that is there holds the stack", there.vpc_id)


def _complaints(examination: Examination, there: ExistingNetworkSettings) -> Iterator[Finding]:
    """The VPC's attributes come last: an account that shares it may not let them be read."""
    ec2, id = examination.clients("ec2"), there.vpc_id
    vpcs = ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [id]}])["Vpcs"]
    if not vpcs:
        what = f"the account sees no VPC {id} in {examination.region}"
        yield error(what, id, "the id of a VPC there", "`aws ec2 describe-vpcs`, and network.existing.vpcId")
        return
    places = [_Place("privateSubnetIds", zone, subnet, False) for zone, subnet in there.private_subnet_ids.items()]
    places += [_Place("publicSubnetIds", zone, subnet, True) for zone, subnet in there.public_subnet_ids.items()]
    ids = [place.id for place in places]
    seen = ec2.describe_subnets(Filters=[{"Name": "subnet-id", "Values": ids}])["Subnets"]
    subnets = {subnet["SubnetId"]: subnet for subnet in seen}
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [id]}])["RouteTables"]
    acls = ec2.describe_network_acls(Filters=[{"Name": "association.subnet-id", "Values": ids}])["NetworkAcls"]
    own = _own_addresses(examination, ids)
    for place in places:
        subnet = subnets.get(place.id, {})
        if subnet.get("VpcId") == id and subnet["AvailabilityZone"] == place.zone:
            yield from _way_out(place, _routes(place.id, tables))
            yield from _let_through(examination.settings, place, acls)
            yield from _addresses(examination.settings, place, subnet["AvailableIpAddressCount"] + own[place.id])
        else:
            yield _elsewhere(place, subnet, id)
    yield from _of_vpc(examination, vpcs[0])


def _of_vpc(examination: Examination, vpc: Mapping[str, Any]) -> Iterator[Finding]:
    """Names of the model cache and of a cluster are known inside by the VPC's own DNS."""
    ec2, id = examination.clients("ec2"), vpc["VpcId"]
    for attribute in ("enableDnsSupport", "enableDnsHostnames"):
        answer = ec2.describe_vpc_attribute(VpcId=id, Attribute=attribute)
        if not answer[f"{attribute[0].upper()}{attribute[1:]}"]["Value"]:
            what = f"{attribute} is off in {id}: hosts would not find the model cache, nor nodes their cluster"
            fix = f"have {_OWNER} turn it on: `aws ec2 modify-vpc-attribute --vpc-id {id} --{_dashed(attribute)}`"
            yield error(what, "false", "true", fix)
    ranges = [IPv4Network(one["CidrBlock"]) for one in vpc["CidrBlockAssociationSet"]]
    if examination.settings.platform == "ec2" and any(one.overlaps(DOCKERS) for one in ranges):
        what = f"addresses of {id} are those of Docker's bridge on each host, which then reaches nobody at them"
        yield error(what, ", ".join(map(str, ranges)), f"ranges outside {DOCKERS}", "another VPC, or platform eks")


def _elsewhere(place: _Place, subnet: Mapping[str, Any], vpc_id: str) -> Finding:
    where = f"{subnet['VpcId']}, {subnet['AvailabilityZone']}" if subnet else "the account does not see it"
    key = f"network.existing.{place.key}.{place.zone}"
    what = f"{place.id} is not a subnet of {vpc_id} in {place.zone}"
    fix = f"`aws ec2 describe-subnets --filters Name=vpc-id,Values={vpc_id}`, then {set_to(key, 'SUBNET')}"
    return error(what, where, f"a subnet of {vpc_id} in {place.zone}", fix)


def _routes(subnet_id: str, tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the subnet's own table, else of the VPC's main one."""
    uses = [(one, table) for table in tables for one in table["Associations"]]
    own = [table for one, table in uses if one.get("SubnetId") == subnet_id]
    main = [table for one, table in uses if one.get("Main")]
    return [route for table in (own or main)[:1] for route in table["Routes"]]


def _way_out(place: _Place, routes: list[dict[str, Any]]) -> Iterator[Finding]:
    """A public subnet leads to an internet gateway; a private one elsewhere, as hosts have no public address."""
    ways = [one for one in routes if one.get("DestinationCidrBlock") == ANYWHERE and one.get("State") != "blackhole"]
    open_ = any(one.get("GatewayId", "").startswith("igw-") for one in ways)
    if place.public != open_ or not ways:
        purpose = "the load balancer is to be reached there" if place.public else "hosts there have no public address"
        needed = "an internet gateway" if place.public else "a NAT, a transit gateway or an appliance"
        yield error(
            f"{place.id} has no route to {needed}, and {purpose}",
            f"{ANYWHERE} leads to an internet gateway" if open_ else f"{ANYWHERE} leads elsewhere" if ways else "none",
            f"a route for {ANYWHERE} to {needed}",
            f"have {_OWNER} add it, or name another subnet in network.existing.{place.key}.{place.zone}",
        )


def _let_through(settings: Settings, place: _Place, acls: list[dict[str, Any]]) -> Iterator[Finding]:
    """A subnet has one network ACL; what is between the stack's own subnets is not looked at."""
    of_place = [acl for acl in acls if place.id in [one["SubnetId"] for one in acl["Associations"]]]
    for acl in of_place:
        for flow in of_subnet(settings.load_balancer.client_cidrs if place.public else ()):
            if not lets_through(acl["Entries"], flow):
                yield error(
                    f"the network ACL of {place.id} stops TCP {'to' if flow.out else 'from'} {flow.network} "
                    f"on port {flow.port}, and {flow.purpose}",
                    acl["NetworkAclId"],
                    "a rule that allows it before one that denies it",
                    f"have {_OWNER} add it: `aws ec2 describe-network-acls --network-acl-ids {acl['NetworkAclId']}`",
                )


def _addresses(settings: Settings, place: _Place, free: int) -> Iterator[Finding]:
    need = BALANCERS_ADDRESSES if place.public else _needed(settings)
    if free < need:
        yield warning(
            f"{place.id} has too few free addresses for the stack at its largest",
            value=f"{free}",
            needed=f"{need}",
            fix=f"name a larger subnet in network.existing.{place.key}.{place.zone}, or lower fleet.maxHosts",
        )


def _needed(settings: Settings) -> int:
    """Of a private subnet: its share of hosts, with those that overlap, and a mount target."""
    kubernetes = settings.platform == "eks"
    groups = settings.groups.values()
    hosts = sum(math.ceil((own.max_group_size + costs.overlapping_hosts(own)) / len(own.zones)) for own in groups)
    beside = 1 + BALANCERS_ADDRESSES * settings.load_balancer.internal + CLUSTERS_ADDRESSES * kubernetes
    return beside + hosts * (NODES_ADDRESSES if kubernetes else 1)


def _own_addresses(examination: Examination, subnet_ids: list[str]) -> Counter[str]:
    """How many the stack has already, by subnet: those of interfaces with a security group of its own."""
    ec2, tags = examination.clients("ec2"), {PROJECT_TAG: PROJECT, STACK_TAG: examination.stack}
    of_stack = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    groups = [one["GroupId"] for one in ec2.describe_security_groups(Filters=of_stack)["SecurityGroups"]]
    found: Counter[str] = Counter()
    if groups:
        filters = [{"Name": "group-id", "Values": groups}, {"Name": "subnet-id", "Values": subnet_ids}]
        pages = ec2.get_paginator("describe_network_interfaces").paginate(Filters=filters)
        for interface in pages.search("NetworkInterfaces[]"):
            found[interface["SubnetId"]] += len(interface["PrivateIpAddresses"])
    return found


def _dashed(attribute: str) -> str:
    return {"enableDnsSupport": "enable-dns-support", "enableDnsHostnames": "enable-dns-hostnames"}[attribute]
