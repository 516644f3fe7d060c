"""Removes stacks that have expired, by tags alone: no state, no stack file, no memory of earlier runs.

What may go is one life of a stack whose every resource says itself that it is ephemeral, and whose end is told by the
parameter that holds its name. The parameter goes last: until nothing else is left, the next run finds the life again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tandem.errors import UserError
from tandem.ops import inventory, removal
from tandem.ops.audit import beside
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.lives import Life, against_removal, lives, of_parameters
from tandem.ops.removal import Left


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
    by_life: dict[tuple[str, str], list[Found]] = defaultdict(list)
    for resource in found.resources:
        by_life[resource.stack, resource.stack_id].append(resource)
    known = {(life.stack, life.id): life for life in of_parameters(found.resources)}
    expired, untouched = [], []
    for (stack, stack_id), resources in sorted(by_life.items()):
        life = known.get((stack, stack_id))
        if why := _why_not(life, stack_id, found.resources, now):
            untouched.append(Untouched(f"stack {stack}" + (f" ({stack_id})" if stack_id else ""), why))
        elif life is not None:
            expired.append(_expired(clients, life, resources))
    return Plan(expired, untouched)


def _why_not(life: Life | None, stack_id: str, resources: Iterable[Found], now: datetime) -> str:
    """Why a life stays; empty for one that may go."""
    if not stack_id:
        return "carries no id: it was made before stacks had one; its next `pulumi up` gives it one"
    if life is None or life.expires_at is None:
        return "nothing in the account says when it ends; `pulumi destroy`, or `tandem ephemeral down`, removes it"
    when = f"{life.expires_at:%Y-%m-%d %H:%MZ}"
    if not life.is_over(now):
        return f"runs until {when}"
    if not life.ephemeral:
        return f"expired at {when} and is not ephemeral: its hosts have stopped, its data stays until `pulumi destroy`"
    against = [f"{_named(one)} {why}" for one, why in against_removal(life.stack, life.id, resources)]
    return f"expired at {when}, and not all of it is ephemeral: {'; '.join(against)}" if against else ""


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
    current = [life for life in lives(clients, expired.life.stack) if life.id == expired.life.id]
    if not all(life.is_over(now) and life.ephemeral for life in current):
        return [Left(life.parameter, "the stack was extended meanwhile") for life in current]
    return removal.remove_stack(clients, (*expired.resources, *expired.strange), **options)
