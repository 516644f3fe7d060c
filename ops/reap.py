"""Removes stacks that have expired, by tags alone: no state, no stack file, no memory of earlier runs.

What makes a stack's end known is its group of schedules. It goes last, in one call: until nothing else is left of a
stack, the next run finds it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from infra.errors import UserError
from ops import inventory, removal
from ops.audit import beside
from ops.expiry import Life, lives
from ops.kinds import KINDS, types
from ops.kinds.kind import Clients, Found
from ops.removal import Left

_OF_THE_ACCOUNT = (types.BUDGET,)
"""Found in every region, whichever the stack is in."""


@dataclass(frozen=True)
class Untouched:
    """A stack or a resource that is left alone, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Expired:
    """A stack whose time is over.

    Attributes:
        resources: what carries its tags and can be removed.
        strange: what carries its tags and is of a type that tandem does not know how to remove.
        untouched: the strange, and what hangs on the stack without being its own.
    """

    life: Life
    resources: Sequence[Found]
    strange: Sequence[Found]
    untouched: Sequence[Untouched]


@dataclass(frozen=True)
class Plan:
    """What a run would do in one region."""

    expired: Sequence[Expired] = ()
    untouched: Sequence[Untouched] = ()


def plan(clients: Clients, now: datetime) -> Plan:
    """Looks at all stacks of the project in one account and region.

    Raises:
        UserError: AWS did not list everything, so that a stack would be removed in part and then forgotten.
        botocore's errors.
    """
    found = inventory.find(clients, None)
    if found.unreadable:
        raise UserError(*found.unreadable)
    by_stack: dict[str, list[Found]] = defaultdict(list)
    for resource in found.resources:
        by_stack[resource.stack].append(resource)
    known = {life.stack: life for life in lives(clients)}
    expired, untouched = [], []
    for stack, resources in sorted(by_stack.items()):
        if all(resource.type in _OF_THE_ACCOUNT for resource in resources):
            continue
        life = known.get(stack)
        if why := _why_not(life, now):
            untouched.append(Untouched(f"stack {stack}", why))
        elif life is not None:
            expired.append(_expired(clients, life, resources))
    return Plan(expired, untouched)


def _why_not(life: Life | None, now: datetime) -> str:
    """Why a stack stays; empty for one that may go."""
    if life is None or life.expires_at is None:
        return "nothing in the account says when it ends; `pulumi destroy`, or `tandem ephemeral down`, removes it"
    when = f"{life.expires_at:%Y-%m-%d %H:%MZ}"
    if not life.is_over(now):
        return f"runs until {when}"
    if not life.ephemeral:
        return f"expired at {when} and is not ephemeral: its hosts have stopped, its data stays until `pulumi destroy`"
    return ""


def _expired(clients: Clients, life: Life, resources: Iterable[Found]) -> Expired:
    resources = list(resources)
    untouched = [Untouched(_named(resource), why) for resource, why in beside(clients, life.stack, resources)]
    strange = [resource for resource in resources if resource.type not in KINDS]
    untouched += [Untouched(_named(resource), "tandem does not know how to remove this type") for resource in strange]
    return Expired(life, [resource for resource in resources if resource.type in KINDS], strange, untouched)


def _named(resource: Found) -> str:
    return f"{resource.type} {resource.id}"


def reap(clients: Clients, expired: Expired, now: datetime, **options: Any) -> list[Left]:
    """Removes one stack of a plan. Safe to interrupt, to run again and to run twice at once.

    Args:
        options: of `removal.remove`.

    Returns:
        What is still there, and why; while there is any, the stack stays known as expired.
    """
    # People extend stacks; the plan may be minutes old.
    current = lives(clients, expired.life.stack)
    if not all(life.is_over(now) and life.ephemeral for life in current):
        return [Left(life.group, "the stack was extended meanwhile") for life in current]
    return removal.remove_stack(clients, (*expired.resources, *expired.strange), **options)
