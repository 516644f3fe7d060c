"""Which versions run where, and how far a rollout is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

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
        unit: what it has: hosts or pods.
        size: how many are wanted.
        versions: those that run or are wanted, the newest first.
        before: the version to go back to; None where there is none.
        reason: in AWS's or Kubernetes' words, where they have some.
        failures: what has given up since it began, the newest first.
    """

    name: str
    unit: str
    state: State
    size: int
    versions: tuple[Version, ...]
    before: str | None = None
    reason: str = ""
    failures: tuple[str, ...] = ()

    @property
    def wanted(self) -> Version:
        return next(version for version in self.versions if version.wanted)

    @property
    def moves(self) -> bool:
        """Time alone brings it further."""
        return self.state == "running"

    @property
    def summary(self) -> str:
        """How far it is, in a line."""
        others = sum(version.serving for version in self.versions if not version.wanted)
        told = f"{self.wanted.serving} of {self.size} {self.unit} of {self.name} serve version {self.wanted.name}"
        return told + (f", {others} another one" if others else "")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Platform(Protocol):
    """Where rollouts happen. Each method can be called again after an interruption.

    Raises:
        UserError: AWS or the cluster refuses, or nothing is there.
        botocore's errors.
    """

    def look(self) -> Sequence[Rollout]:
        """All that the stack rolls out."""
        ...

    def cancel(self, rollout: Rollout) -> None:
        """Stops replacing; what runs stays as it is."""
        ...

    def take(self, rollout: Rollout, version: str) -> None:
        """Goes to that version: what is under way ends, what starts of another is given up, what serves replaced."""
        ...

    def go_on(self, rollout: Rollout) -> None:
        """Ends a pause after the first new one."""
        ...
