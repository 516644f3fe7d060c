"""A CloudWatch log group that keeps its lines for a bounded time."""

from __future__ import annotations

import pulumi

from tandem.type_tokens import LOG_GROUP


class LogGroup(pulumi.CustomResource):
    """Declared by its type token, as the firewall is: importing pulumi_aws.cloudwatch for this one resource takes as
    long as importing all that a load balancer needs.

    Args:
        retention_days: one of the numbers of days that CloudWatch offers.
        log_group_name: its name in the account; None lets the engine make one. One that is there keeps the name it has.

    Attributes:
        arn, name: as AWS has them.
    """

    arn: pulumi.Output[str]
    name: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        retention_days: int,
        opts: pulumi.ResourceOptions,
        log_group_name: pulumi.Input[str] | None = None,
    ) -> None:
        properties = {"name": log_group_name, "retentionInDays": retention_days, "arn": None, "tags": None}
        kept = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["name"]))
        super().__init__(LOG_GROUP, name, properties, kept)
