"""Zones and subnets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from pulumi_rehearsal.aws.account import Region
from pulumi_rehearsal.aws.checks.base import Check, Refusal, api
from pulumi_rehearsal.aws.lifecycle import Resource

_LOAD_BALANCER = "aws:lb/loadBalancer:LoadBalancer"
_DATABASE_SUBNETS = "aws:rds/subnetGroup:SubnetGroup"
_ZONE_INPUTS = {
    "aws:ec2/subnet:Subnet": "availabilityZone",
    "aws:efs/fileSystem:FileSystem": "availabilityZoneName",
    "aws:autoscaling/group:Group": "availabilityZones",
}


@cache
def _zones(region: Region) -> tuple[str, ...]:
    found = region.call("ec2", "describe_availability_zones")["AvailabilityZones"]
    return tuple(sorted(zone["ZoneName"] for zone in found))


def _zone(resource: Resource) -> Iterator[Refusal]:
    name = _ZONE_INPUTS[resource.row.type]
    given = resource.inputs.get(name) or []
    for zone in [given] if isinstance(given, str) else given:
        if zone not in _zones(resource.region):
            yield Refusal(
                f"Value ({zone}) for parameter {name} is invalid. Allowed are the following availability zones: "
                f"{', '.join(_zones(resource.region))}.",
                "InvalidParameterValue",
            )


def _of_subnets(resource: Resource, ids: list[str]) -> list[str]:
    subnets = resource.region.call("ec2", "describe_subnets", SubnetIds=ids)["Subnets"]
    return [subnet["AvailabilityZone"] for subnet in subnets]


def _subnet_zones(balancer: Resource) -> Iterator[Refusal]:
    ids = balancer.inputs.get("subnets") or [item["subnetId"] for item in balancer.inputs.get("subnetMappings") or []]
    if balancer.inputs.get("loadBalancerType", "application") != "application" or not ids:
        return
    zones = _of_subnets(balancer, ids)
    if len(set(zones)) < len(zones):
        yield Refusal(
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            "InvalidConfigurationRequest",
        )
    elif len(zones) < 2:
        yield Refusal("At least two subnets in two different Availability Zones must be specified", "ValidationError")


def _database_zones(group: Resource) -> Iterator[Refusal]:
    zones = set(_of_subnets(group, group.inputs["subnetIds"]))
    if len(zones) < 2:
        yield Refusal(
            "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: "
            f"{', '.join(zones)}. Add subnets to cover at least 2 AZs.",
            "DBSubnetGroupDoesNotCoverEnoughAZs",
        )


CHECKS = (
    Check("zone", tuple(_ZONE_INPUTS), "A zone belongs to the region.", api("ec2", "CreateSubnet"), "apply", _zone),
    Check(
        "load balancer zones",
        (_LOAD_BALANCER,),
        "An application load balancer has subnets in two zones or more, one a zone.",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html",
        "apply",
        _subnet_zones,
    ),
    Check(
        "database zones",
        (_DATABASE_SUBNETS,),
        "A database's subnets are in two zones or more, though it is in one.",
        "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_VPC.WorkingWithRDSInstanceinaVPC.html",
        "apply",
        _database_zones,
    ),
)
