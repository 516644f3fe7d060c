"""A stack of one region as a stack of another: what must differ is worked out, and told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from tandem import checks
from tandem.catalog.instances import INSTANCE_TYPES, InstanceType
from tandem.catalog.prices import on_demand
from tandem.errors import UserError
from tandem.ops import stackfile
from tandem.ops.kinds.kind import Clients
from tandem.ops.stackfile import Config, Draft
from tandem.settings import Settings

PRIVATE = IPv4Network("10.0.0.0/8")

Offered = Mapping[str, frozenset[str]]
"""Instance type to the zones of a region that offer it."""


@dataclass(frozen=True)
class NewRegion:
    """What a new region's stack would be.

    Attributes:
        told: what differs from the source beside region, zones and range, and why; a line each.
    """

    stack: str
    draft: Draft
    told: Sequence[str]

    @property
    def settings(self) -> Settings:
        return self.draft.settings


def offerings(clients: Clients) -> Offered:
    """The catalog's types in the zones of a region that the account can use.

    Raises:
        botocore's errors.
    """
    ec2 = clients("ec2")
    zones = {
        zone["ZoneName"]
        for zone in ec2.describe_availability_zones()["AvailabilityZones"]
        if zone["State"] == "available" and zone.get("ZoneType", "availability-zone") == "availability-zone"
    }
    found: dict[str, set[str]] = {name: set() for name in INSTANCE_TYPES}
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": list(INSTANCE_TYPES)}]
    )
    for item in pages.search("InstanceTypeOfferings[]"):
        found[item["InstanceType"]] |= {item["Location"]} & zones
    return {name: frozenset(where) for name, where in found.items()}


def stack_name(source: str, region: str) -> str:
    """`prod` in eu-west-1 is prod-eu-west-1; so is a copy of prod-us-east-1's."""
    return f"{source}-{region}"


def new_region(
    stack: str, source: Config, region: str, taken: Iterable[IPv4Network], offered: Offered, global_name: str | None
) -> NewRegion:
    """The stack file of another region.

    Args:
        source: the configuration that it is made from.
        taken: VPC ranges of all other stacks.
        global_name: the name that both are to stand behind; None keeps the source's, if it has one.

    Raises:
        UserError: the region has no hosts for it, or the settings that come out are wrong.
    """
    before = stackfile.checked({key: value for key, value in source.items() if not stackfile.is_secret(value)})
    types, told = _types(before, region, offered)
    changes: dict[str, Any] = {
        "region": region,
        "network.cidrBlock": str(free_range(before.network.cidr_block.prefixlen, taken)),
        "network.zones": _zones(types, len(before.zones), region, offered),
        "fleet.instanceTypes": types,
        **_names(before, region, global_name, told),
        **_model_names(source, region, told),
    }
    made = stackfile.draft(source, changes, stackfile.OF_THE_REGION)
    told += [
        f"left behind, it is {before.region}'s own: {line}" for line in made.dropped if "network.zones" not in line
    ]
    if found := checks.size(made.settings).problems:
        raise UserError(*found)
    return NewRegion(stack, made, told)


def free_range(prefix: int, taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first private range of that size that overlaps no other stack's, so that any two may be peered."""
    taken = list(taken)
    for candidate in PRIVATE.subnets(new_prefix=prefix):
        if not any(candidate.overlaps(other) for other in taken):
            return candidate
    raise UserError.of(
        key="network.cidrBlock",
        wrong=f"no /{prefix} of {PRIVATE} is left",
        value=len(taken),
        allowed="a range that overlaps no other stack's",
        fix="give the source a smaller range",
    )


def _types(before: Settings, region: str, offered: Offered) -> tuple[list[str], list[str]]:
    """The fleet's types in the region, and what was swapped."""
    types, told = [], []
    for name in before.fleet.instance_types:
        found = name if offered.get(name) else nearest(name, offered)
        if found is None:
            told.append(f"{region} does not offer {name}, nor another type that could take its place")
            continue
        if found != name:
            told.append(
                f"{region} does not offer {name}: {found} instead, ${on_demand(found, region):.2f} for "
                f"${on_demand(name, before.region):.2f} an hour"
            )
        if found not in types:
            types.append(found)
    if not types:
        raise UserError.of(
            key="fleet.instanceTypes",
            wrong=f"{region} offers none of the types, and none that could take their place",
            value=list(before.fleet.instance_types),
            allowed="a region with GPUs of that size",
            fix=f"`aws ec2 describe-instance-type-offerings --region {region}`, or another region",
        )
    return types, told


def nearest(name: str, offered: Offered) -> str | None:
    """The cheapest offered type with as many GPUs or more, each with as much memory or more, Ampere or later.

    Whether the model still fits, with its quantization, is for sizing to say. None where there is no such type.
    """
    wanted = INSTANCE_TYPES[name]

    def fits(other: InstanceType) -> bool:
        return (
            bool(offered.get(other.name))
            and other.gpus >= wanted.gpus
            and other.gpu_mib >= wanted.gpu_mib
            and other.compute_capability >= min(wanted.compute_capability, 8.0)
        )

    candidates = [other for other in INSTANCE_TYPES.values() if fits(other)]
    return min(candidates, key=lambda other: other.usd_per_hour).name if candidates else None


def _zones(types: Sequence[str], wanted: int, region: str, offered: Offered) -> list[str]:
    """As many zones as the source has, those first that offer the most of the types."""
    every = sorted(set().union(*(offered[name] for name in types)))
    best = sorted(every, key=lambda zone: (-sum(zone in offered[name] for name in types), zone))[:wanted]
    if len(best) < 2:
        raise UserError.of(
            key="network.zones",
            wrong=f"only one zone of {region} offers the fleet's types, and the load balancer needs two",
            value=best,
            allowed="two zones; hosts may be in one of them only",
            fix="write the stack file by hand: add another zone of the region to network.zones",
        )
    return sorted(best)


def _names(before: Settings, region: str, global_name: str | None, told: list[str]) -> dict[str, Any]:
    """A name of the region's own, and the one that all share: no two stacks can hold the same."""
    balancer, shared = before.load_balancer, before.global_name
    zone = shared.hosted_zone_id if shared else balancer.hosted_zone_id
    name = global_name or (shared.domain_name if shared else None)
    base = name or balancer.domain_name
    if base is None:
        return {}
    if zone is None:
        raise UserError.of(
            key="loadBalancer.hostedZoneId",
            wrong="the new region's name and certificate need a Route 53 zone, and the source has none",
            value=base,
            allowed="a source with loadBalancer.hostedZoneId",
            fix="set it in the source, or write the stack file by hand with a certificate of the region",
        )
    own = f"{region}.{base}"
    told.append(f"its own name is {own}")
    found: dict[str, Any] = {"loadBalancer.domainName": own, "loadBalancer.hostedZoneId": zone}
    if name is None:
        return found
    found |= {"globalName.domainName": name, "globalName.hostedZoneId": zone}
    told.append(f"it stands behind {name}, by {shared.routing if shared else 'latency'}")
    if shared is None:
        told.append(
            f"the source does not stand behind {name} yet: give it a loadBalancer.domainName of its own, such as "
            f"{before.region}.{name}, and the same globalName, then `pulumi up`"
        )
    return found


def _model_names(source: Config, region: str, told: list[str]) -> dict[str, Any]:
    """Further models under host names of the region's own."""
    found: dict[str, Any] = {}
    for name, model in source.get("tandem:models", {}).items():
        own = f"{region}.{model['hostName']}"
        found[f"models.{name}"] = {**model, "hostName": own}
        told.append(f"its model {name} is at {own}")
    return found
