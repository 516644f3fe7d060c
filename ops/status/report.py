"""What is known of a stack; what cannot be known is said to be unknown, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Unknown:
    """What cannot be told from here, and why."""

    why: str

    def __str__(self) -> str:
        return f"unknown: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Host:
    """One GPU host of the group.

    Attributes:
        state: of its life in the group, in Auto Scaling's words; it is InService once it has made a token.
        target: of the load balancer, in its words.
        current: it runs the launch template's version that the group wants.
        replicas: vLLM servers that it runs, from its type; None for a type that the catalog lacks.
    """

    id: str
    type: str
    zone: str
    purchase: str
    state: str
    target: str
    version: str
    current: bool
    since: datetime | None
    replicas: int | None

    @property
    def serves(self) -> bool:
        return self.state == "InService" and self.target == "healthy"


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The group: what it should be, and its hosts."""

    name: str
    minimum: int
    desired: int
    maximum: int
    hosts: tuple[Host, ...]

    @property
    def replicas_serving(self) -> int:
        return sum(host.replicas or 0 for host in self.hosts if host.serves)


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is known. Each field is its value, or why it is unknown.

    Attributes:
        running: image, model and revision that new hosts are given.
        last_token: one that the API has made for this look.
        requests: of the last hour, and how many failed, as the load balancer counts them.
        queue: requests that wait in the servers.
        cost_so_far: US dollars at list prices since the hosts that run now were started; a lower bound.
        expires_at: when the schedule sets the fleet to 0.
    """

    stack: str
    region: str
    url: str | Unknown
    fleet: Fleet | Unknown
    running: Mapping[str, str] | Unknown
    last_token: str | Unknown
    requests: str | Unknown
    queue: str | Unknown
    cost_so_far: float | Unknown
    expires_at: str | Unknown

    @property
    def well(self) -> bool:
        """As many hosts serve as should, and the API makes tokens, where that could be asked."""
        fleet = self.fleet
        if isinstance(fleet, Unknown) or isinstance(self.last_token, Unknown):
            return False
        return sum(host.serves for host in fleet.hosts) >= fleet.desired

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = asdict(self) | {"well": self.well}
        for name in found:
            if isinstance(value := getattr(self, name), Unknown):
                found[name] = {"unknown": value.why}
        if not isinstance(self.fleet, Unknown):
            found["fleet"]["replicasServing"] = self.fleet.replicas_serving
        return found
