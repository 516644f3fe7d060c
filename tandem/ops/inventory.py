"""What is ours in an account, found by its tags through boto3 and never through our own state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tandem.errors import Problem
from tandem.ops.aws import AwsError, problem_of, unless_gone
from tandem.ops.kinds import KINDS, STAYING
from tandem.ops.kinds.kind import Clients, Found, ResourceType, Scope, tag_map

__all__ = ["Found", "Inventory", "find", "find_kind"]

_WORKERS = 8


@dataclass(frozen=True)
class Inventory:
    """What was found, and what could not be looked at.

    Attributes:
        resources: parents before their children.
        unreadable: types that AWS did not list to us; while there are any, nothing says that all was found.
    """

    resources: list[Found] = field(default_factory=list)
    unreadable: list[Problem] = field(default_factory=list)


def find(clients: Clients, stack: str | None, exact: Container[str] = ()) -> Inventory:
    """Everything in one account and region that carries our tags, or hangs on what does.

    Types with a row are listed by their own service, which knows at once what was created a second ago. What the rows
    do not know comes from the tagging API. Roles, buckets and budgets are the account's, whatever the region.

    Args:
        stack: only this stack's; None for all stacks of the project.
        exact: types of which a second-old one must not be missed, however many others the account has.
    """
    found: dict[str, list[Found]] = defaultdict(list)
    unreadable: list[Problem] = []
    for kinds in _by_parent():
        with ThreadPoolExecutor(_WORKERS) as pool:
            for kind, result in zip(
                kinds, pool.map(lambda kind: _try(clients, stack, kind, found, kind.type in exact), kinds), strict=True
            ):
                if isinstance(result, Problem):
                    unreadable.append(result)
                else:
                    found[kind.type] = result
    resources = [resource for kind in KINDS.values() for resource in found[kind.type]]
    try:
        resources += _others(clients, stack, {name for resource in resources for name in (resource.arn, resource.id)})
    except AwsError as error:
        unreadable.append(problem_of(error, "tag:GetResources"))
    return Inventory(resources, unreadable)


def find_kind(
    clients: Clients,
    stack: str | None,
    kind: ResourceType,
    parents: Iterable[Found],
    *,
    known: Sequence[Found] = (),
    exact: bool = False,
) -> list[Found]:
    """Those of one type; `parents` are the found ones of the type through which it is found.

    Args:
        known, exact: of `Scope`.
    """
    if not kind.parent:
        return kind.find(Scope(clients, stack, known=known, exact=exact))
    found: list[Found] = []
    for parent in parents:
        with unless_gone():  # the parent went meanwhile
            found += kind.find(Scope(clients, stack, parent, known=known))
    return found


def _try(
    clients: Clients, stack: str | None, kind: ResourceType, found: dict[str, list[Found]], exact: bool
) -> list[Found] | Problem:
    try:
        return find_kind(clients, stack, kind, found.get(kind.parent or "", ()), exact=exact)
    except AwsError as error:
        return problem_of(error, kind.type)


def _by_parent() -> Iterator[list[ResourceType]]:
    """The rows, those first that need no other."""
    done: set[str | None] = {None}
    left = list(KINDS.values())
    while left:
        ready = [kind for kind in left if kind.parent in done]
        yield ready
        done |= {kind.type for kind in ready}
        left = [kind for kind in left if kind.type not in done]


def _others(clients: Clients, stack: str | None, known: set[str]) -> Iterator[Found]:
    """What carries our tags and no row listed, without what may stay.

    The tagging API still names some of what is gone for a while; of types that rows list in full it is not believed.
    """
    partial = {kind.tagging_type: kind for kind in KINDS.values() if kind.partial}
    in_full = {kind.tagging_type for kind in KINDS.values() if not kind.partial} | STAYING
    for item in Scope(clients, stack).tagged():
        arn = item["ResourceARN"]
        tagging_type, name = _split(arn)
        if known & {arn, name} or tagging_type in in_full:
            continue
        kind = partial.get(tagging_type)
        yield Found(
            type=kind.type if kind else tagging_type,
            id=name if kind else arn,
            arn=arn,
            name=name,
            tags=tag_map(item["Tags"]),
        )


def _split(arn: str) -> tuple[str, str]:
    """`arn:aws:ec2:us-east-1:1234:vpc/vpc-1` is an `ec2:vpc` named vpc-1; a bucket's or a topic's ARN has no type."""
    service, resource = arn.split(":", 5)[2::3]
    if separator := next((one for one in resource if one in ":/"), ""):
        kind, _, name = resource.partition(separator)
        return f"{service}:{kind}", name
    return service, resource
