"""Looks for what is left of a stack: what carries its tags, what hangs on that, and what only bears its name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from tandem import type_tokens as types
from tandem.errors import Problem
from tandem.ops import inventory
from tandem.ops.audit.price import usd_per_month
from tandem.ops.aws import AwsError, is_gone, problem_of
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Clients, Found, Scope
from tandem.ops.kinds.left_behind import log_groups
from tandem.ops.lives import of_parameters

FILLED_IN_VPC = (
    types.INSTANCE,
    types.NAT_GATEWAY,
    types.LOAD_BALANCER,
    types.ENDPOINT,
    types.NETWORK_INTERFACE,
    types.SUBNET,
    types.SECURITY_GROUP,
)
"""What people and AWS's services put into a network, and what then holds it."""

MANAGED = (
    types.INSTANCE,
    types.NAT_GATEWAY,
    types.LOAD_BALANCER,
    types.ENDPOINT,
    types.MOUNT_TARGET,
)
"""Each of these has network interfaces that come and go with it."""


@dataclass(frozen=True)
class Leftover:
    """A resource that is still there.

    Attributes:
        why: why it counts as the stack's.
        ours: it carries our tags, or was made by AWS for what does: a removal may name it. False: people must decide.
        usd_per_month: at rest, list prices; None where nobody can say.
        note: what one should know before removing it.
    """

    resource: Found
    why: str
    ours: bool
    usd_per_month: float | None
    note: str = ""

    @property
    def costs(self) -> bool:
        """It costs, or may cost, money; a log group without retention only grows."""
        return self.usd_per_month is None or self.usd_per_month > 0 or self.resource.type in _ALWAYS_COST


_ALWAYS_COST = (types.FILE_SYSTEM, types.BUCKET, types.LOG_GROUP)
"""Paid by the GB: empty today is no promise."""


@dataclass(frozen=True)
class Audit:
    """What is left in one region, the dearest first, and what could not be looked at.

    Attributes:
        others: what another life of a stack's name has, which still holds the name: no leftover, and not ours to judge.
    """

    leftovers: Sequence[Leftover] = ()
    unreadable: Sequence[Problem] = field(default_factory=list)
    others: Sequence[Leftover] = ()

    @property
    def usd_per_month(self) -> float:
        """Of all whose price is known."""
        return sum(item.usd_per_month or 0.0 for item in self.leftovers)

    @property
    def still_runs(self) -> bool:
        """There is a fleet or a cluster: this is a stack, not its remains."""
        return any(item.resource.type in (types.GROUP, types.CLUSTER, types.NODE_GROUP) for item in self.leftovers)


def audit(clients: Clients, stack: str | None, now: datetime, own: Mapping[str, str] = MappingProxyType({})) -> Audit:
    """Everything of a stack that is left in one account and region.

    Args:
        stack: None for all stacks of the project.
        own: stack to the id that the state here tells, empty where it tells of nothing; without those that no state
            here tells of.
    """
    found = inventory.find(clients, stack)
    unreadable = list(found.unreadable)
    alive = {life.id for life in of_parameters(found.resources)}
    elsewhere = {one.key for one in found.resources if _is_elsewhere(one, own, alive)}
    leftovers = [(one, _why(one, own), one.key not in elsewhere) for one in found.resources]
    near = [one for one in found.resources if one.key not in elsewhere]
    for look in (beside, _by_name):
        try:
            leftovers += [(resource, why, bool(resource.left_by)) for resource, why in look(clients, stack, near)]
        except AwsError as error:
            unreadable.append(problem_of(error, "what hangs on the stack's resources"))
    priced = [_leftover(resource, why, ours, clients, now) for resource, why, ours in leftovers]
    priced.sort(key=lambda item: -(item.usd_per_month or 0.0))
    others = [item for item in priced if item.resource.key in elsewhere]
    return Audit([item for item in priced if item not in others], unreadable, others)


def _is_elsewhere(one: Found, own: Mapping[str, str], alive: Collection[str]) -> bool:
    """Of a life that holds the name for another state; what holds it no more is left over, whoever made it."""
    return one.stack in own and one.stack_id != own[one.stack] and one.stack_id in alive


def _why(one: Found, own: Mapping[str, str]) -> str:
    if one.stack_id and one.stack_id != own.get(one.stack, one.stack_id):
        return f"belongs to another life {one.stack_id} of the name {one.stack}"
    if one.left_by:
        return one.left_by
    return f"carries the tags of {one.stack}"


def _leftover(resource: Found, why: str, ours: bool, clients: Clients, now: datetime) -> Leftover:
    try:
        usd = usd_per_month(resource, clients, now)
    except AwsError:
        usd = None
    return Leftover(resource, why, ours, usd, _note(resource))


def _note(resource: Found) -> str:
    if resource.left_by:
        by_hand = f", or `aws logs delete-log-group --log-group-name {resource.id}`"
        return f"goes with `tandem recover {resource.stack} --yes`{by_hand if resource.type == types.LOG_GROUP else ''}"
    if resource.type == types.LOG_GROUP and not resource.facts.get("retentionInDays"):
        return "has no retention: it grows and is never emptied"
    if resource.type in (types.FILE_SYSTEM, types.BUCKET, types.DATABASE):
        return "holds data; a stack that is not ephemeral keeps it on purpose"
    if resource.type == types.SECRET:
        return "can be restored for 7 days after its deletion"
    if resource.type == types.SNAPSHOT:
        return "priced at the volume's whole size, which is the most"
    return ""


@dataclass(frozen=True)
class Beside(Scope):
    """Lists what hangs on `parent`, whatever its tags say.

    Attributes:
        filters: of EC2, in place of those by our tags.
    """

    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def holds(self, tags: Mapping[str, str]) -> bool:
        del tags
        return True

    @property
    def tag_filters(self) -> list[dict[str, Any]]:
        return [{"Name": name, "Values": list(values)} for name, values in self.filters.items()]


def beside(clients: Clients, stack: str | None, ours: Iterable[Found]) -> Iterator[tuple[Found, str]]:
    """What does not carry our tags and hangs on what does, and why it is named.

    Raises:
        botocore's errors.
    """
    del stack
    ours = list(ours)
    by_type: dict[str, list[Found]] = {}
    for resource in ours:
        by_type.setdefault(resource.type, []).append(resource)
    known = {resource.key for resource in ours}

    def new(
        type_: str, parent: Found, name: str, value: str, only: Callable[[Found], bool] = lambda _: True
    ) -> list[Found]:
        found = _list(type_, Beside(clients, None, parent, filters={name: [value]}), only)
        fresh = [resource for resource in found if resource.key not in known]
        known.update(resource.key for resource in fresh)
        return fresh

    for vpc in by_type.get(types.VPC, ()):
        inside = [resource for type_ in FILLED_IN_VPC for resource in _in_vpc(new, type_, vpc)]
        busy = bool(inside) or any(type_ in by_type for type_ in MANAGED)
        for resource in inside:
            if not (busy and _is_managed(resource)):
                yield resource, f"is in {vpc.id}, the network of {vpc.stack}"
        for resource in inside:
            if resource.type == types.NETWORK_INTERFACE and (resource.facts.get("Association") or {}):
                for address in new(types.ADDRESS, resource, "network-interface-id", resource.id):
                    yield address, f"belongs to {resource.id}, in the network of {vpc.stack}"
        by_type.setdefault(types.INSTANCE, []).extend(item for item in inside if item.type == types.INSTANCE)
    for instance in by_type.get(types.INSTANCE, ()):
        for volume in new(types.VOLUME, instance, "attachment.instance-id", instance.id):
            by_type.setdefault(types.VOLUME, []).append(volume)
            yield volume, f"is attached to {instance.id} of {instance.stack}"
    for volume in by_type.get(types.VOLUME, ()):
        for snapshot in new(types.SNAPSHOT, volume, "volume-id", volume.id):
            yield snapshot, f"was taken from {volume.id} of {volume.stack}"
    for image in by_type.get(types.IMAGE, ()):
        for mapping in image.facts.get("BlockDeviceMappings", ()):
            if snapshot_id := (mapping.get("Ebs") or {}).get("SnapshotId"):
                for snapshot in new(types.SNAPSHOT, image, "snapshot-id", snapshot_id):
                    yield snapshot, f"is what image {image.id} of {image.stack} starts from"


def _in_vpc(new: Callable[..., list[Found]], type_: str, vpc: Found) -> list[Found]:
    """Load balancers know no filters."""
    return new(type_, vpc, "vpc-id", vpc.id, lambda found: found.facts.get("VpcId", vpc.id) == vpc.id)


def _list(type_: str, scope: Beside, only: Callable[[Found], bool]) -> list[Found]:
    try:
        return [resource for resource in KINDS[type_].find(scope) if only(resource)]
    except AwsError as error:
        if is_gone(error):
            return []
        raise


def _is_managed(resource: Found) -> bool:
    """An interface that a service keeps for itself, or that is an instance's."""
    facts = resource.facts
    return resource.type == types.NETWORK_INTERFACE and bool(
        facts.get("RequesterManaged")
        or facts.get("InterfaceType", "interface") != "interface"
        or (facts.get("Attachment") or {}).get("InstanceId")
    )


def _by_name(clients: Clients, stack: str | None, ours: Iterable[Found]) -> Iterator[tuple[Found, str]]:
    """Log groups that a host or a service has written anew after their deletion: without tags, without retention."""
    yield from ((one, one.left_by) for one in log_groups(clients, stack))
    known = {resource.key for resource in ours}
    prefix = f"/tandem/{stack}/" if stack else "/tandem/"
    logs = clients("logs")
    for item in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix).search("logGroups[]"):
        name = item["logGroupName"]
        if (types.LOG_GROUP, name) in known:
            continue
        if logs.list_tags_for_resource(resourceArn=item["arn"].removesuffix(":*"))["tags"]:
            continue  # somebody's
        owner = name.removeprefix("/tandem/").partition("/")[0]
        found = Found(type=types.LOG_GROUP, id=name, arn=item["arn"], name=name, facts=item)
        yield found, f"has a name of {owner}'s and no tags at all"
