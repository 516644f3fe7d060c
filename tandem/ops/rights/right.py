"""What a row of the table of rights says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any

from tandem.tags import EPHEMERAL_TAG, PROJECT, PROJECT_TAG, STACK_TAG

DEPLOYER, REAPER, VIEWER = "deployer", "reaper", "viewer"
"""Who brings stacks up, changes them and takes them down; who removes expired ephemeral ones; who only looks."""

BAKER, KEYKEEPER, TEAMKEEPER, BOUNDARY = "baker", "keykeeper", "teamkeeper", "boundary"
"""Who makes machine images; who gives clients keys and takes them away; who does so for teams of the gateway; and no
one, but the most that roles of stacks can do, which the deployer must give them."""

REMOVERS = (DEPLOYER, REAPER)
"""Who may remove what a stack has."""

ROLES = (DEPLOYER, REAPER, VIEWER, BAKER, KEYKEEPER, TEAMKEEPER, BOUNDARY)

BOUNDED: Mapping[str, Mapping[str, Any]] = {
    "ArnLike": {"iam:PermissionsBoundary": f"arn:aws:iam::{{account}}:policy/tandem-{BOUNDARY}"}
}
"""The condition that a role has the boundary, or is given it."""

_OURS = {PROJECT_TAG: PROJECT}
TAGS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys((DEPLOYER, VIEWER, BAKER, KEYKEEPER, TEAMKEEPER, BOUNDARY), _OURS),
    REAPER: {**_OURS, EPHEMERAL_TAG: "true"},
}
"""What a resource must carry for a role to touch it."""


class By(Enum):
    """What binds a row to tandem's own resources."""

    TAG = "the resource's tags"
    BUCKET_TAG = "the bucket's tags"
    REQUEST = "the tags that the request gives"
    NAME = "the name"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Right:
    """Actions that belong together.

    Attributes:
        by: what binds it.
        sid: names the row, and the statement in a policy.
        asks: IAM's name of a service and of actions, as `service: Action Action`.
        on: what ARNs end with, with a space between them; `*` for actions that know no resources. `{stack}` stands for
            the stack's name, `{zone}` for a hosted zone's id, `{bucket}` for a bucket's name.
        why: what it is for; for what nothing binds, why nothing can.
        who: roles that have it.
        platform: that needs it; empty for both.
        of: service in the ARNs, where it is another's resource.
        when: further conditions, operator to key to value; `{account}` stands for the account's id.
    """

    by: By
    sid: str
    asks: str
    on: str
    why: str
    who: Sequence[str] = (DEPLOYER,)
    platform: str = ""
    of: str = ""
    when: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return self.asks.partition(": ")[0]

    @property
    def actions(self) -> list[str]:
        return self.asks.partition(": ")[2].split()

    @property
    def names(self) -> list[str]:
        """`service:Action`."""
        return [f"{self.service}:{action}" for action in self.actions]


by_tag, by_request = partial(Right, By.TAG), partial(Right, By.REQUEST)
by_name, by_nothing = partial(Right, By.NAME), partial(Right, By.NOTHING)
"""A row by what binds it: its name, what it asks for, on what, why."""

FIRST = "each carries tandem's tags from the start, and a name of tandem's"
"""Why the tags that a request gives bind it."""


def alike(*rows: Right, **same: Any) -> tuple[Right, ...]:
    """The rows, all with the same role or platform."""
    return tuple(replace(row, **same) for row in rows)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """To what policies are narrowed; an empty part does not narrow.

    Attributes:
        account: id.
        regions: where.
        stacks: names.
        zones: ids of hosted zones in which names are made.
        buckets: names of those that weights are read from.
    """

    account: str = ""
    regions: Sequence[str] = ()
    stacks: Sequence[str] = ()
    zones: Sequence[str] = ()
    buckets: Sequence[str] = ()


_NO_REGION, _NO_ACCOUNT = ("iam", "route53", "s3", "budgets"), ("route53", "s3")
_OF_NO_REGION = ("dashboard/",)
"""CloudWatch's dashboards are the account's, in all regions."""
_OF_NO_ACCOUNT = ("foundation-model/", "image/", "snapshot/", "parameter/aws/")
"""Which may be AWS's own, or public."""
_GLOBAL = ("iam", "route53", "budgets", "ce", "pricing", "savingsplans")
"""Answered in one region for all."""


def arns(right: Right, scope: Scope, region: str = "*", filled: str = "*") -> list[str]:
    """The ARNs of a row.

    Args:
        region: where.
        filled: in place of what is left open.
    """
    if right.on == "*":
        return ["*"]
    where = "" if right.service in _NO_REGION else region
    owner = "" if right.service in _NO_ACCOUNT else scope.account or filled
    found = []
    for end in right.on.split():
        at = "" if end.startswith(_OF_NO_REGION) else where
        owners = ["", owner] if end.startswith(_OF_NO_ACCOUNT) else [owner]
        prefixes = [f"arn:aws:{right.of or right.service}:{at}:{account}:" for account in owners]
        ends = [end.replace("*", filled)]
        for name, given in (("stack", scope.stacks), ("zone", scope.zones), ("bucket", scope.buckets)):
            part = f"{{{name}}}"
            ends = [one.replace(part, value) for one in ends for value in (given or [filled] if part in end else [""])]
        found += [prefix + one for one in ends for prefix in prefixes]
    return found


_TAG_KEYS = {By.TAG: "aws:ResourceTag", By.BUCKET_TAG: "s3:BucketTag", By.REQUEST: "aws:RequestTag"}


def condition(right: Right, role: str, scope: Scope) -> dict[str, dict[str, Any]]:
    """The condition of a row for a role."""
    found: dict[str, dict[str, Any]] = {
        operator: {key: _of_account(value, scope) for key, value in keys.items()}
        for operator, keys in right.when.items()
    }
    equal = found.setdefault("StringEquals", {})
    if kind := _TAG_KEYS.get(right.by):
        equal |= {f"{kind}/{key}": value for key, value in TAGS[role].items()}
        if scope.stacks:
            equal[f"{kind}/{STACK_TAG}"] = list(scope.stacks)
    if scope.regions and right.service not in _GLOBAL:
        equal["aws:RequestedRegion"] = list(scope.regions)
    return {operator: keys for operator, keys in found.items() if keys}


def _of_account(value: Any, scope: Scope) -> Any:
    return value.replace("{account}", scope.account or "*") if isinstance(value, str) else value
