"""Platform `ec2`: GPU hosts in an Auto Scaling group."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tandem import capacity
from tandem.errors import Problem
from tandem.platforms.platform import Platform
from tandem.timing import HEARTBEAT_SECONDS

if TYPE_CHECKING:
    from tandem.pins import Pins


class Hosts(Platform):
    """Each starts and serves by itself."""

    keeps_pipelines = False
    knows_its_type = True
    sees_gpus = True
    makes_spot_role = True

    @property
    def hosts_at_first(self) -> int:
        return self.settings.group_size

    def _replicas(self, *, missing: bool) -> int:
        """On the smallest type of the fleet."""
        return (self.settings.group_size - missing) * min(capacity.servers_per_host(self.settings))

    @property
    def launched_ahead(self) -> int:
        return int(self.rebalances)

    @property
    def rebalances(self) -> bool:
        return self.settings.fleet.rollout == "launchFirst"

    @property
    def drain_time(self) -> timedelta:
        """The load balancer lets go of a host, its answers end, and its hook waits for a heartbeat that never comes."""
        timeouts = self.settings.timeouts
        return timedelta(
            seconds=timeouts.deregistration_delay_seconds + timeouts.termination_grace_seconds + HEARTBEAT_SECONDS
        )

    def machine_image(self, pins: Pins) -> str:
        return self.settings.fleet.machine_image_id or pins.machine_image_id(self.settings.region)

    def missing_pins(self, pins: Pins) -> list[Problem]:
        settings = self.settings
        images = [group.fleet.machine_image_id for group in settings.groups.values()]
        return pins.missing(settings.region, settings.models_served, images[0] if all(images) else None)

    @property
    def pin_command(self) -> str:
        return f"tandem pin --region {self.settings.region}"
