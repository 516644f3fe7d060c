"""What must hold where hosts start in what is reserved: a Capacity Block, or reservations on demand."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.catalog.prices import IN_BLOCKS
from tandem.errors import Problem
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import Settings
from tandem.subnets import slot

RESERVATIONS = "fleet.capacityReservations"


def blocks_hold_what_is_sold_in_them(settings: Settings) -> Iterator[Problem]:
    """No group of hosts finds these on demand or as spot."""
    for name in settings.fleet.instance_types:
        if name in IN_BLOCKS and settings.fleet.capacity_block is None:
            yield Problem(
                key="fleet.instanceTypes",
                wrong="is sold in Capacity Blocks alone, neither on demand nor as spot",
                value=name,
                allowed="together with fleet.capacityBlock",
                fix=f"{set_to('fleet.capacityBlock.reservationId', 'ID')} of a block that was bought, or take "
                f"{IN_BLOCKS[name]}, which has the same GPUs",
            )


def reserved_hosts_are_alike(settings: Settings) -> Iterator[Problem]:
    """A Capacity Block and reservations hold one type, on demand or paid before, in their zones."""
    fleet = settings.fleet
    if not fleet.reservation_ids:
        return
    block, key, what = True, "fleet.capacityBlock", "a Capacity Block"
    if fleet.capacity_block is None:
        block, key, what = False, RESERVATIONS, "a capacity reservation"
    if fleet.on_demand_base or fleet.on_demand_percentage != 100:
        yield Problem(
            key=key,
            wrong="cannot be mixed with spot or an on-demand base",
            value=", ".join(fleet.reservation_ids),
            allowed=f"onDemandBase 0 and onDemandPercentage 100 with {what}",
            fix=f"{set_to('fleet.onDemandBase', 0)} and {set_to('fleet.onDemandPercentage', 100)}, or {removed(key)}",
        )
    if len(fleet.instance_types) != 1:
        yield Problem(
            key="fleet.instanceTypes",
            wrong=f"{what} holds one instance type",
            value=list(fleet.instance_types),
            allowed="the one type of the reservation",
            fix="keep only the reserved type",
        )
    for zone in fleet.reserved_zones:
        if zone not in settings.zones:
            at = f"{key}.zone" if block else f"{key}.byZone.{zone}"
            yield Problem(
                key=at,
                wrong="the stack has no subnet in this zone",
                value=zone,
                allowed=", ".join(settings.zones),
                fix=_with_zone(settings, zone) if zone.startswith(settings.region) else _in_the_region(settings, at),
            )


def reservations_are_each_in_a_zone(settings: Settings) -> Iterator[Problem]:
    """None is a Capacity Block beside them, nor in two zones."""
    fleet, reservations = settings.fleet, settings.fleet.capacity_reservations
    if reservations is None:
        return
    ids = list(reservations.by_zone.values())
    if fleet.capacity_block is not None:
        yield Problem(
            key=RESERVATIONS,
            wrong="hosts start in a Capacity Block or in reservations on demand, not in both",
            value=", ".join(ids),
            allowed=f"one of {RESERVATIONS} and fleet.capacityBlock",
            fix=f"{removed(RESERVATIONS)}, or {removed('fleet.capacityBlock')}",
        )
    for number, (zone, reservation) in enumerate(reservations.by_zone.items()):
        if reservation in ids[:number]:
            yield Problem(
                key=f"{RESERVATIONS}.byZone.{zone}",
                wrong="is another zone's reservation, too, and a reservation is in one zone",
                value=reservation,
                allowed="a reservation of each zone's own",
                fix=removed(f"{RESERVATIONS}.byZone.{zone}"),
            )


def warnings(settings: Settings) -> Iterator[str]:
    """What ends hosts ends no reservation."""
    guard = settings.cost_guard
    ends = {
        "maxUsd": guard.max_usd,
        "expiresAfter": guard.expires_after,
        "expiresAt": guard.expires_at,
        "businessHours": guard.business_hours,
        "idleAfter": guard.idle_after,
    }
    named = [f"costGuard.{name}" for name, value in ends.items() if value is not None]
    if settings.fleet.capacity_reservations is not None and named:
        yield f"{', '.join(named)}: ends hosts; {RESERVATIONS} are paid for until you cancel them"


def _in_the_region(settings: Settings, at: str) -> str:
    """Instead of a zone of another one."""
    own = settings.zones[0]
    return (
        set_to(at, own)
        if at.endswith(".zone")
        else f"{removed(at)} and {set_to(at.rpartition('.')[0] + f'.{own}', 'ID')}"
    )


def _with_zone(settings: Settings, zone: str) -> str:
    """In the place of that which has its range of addresses, or as one more."""
    if settings.network.existing:
        return set_to(f"network.existing.privateSubnetIds.{zone}", "SUBNET")
    wanted = [zone if slot(one) == slot(zone) else one for one in settings.zones]
    wanted = wanted if zone in wanted else [*wanted, zone]
    changed = [
        set_to(f"network.zones[{number}]", one)
        for number, one in enumerate(wanted)
        if settings.network.zones[number : number + 1] != (one,)
    ]
    return " and ".join(changed)
