"""The bucket for the load balancer's access logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

from .. import policies
from .private_bucket import private_bucket

LOG_DELIVERY = "logdelivery.elasticloadbalancing.amazonaws.com"
PREFIX = "alb"


@dataclass(frozen=True, kw_only=True)
class AccessLogsArgs:
    """What the bucket needs.

    Attributes:
        account_id: whose load balancers may write.
        retention_days: objects are deleted after so many days.
        keep_on_destroy: leaves the bucket and its logs in the account when the stack goes.
    """

    account_id: pulumi.Input[str]
    retention_days: int
    keep_on_destroy: bool


class AccessLogs(pulumi.ComponentResource):
    """Private, encrypted, expiring. The load balancer's log delivery may write below PREFIX and do nothing else.

    Attributes:
        bucket_name: known once delivery is allowed, since a load balancer tests that when it is given the bucket.
    """

    def __init__(self, name: str, args: AccessLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:AccessLogs", name, None, opts)
        bucket, policy = private_bucket(
            name,
            self,
            kept_days=args.retention_days,
            keep_on_destroy=args.keep_on_destroy,
            allowed=lambda arn: [_log_delivery(arn, args.account_id)],
        )
        self.bucket_name = pulumi.Output.all(bucket.id, policy.id).apply(lambda ids: ids[0])
        self.register_outputs({"bucket_name": bucket.id})


def _log_delivery(bucket_arn: pulumi.Output[str], account_id: pulumi.Input[str]) -> dict[str, Any]:
    """Log delivery puts the account of the load balancer into the name of the object, and names no other source
    (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html)."""
    objects = pulumi.Output.concat(bucket_arn, f"/{PREFIX}/AWSLogs/", account_id, "/*")
    statement = policies.allow(["s3:PutObject"], [objects], sid="LogsOfOneAccount")
    return statement | {"Principal": {"Service": LOG_DELIVERY}}
