"""Lives of stacks, as the account itself knows them: by the parameters that hold their names, and by tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tandem import type_tokens as types
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Clients, Found, Scope
from tandem.tags import EPHEMERAL_TAG, EXPIRES_TAG, STACK_ID_TAG, parameter_path


@dataclass(frozen=True)
class Life:
    """One life of a stack.

    Attributes:
        parameter: that holds the stack's name; it comes before everything else of the life, and goes after it.
    """

    parameter: Found

    @property
    def stack(self) -> str:
        return self.parameter.stack

    @property
    def id(self) -> str:
        return self.parameter.stack_id

    @property
    def ephemeral(self) -> bool:
        return self.parameter.ephemeral

    @property
    def expires_at(self) -> datetime | None:
        """When the servers stop for good, UTC; None where the parameter says nothing that can be read."""
        try:
            found = datetime.fromisoformat(self.parameter.tags.get(EXPIRES_TAG, ""))
        except ValueError:
            return None
        return found.astimezone(UTC) if found.tzinfo else None

    def is_over(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now


def lives(clients: Clients, stack: str | None = None) -> list[Life]:
    """Of all stacks of the project in one account and region, or of one.

    Raises:
        botocore's errors.
    """
    return of_parameters(KINDS[types.PARAMETER].find(Scope(clients, stack)))


def of_parameters(found: Iterable[Found]) -> list[Life]:
    """Lives by what holds their names. AWS makes a name once, so that no other parameter can speak for a life."""
    return [
        Life(one)
        for one in found
        if one.type == types.PARAMETER and one.id == f"{parameter_path(one.stack)}/{one.stack_id}"
    ]


def expires_at(clients: Clients, stack: str, stack_id: str | None = None) -> datetime | None:
    """When the servers of a stack, or of one life of it, stop; None for never."""
    meant = (life for life in lives(clients, stack) if stack_id in (None, life.id))
    return max((life.expires_at for life in meant if life.expires_at), default=None)


def against_removal(stack: str, stack_id: str, resources: Iterable[Found]) -> Iterator[tuple[Found, str]]:
    """What forbids to remove a life with all it has, and why: not all of it says that it is ephemeral.

    Args:
        resources: whatever carries the stack's name or the life's id.
    """
    for one in resources:
        if one.stack_id == stack_id and one.stack != stack:
            yield one, f"carries the id of {stack} and the name {one.stack}"
        elif one.stack_id == stack_id and not one.ephemeral:
            yield one, f"does not carry {EPHEMERAL_TAG}: true"
        elif one.stack == stack and not one.stack_id:
            yield one, f"carries the name of {stack} and no {STACK_ID_TAG}"
