"""What `tandem doctor` asks IAM about: the deployer's rights, as the table in tandem/ops/rights has them."""

from __future__ import annotations

from typing import Any

from tandem.ops.rights import RIGHTS
from tandem.ops.rights.right import BOUNDED, DEPLOYER, Right, Scope, arns
from tandem.tags import stack_tags

_FILLED = "0123456789abcdef0"


def _rows(platform: str) -> list[Right]:
    return [right for right in RIGHTS if DEPLOYER in right.who and right.platform in ("", platform)]


def actions(platform: str) -> tuple[str, ...]:
    """What bringing up and taking down a stack of a platform asks IAM for: what creates, changes and deletes.

    Who may do these may read as well, or hears of it at once.
    """
    return tuple(dict.fromkeys(name for right in _rows(platform) for name in right.names))


def resources(service: str, account: str, region: str, stack: str, zone: str | None) -> list[str]:
    """ARNs such as a stack's resources have: a policy may allow an action on these and not on any resource.

    Args:
        zone: the hosted zone of the stack's name.
    """
    scope = Scope(account=account, stacks=[stack], zones=[zone] if zone else ())
    rows = [right for right in RIGHTS if right.service == service and DEPLOYER in right.who and right.on != "*"]
    return list(dict.fromkeys(arn for right in rows for arn in arns(right, scope, region, _FILLED)))


def request_context(stack: str, region: str, boundary: str | None = None) -> list[dict[str, Any]]:
    """What a request says of itself, for policies with conditions: tags, region, and what the table's rows ask for.

    Args:
        boundary: ARN of the policy that the stack's roles are given as their boundary; None for none.
    """
    tags = stack_tags(stack, region, ephemeral=False)
    values: dict[str, list[str]] = {"aws:RequestedRegion": [region]}
    for kind in ("aws:RequestTag", "aws:ResourceTag", "s3:BucketTag"):
        values |= {f"{kind}/{key}": [value] for key, value in tags.items()}
    for right in RIGHTS:
        for operator, keys in right.when.items() if DEPLOYER in right.who else ():
            for key, value in keys.items():
                if operator != "Null" and key not in BOUNDED["ArnLike"]:
                    values.setdefault(key, []).extend([value] if isinstance(value, str) else value)
    if boundary:
        values |= {key: [boundary] for key in BOUNDED["ArnLike"]}
    return [
        {"ContextKeyName": key, "ContextKeyValues": list(dict.fromkeys(found)), "ContextKeyType": _type(found)}
        for key, found in values.items()
    ]


def _type(values: list[str]) -> str:
    if values == ["true"]:
        return "boolean"
    return "string" if len(values) == 1 else "stringList"
