"""Whether a Capacity Block is what the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from tandem.ops.aws import code_of
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, ok, warning


def capacity_block_is_ours(examination: Examination) -> Iterator[Finding]:
    """The reservation exists, holds these hosts in this zone, and its dates are those of the settings."""
    settings = examination.settings
    block = settings.fleet.capacity_block
    if block is None:
        return
    if (found := found_reservation(examination, block.reservation_id)) is None:
        key = "fleet.capacityBlock.reservationId"
        yield no_such_reservation(examination, "Capacity Block", block.reservation_id, key)
        return
    if "EndDate" not in found:
        yield error(
            "the reservation is no Capacity Block: nothing ends it",
            value=block.reservation_id,
            needed="a Capacity Block",
            fix="`pulumi config rm --path tandem:fleet.capacityBlock`, and its id in fleet.capacityReservations",
        )
        return
    wrong = list(_block_differs(examination, found))
    yield from wrong
    if not wrong:
        yield ok("the Capacity Block fits", value=f"until {found['EndDate']:%Y-%m-%dT%H:%MZ}")


def found_reservation(examination: Examination, reservation_id: str) -> dict[str, Any] | None:
    """What AWS tells of a reservation, of either kind; None where there is none."""
    try:
        (found,) = examination.clients("ec2").describe_capacity_reservations(CapacityReservationIds=[reservation_id])[
            "CapacityReservations"
        ]
    except ClientError as error:
        if "NotFound" not in code_of(error) and "Malformed" not in code_of(error):
            raise
        return None
    return found


def no_such_reservation(examination: Examination, what: str, reservation_id: str, key: str) -> Finding:
    """Neither this account's nor shared with it."""
    return error(
        f"there is no such {what} in this region",
        value=reservation_id,
        needed=f"a reservation of this account in {examination.region}",
        fix=f"`aws ec2 describe-capacity-reservations --region {examination.region}`, then "
        f"`pulumi config set --path tandem:{key} ID`",
    )


def _block_differs(examination: Examination, found: dict[str, Any]) -> Iterator[Finding]:
    settings = examination.settings
    block, now = settings.fleet.capacity_block, examination.now
    assert block is not None
    prefix = "pulumi config set --path tandem:fleet"
    if found["EndDate"] <= now or found["State"] in ("expired", "cancelled"):
        yield error(
            "the Capacity Block has ended",
            value=f"{found['EndDate']:%Y-%m-%dT%H:%MZ}",
            needed="one that runs",
            fix="buy one: `aws ec2 describe-capacity-block-offerings`, then `aws ec2 purchase-capacity-block`",
        )
        return
    if found["StartDate"] > now:
        yield warning(
            "the Capacity Block has not begun; until then no host starts",
            value=f"{found['StartDate']:%Y-%m-%dT%H:%MZ}",
            needed="a block that runs",
            fix="run `pulumi up` after it begins, or begin with `pulumi config set --path tandem:fleet.hosts 0`",
        )
    if found["InstanceType"] not in settings.fleet.instance_types:
        yield error(
            "the Capacity Block holds another instance type",
            value=found["InstanceType"],
            needed=settings.fleet.instance_types[0],
            fix=f"`{prefix}.instanceTypes[0] {found['InstanceType']}`",
        )
    if found["AvailabilityZone"] != block.zone:
        yield error(
            "the Capacity Block is in another zone",
            value=found["AvailabilityZone"],
            needed=block.zone,
            fix=f"`{prefix}.capacityBlock.zone {found['AvailabilityZone']}`",
        )
    if abs((found["EndDate"] - block.ends_at).total_seconds()) >= 60:
        late = found["EndDate"] < block.ends_at
        yield Finding(
            severity="error" if late else "warning",
            what="the Capacity Block ends at another time than the settings say"
            + (", and AWS takes its hosts in the middle of their work" if late else ""),
            value=f"{found['EndDate']:%Y-%m-%dT%H:%MZ}",
            needed=f"{block.ends_at:%Y-%m-%dT%H:%MZ}",
            fix=f"`{prefix}.capacityBlock.endsAt {found['EndDate']:%Y-%m-%dT%H:%M:%SZ}`",
        )
    if found["TotalInstanceCount"] < settings.max_group_size:
        yield Finding(
            severity="error" if found["TotalInstanceCount"] < settings.group_size else "warning",
            what="the Capacity Block holds fewer hosts than the group may have",
            value=str(found["TotalInstanceCount"]),
            needed=str(settings.max_group_size),
            fix=f"`{prefix}.maxHosts {found['TotalInstanceCount']}`",
        )
