"""The rules of AWS that a program can break: a list, each with its name and its source.

`CHECKS` is the list; tests/simulated/check_cases.py breaks each. What AWS's own models say of a request is in
pulumi_rehearsal/constraints.py, for every call alike; here is what they do not say.

A check at `plan` is one that the real provider makes before anything is done, so it fails a preview too; at `apply` AWS
refuses the create or the change; at `delete` AWS refuses to delete.

Stands for: what AWS and its provider refuse.
Held by: nothing, each was written after its source: documentation, the provider or bug reports; tests see each one
    refuse, in its own words.
"""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_rehearsal.aws.account import AwsError
from pulumi_rehearsal.aws.checks import (
    clusters,
    documents,
    duplicates,
    in_use,
    kept,
    limits,
    placement,
    references,
    requirements,
    schedules,
    ways_out,
    words,
)
from pulumi_rehearsal.aws.checks.base import Check, Refusal, Stage
from pulumi_rehearsal.aws.lifecycle import Resource

CHECKS: tuple[Check, ...] = (
    *limits.CHECKS,
    *schedules.CHECKS,
    *references.CHECKS,
    *requirements.CHECKS,
    *placement.CHECKS,
    *ways_out.CHECKS,
    *clusters.CHECKS,
    *words.CHECKS,
    *documents.CHECKS,
    *duplicates.CHECKS,
    *in_use.CHECKS,
    *kept.CHECKS,
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
