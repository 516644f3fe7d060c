"""What a check is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.wire import contains_unknown

Stage = Literal["plan", "apply", "delete"]

_REFERENCES = {
    "acm": "acm/latest/APIReference",
    "autoscaling": "autoscaling/ec2/APIReference",
    "ec2": "AWSEC2/latest/APIReference",
    "eks": "eks/latest/APIReference",
    "elb": "elasticloadbalancing/latest/APIReference",
    "iam": "IAM/latest/APIReference",
    "kms": "kms/latest/APIReference",
    "logs": "AmazonCloudWatchLogs/latest/APIReference",
    "route53": "Route53/latest/APIReference",
    "s3": "AmazonS3/latest/API",
    "scheduler": "scheduler/latest/APIReference",
    "secrets": "secretsmanager/latest/apireference",
    "sqs": "AWSSimpleQueueService/latest/APIReference",
    "ssm": "systems-manager/latest/APIReference",
    "waf": "waf/latest/APIReference",
}


def api(service: str, page: str) -> str:
    """Address of an operation, or of a type, in a service's API reference."""
    return f"https://docs.aws.amazon.com/{_REFERENCES[service]}/API_{page}.html"


@dataclass(frozen=True)
class Refusal:
    """Why AWS (or the real provider, at `plan`) refuses.

    Attributes:
        message: in its words where they are documented.
        code: of the API error.
        property: the input that is wrong, for checks at `plan`.
        operation: `EC2: DeleteSubnet`, where it is not the row's own.
    """

    message: str
    code: str = ""
    property: str = ""
    operation: str = ""


@dataclass(frozen=True)
class Check:
    """One rule that AWS enforces, and a program can break.

    Attributes:
        name: short and unique.
        types: the resource types that it looks at; all when empty.
        says: the rule, in a sentence.
        source: address of where AWS says so, or of who saw it refused.
        at: when it is refused.
        find: yields the refusals.
    """

    name: str
    types: tuple[str, ...]
    says: str
    source: str
    at: Stage
    find: Callable[[Resource], Iterable[Refusal]]


def at_path(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The known values at a path like `rules[].statement.rateBasedStatement.limit`, with the path of each."""
    head, _, rest = path.partition(".")
    name = head.removesuffix("[]")
    inner = value.get(name) if isinstance(value, dict) else None
    if inner is None or contains_unknown(inner):
        return
    items = [(f"{name}[{index}]", item) for index, item in enumerate(inner)] if head.endswith("[]") else [(name, inner)]
    for where, item in items:
        if rest:
            yield from ((f"{where}.{below}", found) for below, found in at_path(item, rest))
        else:
            yield where, item


def snake(name: str) -> str:
    """`heartbeatTimeout` as the real provider's messages write it: `heartbeat_timeout`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
