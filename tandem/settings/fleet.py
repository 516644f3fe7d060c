"""Sections on machines with GPUs, and what is reserved of them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tandem.settings.observing import LogRetentionDays
from tandem.settings.section import Section
from tandem.settings.types import Duration, Instant, MachineImageId, MirrorUrl, ReservationId, SecretArn, Zone


class CapacityBlockSettings(Section):
    """GPUs reserved for a span of days (Capacity Blocks for ML)."""

    reservation_id: ReservationId = Field(description="The reservation that was bought.")
    zone: Zone = Field(description="The zone that it is in; hosts start only there.")
    ends_at: Instant = Field(description="When it ends: the fleet is at 0 half an hour before, when AWS reclaims it.")


class CapacityReservationSettings(Section):
    """GPUs that stand ready at the price on demand, used or not, until somebody cancels them (On-Demand Capacity
    Reservations)."""

    by_zone: dict[Zone, ReservationId] = Field(
        min_length=1,
        max_length=4,
        description="Each zone's reservation, of the one type in fleet.instanceTypes; hosts start in these zones only.",
    )
    when_full: Literal["onDemand", "wait"] = Field(
        default="onDemand",
        description="What starts when they are full, expired or cancelled. onDemand: a host on demand, if AWS has "
        "one, which is paid beside what is reserved. wait: none, until a reservation has room; a rollout then needs "
        "room for a host more, or fleet.rollout: terminateFirst.",
    )


class FleetSettings(Section):
    """The GPU hosts: an Auto Scaling group."""

    instance_types: tuple[str, ...] = Field(
        default=("g6.12xlarge",),
        min_length=1,
        max_length=10,
        description="Types that may serve, in order of preference. More types, fewer failed starts.",
    )
    hosts: int = Field(default=1, ge=0, le=100, description="Hosts that the expected load needs.")
    spare_hosts: int = Field(
        default=0, ge=0, le=20, description="Hosts beyond that (N+1): one lost host then takes no capacity away."
    )
    max_hosts: int | None = Field(
        default=None,
        ge=1,
        le=120,
        description="Upper bound of the group and of what it can cost. Unset: hosts + spareHosts, which a managed node "
        "group has; with Karpenter it alone bounds nodes, by GPUs: so many of the type with the most, of smaller ones "
        "more; hosts beside it are refused.",
    )
    follow_load: bool = Field(
        default=False,
        description="Hosts follow the requests, by `scaling`, between hosts + spareHosts and maxHosts (ec2); with "
        "hosts: 0 to none and back. Some $2 a month, and $3 a host, which reports every ten seconds. false: there are "
        "hosts + spareHosts; where it was true, from the next `pulumi up --refresh` on.",
    )
    on_demand_base: int = Field(
        default=0, ge=0, le=100, description="This many hosts, the first, are on demand, whatever the percentage says."
    )
    on_demand_percentage: int = Field(
        default=100,
        ge=0,
        le=100,
        description="Share of on-demand hosts above the base; the rest is spot, up to 70 % cheaper and gone with two "
        "minutes' notice.",
    )
    capacity_block: CapacityBlockSettings | None = Field(
        default=None, description="Starts hosts in a Capacity Block instead; excludes spot."
    )
    capacity_reservations: CapacityReservationSettings | None = Field(
        default=None,
        description="Starts hosts in On-Demand Capacity Reservations that you have made; excludes spot. Unset: on "
        "ec2 hosts on demand take open ones by themselves, as AWS has it; Karpenter takes none that is not named.",
    )
    rollout: Literal["launchFirst", "terminateFirst"] = Field(
        default="launchFirst",
        description="How a change of the hosts is rolled out. launchFirst needs quota and capacity for one host more; "
        "terminateFirst is for accounts that have no spare GPU.",
    )
    hold_after_first_host: Duration | None = Field(
        default=None,
        description="A rollout waits this long, up to 2d, once its first new host serves (ec2, two hosts or more): "
        "time for `tandem rollout --check`, which goes on at once or goes back. Unset: it does not wait.",
    )
    launch_timeout_seconds: int = Field(
        default=3600,
        ge=600,
        le=7200,
        description="A host that has made no token by then is replaced. A cold download of 60 GB takes 10 to 40 "
        "minutes.",
    )
    root_volume_gib: int = Field(
        default=200, ge=100, le=16384, description="Encrypted gp3 root volume; room for the image where NVMe lacks."
    )
    machine_image_id: MachineImageId | None = Field(
        default=None, description="Another machine image than images/pins.toml pins for the region."
    )
    registry_mirror: MirrorUrl | None = Field(
        default=None,
        description="A pull-through cache of docker.io that hosts ask first, for a registry that limits pulls. Unset: "
        "docker.io itself.",
    )
    registry_login_secret_arn: SecretArn | None = Field(
        default=None,
        description="A secret whose text is JSON with `username` and `password`: hosts log in to the image's registry "
        "with it before they pull. Unset: anonymously.",
    )
    log_retention_days: LogRetentionDays = Field(
        default=30, description="How long the logs of servers and edges are kept."
    )

    @property
    def reservation_ids(self) -> tuple[str, ...]:
        """Of the Capacity Block, or of the reservations."""
        if self.capacity_block is not None:
            return (self.capacity_block.reservation_id,)
        return () if self.capacity_reservations is None else tuple(self.capacity_reservations.by_zone.values())

    @property
    def reserved_zones(self) -> tuple[str, ...]:
        """Where alone hosts start, because they are reserved there; empty for in all of the stack's zones."""
        if self.capacity_block is not None:
            return (self.capacity_block.zone,)
        return () if self.capacity_reservations is None else tuple(self.capacity_reservations.by_zone)
