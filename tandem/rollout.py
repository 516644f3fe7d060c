"""How a new version reaches hosts and pods: what holds each host, how many are replaced at once, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

LAUNCH_HOOK, TERMINATE_HOOK = "first-token", "drain"
"""Names of the lifecycle hooks that hold a host until it has made a token, and until it has drained."""


def refresh_percentages(rollout: Literal["launchFirst", "terminateFirst"], least: int, most: int) -> tuple[int, int]:
    """(min, max) healthy percentage that replaces one host at a time, in a group of so many.

    launchFirst needs room for a host more than the group has; with terminateFirst one host goes before its successor
    comes, and a group of one is without a host meanwhile.
    """
    if rollout == "launchFirst":
        # By the largest group: a smaller one gets a host on top all the same, to the letter of the API.
        return 100, min(200, 100 + _one_of(most))
    return max(0, 100 - _one_of(least)), 100


def _one_of(hosts: int) -> int:
    return max(1, -(-100 // max(hosts, 1)))


State = Literal["done", "running", "held", "failing", "stopped"]
"""held: it waits after its first new one; failing: a new one gave up; stopped: nothing replaces what is old."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of what serves.

    Attributes:
        name: number of the launch template's version, or of the Deployment's revision.
        runs: image, model and the like; empty where it cannot be told.
        wanted: new hosts or pods are of this one.
        serving: how many of it serve.
        moving: how many start or leave.
    """

    name: str
    runs: Mapping[str, str]
    wanted: bool
    serving: int
    moving: int


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One group of hosts, or one Deployment.

    Attributes:
        name: in the account or in the cluster.
        model: that it serves, as the settings name it.
        unit: what it has: hosts or pods.
        size: how many are wanted.
        versions: those that run or are wanted, the newest first.
        before: the version to go back to; the wanted one where that is where it goes already, None where there is none.
        reason: in AWS's or Kubernetes' words, where they have some.
        failures: what has given up since it began, the newest first.
        hold_ends: what is held goes on by itself in the end.
        began: when the wanted version was first rolled out; None where it has served before, or nothing tells.
    """

    name: str
    model: str
    unit: str
    state: State
    size: int
    versions: tuple[Version, ...]
    before: str | None = None
    reason: str = ""
    failures: tuple[str, ...] = ()
    hold_ends: bool = False
    began: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """By which it is told from others: a model that becomes pipelines has two of its name for a while."""
        return self.name, self.unit

    @property
    def wanted(self) -> Version:
        return next(version for version in self.versions if version.wanted)

    @property
    def goes_back(self) -> bool:
        return self.before == self.wanted.name

    @property
    def moves(self) -> bool:
        """Time alone brings it further."""
        return self.state == "running" or (self.state == "held" and self.hold_ends)

    @property
    def summary(self) -> str:
        """How far it is, in a line."""
        others = sum(version.serving for version in self.versions if not version.wanted)
        told = f"{self.wanted.serving} of {self.size} {self.unit} of {self.name} serve version {self.wanted.name}"
        return told + (f", {others} another one" if others else "")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
