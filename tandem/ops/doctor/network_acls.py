"""What network ACLs let through: they have no memory, so that replies need a rule of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from tandem.settings.types import EVERYONE

TCP = ("-1", "6")
"""What rules call it, all protocols included."""
REPLIES = 32768
"""The first port that Linux, a NAT and a load balancer all take for replies."""


@dataclass(frozen=True)
class Flow:
    """TCP to a port.

    Attributes:
        out: leaves the subnet.
        port: of the receiver.
        network: of whoever is at the other end.
        purpose: in words.
    """

    out: bool
    port: int
    network: IPv4Network
    purpose: str


def of_subnet(clients: Sequence[IPv4Network]) -> list[Flow]:
    """What hosts in a subnet need for calls of their own, or, where there are clients, the load balancer for theirs."""
    if not clients:
        return [
            Flow(True, 443, EVERYONE, "hosts fetch images and models, and call AWS, by HTTPS"),
            Flow(False, REPLIES, EVERYONE, "the replies come back to ports from 1024 on"),
        ]
    asked = [Flow(False, 443, network, f"clients of {network} come by HTTPS") for network in clients]
    return [*asked, *(Flow(True, REPLIES, network, f"replies leave for {network}") for network in clients)]


def lets_through(entries: Sequence[Mapping[str, Any]], flow: Flow) -> bool:
    """By the first rule that is of all of the flow; nothing gets through without one."""
    for entry in sorted(entries, key=lambda one: one["RuleNumber"]):
        ports = entry.get("PortRange", {"From": 0, "To": 65535})
        if (
            entry["Egress"] == flow.out
            and entry["Protocol"] in TCP
            and ports["From"] <= flow.port <= ports["To"]
            and flow.network.subnet_of(IPv4Network(entry.get("CidrBlock", "255.255.255.255/32")))
        ):
            return entry["RuleAction"] == "allow"
    return False
