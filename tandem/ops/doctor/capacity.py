"""Whether the region has the hosts, in the stack's zones."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, ok
from tandem.settings import Settings


def zones_exist(examination: Examination) -> Iterator[Finding]:
    """The zones of the stack are zones of this account: names differ between accounts, and some regions have no a."""
    found = examination.clients("ec2").describe_availability_zones()["AvailabilityZones"]
    usable = [zone["ZoneName"] for zone in found if zone["State"] == "available"]
    settings = examination.settings
    missing = [zone for zone in settings.zones if zone not in usable]
    if missing:
        yield error(
            f"the account has no zone {', '.join(missing)}",
            value=", ".join(settings.zones),
            needed=f"two to four of {', '.join(usable)}",
            fix=set_zones(settings, usable[:2]),
        )
    else:
        yield ok("the zones exist", value=", ".join(settings.zones))


def types_are_offered(examination: Examination) -> Iterator[Finding]:
    """Each instance type in each zone; a zone without any of them holds no host."""
    settings = examination.settings
    types, offered = settings.fleet.instance_types, _offered(examination)
    for name in types:
        if not offered[name]:
            others = [known for known in INSTANCE_TYPES if known not in types]
            yield Finding(
                severity="warning" if any(offered.values()) else "error",
                what=f"{name} is not offered in {settings.region}",
                value="no zone",
                needed=f"a type that {settings.region} has",
                fix=f"`pulumi config set --path 'tandem:fleet.instanceTypes[0]' TYPE`; see `aws ec2 "
                f"describe-instance-type-offerings --region {settings.region} --filters "
                f"Name=instance-type,Values={','.join(others[:4])}`",
            )
    everywhere = sorted(set.union(*offered.values()))
    for zone in settings.zones:
        here = [name for name in types if zone in offered[name]]
        if everywhere and not here:
            yield Finding(
                severity="error" if _only_zone(examination, zone) else "warning",
                what=f"no instance type of the fleet is offered in {zone}",
                value=f"{', '.join(types)}: {', '.join(everywhere)}",
                needed="zones that offer the fleet's types",
                fix=set_zones(settings, everywhere[: max(2, len(settings.zones))]),
            )
        elif here:
            yield ok(f"{zone} offers {', '.join(here)}")


def _only_zone(examination: Examination, zone: str) -> bool:
    """Whether hosts must start in this zone: one with a reservation, or when no other zone has a host either."""
    if reserved := examination.settings.fleet.reserved_zones:
        return zone in reserved
    offered = set.union(*_offered(examination).values())
    return not offered & set(examination.settings.zones)


def _offered(examination: Examination) -> dict[str, set[str]]:
    types = examination.settings.fleet.instance_types
    pages = (
        examination.clients("ec2")
        .get_paginator("describe_instance_type_offerings")
        .paginate(LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": list(types)}])
    )
    offered: dict[str, set[str]] = {name: set() for name in types}
    for item in pages.search("InstanceTypeOfferings[]"):
        offered[item["InstanceType"]].add(item["Location"])
    return offered


def set_zones(settings: Settings, zones: list[str]) -> str:
    """What puts a stack into other zones."""
    if settings.network.existing:
        return f"name subnets in {', '.join(zones)} in network.existing; docs/operations.md, in your own VPC"
    return "; ".join(
        f"`pulumi config set --path 'tandem:network.zones[{index}]' {zone}`" for index, zone in enumerate(zones)
    )
