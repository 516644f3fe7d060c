"""Whether On-Demand Capacity Reservations hold the hosts that the settings want."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from tandem.catalog import prices
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, Severity, error, ok, warning
from tandem.ops.doctor.reservation import found_reservation, no_such_reservation
from tandem.platforms import platform_of
from tandem.tags import PROJECT, PROJECT_TAG, STACK_TAG

KEY = "fleet.capacityReservations"
SOON = timedelta(days=14)
TO_COME = ("pending", "scheduled", "assessing", "delayed", "payment-pending")
"""States of what may become active; all but these and `active` hold no host any more."""


def reservations_hold_the_hosts(examination: Examination) -> Iterator[Finding]:
    """Each is there, active, of the hosts' kind, and in its zone; together they have room for the stack."""
    if (reservations := examination.settings.fleet.capacity_reservations) is None:
        return
    waits = reservations.when_full == "wait"
    active: dict[str, dict[str, Any]] = {}
    for zone, reservation_id in reservations.by_zone.items():
        if (found := found_reservation(examination, reservation_id)) is None:
            at = f"{KEY}.byZone.{zone}"
            yield no_such_reservation(examination, "On-Demand Capacity Reservation", reservation_id, at)
            continue
        wrong = [*_is_none(found, waits=waits), *_is_of_another_kind(examination, zone, found)]
        yield from wrong
        if not wrong:
            active[zone] = found
            yield from _may_surprise(examination, found)
    if len(active) == len(reservations.by_zone):
        yield from _have_room(examination, active, waits=waits)


def _is_none(found: Mapping[str, Any], *, waits: bool) -> Iterator[Finding]:
    """It holds no host: hosts that run in it go on running, at the price on demand."""
    if found["State"] == "active":
        return
    to_come = found["State"] in TO_COME
    yield Finding(
        severity="error" if waits and not to_come else "warning",
        what="the reservation has not begun" if to_come else "the reservation has ended; hosts in it run on, on demand",
        value=f"{found['CapacityReservationId']}: {found['State']}",
        needed="active; until then " + ("no host starts" if waits else "hosts start on demand, if AWS has any"),
        fix="`aws ec2 describe-capacity-reservations` shows when it begins"
        if to_come
        else f"`aws ec2 create-capacity-reservation`, then its id in {KEY}, or "
        f"`pulumi config rm --path 'tandem:{KEY}'`",
    )


def _is_of_another_kind(examination: Examination, zone: str, found: Mapping[str, Any]) -> Iterator[Finding]:
    """What AWS compares before it starts an instance in it."""
    wanted = {
        "ReservationType": ("default", "is a Capacity Block", "fleet.capacityBlock for it"),
        "InstanceType": (examination.settings.fleet.instance_types[0], "holds another instance type", ""),
        "AvailabilityZone": (zone, "is in another zone", f"its own zone in {KEY}.byZone"),
        "InstancePlatform": ("Linux/UNIX", "is for another platform", ""),
        "Tenancy": ("default", "is for dedicated hardware", ""),
        "PlacementGroupArn": ("", "is in a placement group, and hosts are in none", ""),
        "OutpostArn": ("", "is on an Outpost", ""),
        "Interruptible": (False, "may be taken back by its owner at two minutes' notice", ""),
    }
    for name, (needed, wrong, fix) in wanted.items():
        if (value := found.get(name, needed)) != needed:
            yield error(
                f"the reservation {wrong}",
                value=f"{found['CapacityReservationId']}: {value}",
                needed=str(needed) or "none",
                fix=fix
                or "a reservation that fits: `aws ec2 create-capacity-reservation --instance-platform "
                f"Linux/UNIX --availability-zone {zone} --instance-type {wanted['InstanceType'][0]}`",
            )


def _may_surprise(examination: Examination, found: Mapping[str, Any]) -> Iterator[Finding]:
    """Whoever may take its room, and when it ends by itself."""
    change = f"aws ec2 modify-capacity-reservation --capacity-reservation-id {found['CapacityReservationId']}"
    if found.get("InstanceMatchCriteria") == "open":
        yield warning(
            "the reservation is open: any instance of its type in the account takes its room, machines of batches too",
            value=found["CapacityReservationId"],
            needed="targeted",
            fix=f"`{change} --instance-match-criteria targeted`",
        )
    if (ends := found.get("EndDate")) and ends - examination.now < SOON:
        yield warning(
            "the reservation ends soon; hosts in it then run on, on demand",
            value=f"{ends:%Y-%m-%dT%H:%MZ}",
            needed="an end that is further off, or none",
            fix=f"`{change} --end-date-type unlimited`",
        )


def _have_room(examination: Examination, active: Mapping[str, Mapping[str, Any]], *, waits: bool) -> Iterator[Finding]:
    """For the start, for the full group, and for hosts more while hosts are replaced; what nobody uses is paid, too."""
    settings, platform = examination.settings, platform_of(examination.settings)
    own = _own_hosts(examination)
    room = {
        zone: found["AvailableInstanceCount"] + own.get(found["CapacityReservationId"], 0)
        for zone, found in active.items()
    }
    most = settings.max_group_size + platform.launched_ahead
    there, value = sum(room.values()), ", ".join(f"{count} in {zone}" for zone, count in room.items())
    needs: tuple[tuple[Severity, str, int], ...] = (
        ("error", "the hosts that `up` starts", platform.hosts_at_first),
        ("warning", "the group at its maximum, and a host more while hosts are replaced", most),
    )
    for severity, reason, need in needs if waits else needs[:1]:
        if need > there:
            yield Finding(
                severity=severity if waits else "warning",
                what=f"the reservations have no room for {reason}"
                + ("" if waits else "; the rest starts on demand, if AWS has any"),
                value=value,
                needed=f"{need}",
                fix="`aws ec2 modify-capacity-reservation --instance-count COUNT`"
                + (
                    ", or `pulumi config set --path tandem:fleet.rollout terminateFirst`" if severity != "error" else ""
                ),
            )
            return
    unused = sum(found["AvailableInstanceCount"] for found in active.values())
    usd = unused * prices.on_demand(settings.fleet.instance_types[0], settings.region)
    idle = f"; {unused} used by nobody, for ${usd:,.2f} an hour" if unused else ""
    yield ok("the reservations hold the hosts", value=value + idle)


def _own_hosts(examination: Examination) -> dict[str, int]:
    """The stack's hosts by the reservation that they run in."""
    filters = {
        f"tag:{PROJECT_TAG}": PROJECT,
        f"tag:{STACK_TAG}": examination.stack,
        "instance-state-name": "running",
    }
    pages = examination.clients("ec2").get_paginator("describe_instances")
    asked = [{"Name": name, "Values": [value]} for name, value in filters.items()]
    own: dict[str, int] = {}
    for instance in pages.paginate(Filters=asked).search("Reservations[].Instances[]"):
        if reservation_id := instance.get("CapacityReservationId"):
            own[reservation_id] = own.get(reservation_id, 0) + 1
    return own
