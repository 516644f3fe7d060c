"""What AWS enforces and moto does not: a list of named checks.

`CHECKS` is the list. A check at `plan` is one that the real provider makes before anything is done, so it fails a
preview too; at `apply` AWS refuses the create or the change; at `delete` AWS refuses to delete.

Stands for: what AWS and its provider refuse.
Held by: nothing, each check was written after documentation, source or bug reports; only its own words are tested.
"""

from __future__ import annotations

from collections.abc import Iterator

from rehearsal.aws.account import AwsError
from rehearsal.aws.checks import duplicates, in_use, limits, placement, references, requirements, schedules
from rehearsal.aws.checks.base import Check, Refusal, Stage
from rehearsal.aws.lifecycle import Resource

CHECKS: tuple[Check, ...] = (
    *limits.CHECKS,
    *schedules.CHECKS,
    *references.CHECKS,
    *requirements.CHECKS,
    *placement.CHECKS,
    *duplicates.CHECKS,
    *in_use.CHECKS,
)


def failures(resource: Resource) -> list[tuple[str, str]]:
    """What the checks at `plan` find, by property."""
    return [(found.property, found.message) for found in _found("plan", resource)]


def enforce(stage: Stage, resource: Resource) -> None:
    """Makes the checks at `apply` or `delete`.

    Raises:
        AwsError: the first refusal.
    """
    for found in _found(stage, resource):
        raise AwsError(found.operation or resource.operation(stage), found.code, found.message)


def _found(stage: Stage, resource: Resource) -> Iterator[Refusal]:
    for check in CHECKS:
        if check.at == stage and (not check.types or resource.row.type in check.types):
            yield from check.find(resource)


__all__ = ["CHECKS", "Check", "enforce", "failures"]
