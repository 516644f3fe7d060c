"""Which range of a VPC each subnet has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

Egress = Literal["natPerZone", "singleNat", "publicHosts"]

SUBNETS_PER_KIND = 4


@dataclass(frozen=True)
class SubnetPlan:
    """One subnet: its zone, its range and whether it is public."""

    zone: str
    cidr_block: str
    public: bool


def slot(zone: str) -> int:
    """Which of the four ranges of a kind a zone has, by its letter: the same with whatever zones beside it."""
    return (ord(zone[-1]) - ord("a")) % SUBNETS_PER_KIND


def public_range(cidr_block: IPv4Network) -> IPv4Network:
    """The half of the VPC in which all public subnets are."""
    return next(cidr_block.subnets())


def plan_subnets(cidr_block: IPv4Network, zones: Sequence[str], egress: Egress) -> list[SubnetPlan]:
    """Public subnets for each zone, then private ones unless the hosts are public.

    A zone keeps its ranges when others come, go or change their order.
    """
    parts = [str(part) for part in cidr_block.subnets(prefixlen_diff=3)]
    public = [SubnetPlan(zone, parts[slot(zone)], True) for zone in zones]
    if egress == "publicHosts":
        return public
    return public + [SubnetPlan(zone, parts[SUBNETS_PER_KIND + slot(zone)], False) for zone in zones]


def nat_zones(zones: Sequence[str], egress: Egress) -> list[str]:
    """Zones with a NAT gateway: each, the first for all, or none, where hosts have public addresses."""
    return {"natPerZone": list(zones), "singleNat": list(zones[:1]), "publicHosts": []}[egress]
