"""Removes resources in an order in which AWS lets them go: safe to interrupt, to run again and to run twice at once."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from botocore.parsers import ResponseParserError

from tandem import type_tokens as types
from tandem.errors import Problem, UserError
from tandem.ops.aws import AwsError, code_of, is_gone
from tandem.ops.inventory import find_kind
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Clients, Found

Report = Callable[[Found, str], None]


@dataclass(frozen=True)
class Left:
    """A resource that is still there, and why."""

    resource: Found
    reason: str


def reporting(told: Callable[[str], None]) -> Report:
    """For people, a line each."""
    return lambda resource, outcome: told(f"{outcome}: {resource.type} {resource.id}")


def refuse_left(left: Iterable[Left], wrong: str, command: str) -> None:
    """Raises a UserError where anything is left, which names the command to run again."""
    problems = [
        Problem(
            key=f"{item.resource.type} {item.resource.id}",
            wrong=wrong,
            value=item.reason,
            fix=f"mend what AWS says, then run {command} again",
        )
        for item in left
    ]
    if problems:
        raise UserError(*problems)


def plan(resources: Iterable[Found]) -> list[list[Found]]:
    """The resources in waves: each can go once the waves before it are gone. Types without a row are left out."""
    by_type: dict[str, list[Found]] = defaultdict(list)
    for resource in resources:
        by_type[resource.type].append(resource)
    waves = ([resource for type_ in ready for resource in by_type[type_]] for ready in _type_waves())
    return [wave for wave in waves if wave]


def _type_waves() -> Iterator[list[str]]:
    sorter = TopologicalSorter({kind.type: kind.after for kind in KINDS.values()})
    sorter.prepare()
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        yield ready
        sorter.done(*ready)


def remove(
    clients: Clients,
    resources: Iterable[Found],
    *,
    deadline_seconds: float = 3600,
    poll_seconds: float = 5,
    report: Report = lambda _resource, _outcome: None,
    sleep: Callable[[float], None] = time.sleep,
    unprotect: bool = False,
) -> list[Left]:
    """Deletes exactly these resources, and waits until AWS no longer lists them.

    What depends on something that goes slowly is tried again until the deadline; after it each wave gets one try more.
    Nothing is remembered between runs: a second run starts from what the account then holds.

    Args:
        deadline_seconds: for all of it. A load balancer's or a file system's interfaces take minutes to go.
        unprotect: lift what protects a resource from its deletion; only for what says itself that it is ephemeral.
        report: told of each resource when it is gone or given up.

    Returns:
        What is still there; empty when all is gone.
    """
    resources = list(resources)
    patience = _Patience(time.monotonic() + deadline_seconds, poll_seconds, sleep)
    delete = functools.partial(_delete, clients, unprotect)
    left = [
        Left(resource, "tandem does not know how to remove this type")
        for resource in resources
        if resource.type not in KINDS
    ]
    for wave in plan(resources):
        left += _remove_wave(
            clients, delete, wave, _dependents({item.resource.type for item in left}), patience, report
        )
    for item in left:
        report(item.resource, item.reason)
    return left


def remove_stack(clients: Clients, resources: Iterable[Found], **options: Any) -> list[Left]:
    """Deletes all of an ephemeral stack, protected or not; what holds its name last, since it says that the stack has
    expired: an interrupted removal is found again by it. Schedules go with their group, by whose tags a role may remove
    them: they have none themselves.

    Args:
        options: of `remove`.
    """
    resources = list(resources)
    holders = [resource for resource in resources if resource.type == types.PARAMETER]
    groups = {resource.id for resource in resources if resource.type == types.SCHEDULE_GROUP}
    rest = [
        resource
        for resource in resources
        if resource.type != types.PARAMETER
        and not (resource.type == types.SCHEDULE and resource.id.partition("/")[0] in groups)
    ]
    return remove(clients, rest, unprotect=True, **options) or remove(clients, holders, **options)


@dataclass(frozen=True)
class _Patience:
    deadline: float
    poll_seconds: float
    sleep: Callable[[float], None]

    def wait(self) -> bool:
        """Waits for the next try; false at the deadline."""
        if time.monotonic() >= self.deadline:
            return False
        self.sleep(self.poll_seconds)
        return True


def _dependents(stuck: set[str]) -> set[str]:
    """Types that may have to wait for one of these, directly or not: while these stay, waiting may be in vain."""
    found: set[str] = set()
    while more := {kind.type for kind in KINDS.values() if {*stuck, *found} & {*kind.after}} - found:
        found |= more
    return found


def _remove_wave(
    clients: Clients,
    delete: Callable[[Found], None],
    wave: Iterable[Found],
    hopeless: set[str],
    patience: _Patience,
    report: Report,
) -> list[Left]:
    pending = {resource.key: resource for resource in wave}
    left: list[Left] = []
    while True:
        errors: dict[tuple[str, str], Exception] = {}
        for key, resource in pending.items():
            try:
                delete(resource)
            except AwsError as error:
                errors[key] = error
        # What AWS says to a deletion is told from what it lists: services refuse what is gone in many words.
        listed = _listed(clients, pending.values())
        for key in [key for key in pending if key not in listed]:
            report(pending.pop(key), "removed")
        for key in [key for key, error in errors.items() if key in pending and _in_vain(key[0], error, hopeless)]:
            left.append(Left(pending.pop(key), _reason(errors[key])))
        if not pending:
            return left
        if not patience.wait():
            return left + [Left(resource, _reason(errors.get(key))) for key, resource in pending.items()]


def _delete(clients: Clients, unprotect: bool, resource: Found) -> None:
    kind = KINDS[resource.type]
    client = clients(kind.service)
    if unprotect and resource.ephemeral and kind.unprotect:
        kind.unprotect(client, resource)
    kind.delete(client, resource)


def _in_vain(type_: str, error: Exception, hopeless: set[str]) -> bool:
    """Another try would end the same."""
    return type_ in hopeless or not (is_busy(error) or is_gone(error))


def _reason(error: Exception | None) -> str:
    return f"{code_of(error)}: {error}" if error else "still being removed at the deadline"


def _listed(clients: Clients, resources: Iterable[Found]) -> set[tuple[str, str]]:
    """Which of these AWS still lists."""
    by_type: dict[str, list[Found]] = defaultdict(list)
    for resource in resources:
        by_type[resource.type].append(resource)
    keys: set[tuple[str, str]] = set()
    for type_, some in by_type.items():
        parents = {resource.parent_id: resource.parent for resource in some if resource.parent}
        stacks = {resource.stack for resource in some}
        stack = stacks.pop() if len(stacks) == 1 else None
        keys |= {found.key for found in find_kind(clients, stack, KINDS[type_], parents.values(), known=some)}
    return keys


_BUSY = frozenset(
    {
        "Conflict",
        "ConflictException",
        "DeleteConflict",
        "DependencyTimeout",
        "DependencyViolation",
        "IncorrectFileSystemLifeCycleState",
        "IncorrectMountTargetState",
        "IncorrectState",
        "OperationAborted",
        "BucketNotEmpty",
        "ScalingActivityInProgress",
        "ServiceUnavailable",
        "WAFAssociatedItemException",
        "WAFOptimisticLockException",
    }
)


def is_busy(error: Exception) -> bool:
    """Not now: something still depends on it, AWS is still at work on it, or AWS itself has failed."""
    code = code_of(error)
    status = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return (
        code in _BUSY
        or status >= 500
        or isinstance(error, ResponseParserError)
        or any(word in code for word in ("InUse", "Throttl", "RequestLimit", "TooManyRequests"))
        or "in use" in str(error).lower()
    )
