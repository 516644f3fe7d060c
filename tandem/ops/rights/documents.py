"""The table as IAM policies: as many for a role as their length asks for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tandem.catalog.iam import POLICY_VERSION
from tandem.ops.rights import RIGHTS
from tandem.ops.rights.right import BOUNDARY, Right, Scope, arns, condition

POLICY_CHARACTERS = 6144
"""Of a managed policy, white space not counted:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

ROLE_POLICIES = 10
"""Managed policies that a role takes, unless AWS raises it (same source)."""

Policy = dict[str, Any]


def documents(role: str, scope: Scope | None = None) -> dict[str, Policy]:
    """The policies of a role, by the name that each should have.

    Args:
        scope: to what they are narrowed; None for all of the account. A boundary is narrowed to stacks and buckets.
    """
    rows = [row for row in RIGHTS if role in row.who]
    scope = scope or Scope()
    if role == BOUNDARY:  # is one policy, in the account of the roles that have it
        scope = replace(scope, account="", regions=())
    statements = [statement(row, role, scope) for row in rows]
    found = _packed(_side_by_side(_merged(statements)) if role == BOUNDARY else statements)
    return {
        f"tandem-{role}-{number}" if len(found) > 1 else f"tandem-{role}": one for number, one in enumerate(found, 1)
    }


def statement(right: Right, role: str, scope: Scope) -> Policy:
    """A row as a statement."""
    where, when = arns(right, scope), condition(right, role, scope)
    found = {"Sid": right.sid, "Effect": "Allow", "Action": sorted(right.names), "Resource": where}
    return found | ({"Condition": when} if when else {})


def _merged(statements: Iterable[Policy]) -> Iterable[Policy]:
    """Those about the same resources under the same condition as one."""
    found: dict[str, Policy] = {}
    for one in statements:
        same = found.setdefault(json.dumps([one["Resource"], one.get("Condition")]), one)
        if same is not one:
            same["Action"] = [*same["Action"], *one["Action"]]
    return found.values()


def _side_by_side(statements: Iterable[Policy]) -> list[Policy]:
    """Those without a condition as few as can be: where two have no service in common, no action of the one is about a
    resource of the other."""
    found: list[Policy] = []
    for one in statements:
        free = (other for other in found if _plain(one) and _plain(other) and not _services(one) & _services(other))
        if together := next(free, None):
            together["Action"] = [*together["Action"], *one["Action"]]
            together["Resource"] = [*together["Resource"], *one["Resource"]]
        else:
            found.append(one)
    return found


def _plain(statement: Policy) -> bool:
    """Neither bound by a condition nor about everything."""
    return "Condition" not in statement and "*" not in statement["Resource"]


def _services(statement: Policy) -> set[str]:
    """Of its actions and of its resources, as IAM and ARNs name them."""
    of_actions = {name.partition(":")[0] for name in statement["Action"]}
    return of_actions | {arn.split(":")[2] for arn in statement["Resource"]}


def _packed(statements: Iterable[Policy]) -> list[Policy]:
    """As few policies as hold the statements in their order."""
    found: list[Policy] = []
    for one in statements:
        longer = {"Version": POLICY_VERSION, "Statement": [*(found[-1]["Statement"] if found else ()), one]}
        if found and characters(longer) <= POLICY_CHARACTERS:
            found[-1] = longer
        else:
            found.append({"Version": POLICY_VERSION, "Statement": [one]})
    return found


def characters(policy: Mapping[str, Any]) -> int:
    """As IAM counts."""
    return len(json.dumps(policy, separators=(",", ":")))
