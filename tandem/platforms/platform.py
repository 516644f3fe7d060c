"""The questions that a platform answers from a stack's settings and pins; one that leaves out an answer is not made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from tandem.errors import Problem
from tandem.settings.schema import Settings

if TYPE_CHECKING:
    from tandem.pins import Pins


@dataclass(frozen=True)
class CostItem:
    """One part of the hourly cost: what it is, how many of it, US dollars an hour for all of them."""

    name: str
    count: float
    usd_per_hour: float


@dataclass(frozen=True)
class Platform(ABC):
    """One way to run servers on GPU hosts.

    Attributes:
        keeps_pipelines: starts and replaces the stages of one replica together, each on a host of its own.
        knows_its_type: a server is told the batch of the instance type that it runs on; else one that suits all.
        sees_gpus: its machines report what their GPUs say.
        makes_spot_role: one of the stack's roles may make the account's service-linked role for spot instances.
    """

    settings: Settings

    keeps_pipelines: ClassVar[bool]
    knows_its_type: ClassVar[bool]
    sees_gpus: ClassVar[bool]
    makes_spot_role: ClassVar[bool]

    @property
    @abstractmethod
    def hosts_at_first(self) -> int:
        """GPU hosts as the stack comes up."""

    @property
    def servers(self) -> int:
        """Of the main model, while versions change, too."""
        return max(0, self._replicas(missing=self.settings.fleet.rollout != "launchFirst"))

    @abstractmethod
    def _replicas(self, *, missing: bool) -> int:
        """Of the main model, at least; a host or pod fewer where one may be missing."""

    @property
    @abstractmethod
    def launched_ahead(self) -> int:
        """Hosts that a rollout starts before those go that they replace."""

    @property
    def on_demand_ahead(self) -> int:
        """Of these, how many are on demand however the group is bought."""
        return 0

    @property
    def rebalances(self) -> bool:
        """Whether Auto Scaling starts hosts to balance the group over its zones, or to replace spot hosts at risk."""
        return False

    @property
    @abstractmethod
    def drain_time(self) -> timedelta:
        """The longest that a host may take to leave."""

    @property
    def other_types(self) -> Sequence[str]:
        """Instance types that run beside the fleet's."""
        return ()

    @property
    def other_costs(self) -> Sequence[CostItem]:
        """What always runs, beside what every stack has."""
        return ()

    @property
    def charts(self) -> Sequence[str]:
        """Helm charts that the stack installs."""
        return ()

    @abstractmethod
    def machine_image(self, pins: Pins) -> str | None:
        """What hosts boot from: an id, or a reference by which EC2 takes the newest; None where the platform does."""

    @abstractmethod
    def missing_pins(self, pins: Pins) -> list[Problem]:
        """Empty pins that the stack needs."""

    @property
    @abstractmethod
    def pin_command(self) -> str:
        """Looks up the stack's pins."""
