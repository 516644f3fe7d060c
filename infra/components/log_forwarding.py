"""Lines of a log group on their way to another place that a team has."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi_aws import iam

from tandem.errors import Problem, UserError
from tandem.settings.commands import set_to
from tandem.type_tokens import LOG_SUBSCRIPTION

from .. import policies
from .log_group import LogGroup

PUTS = {"kinesis": "kinesis:PutRecord", "firehose": "firehose:PutRecord"}
"""What CloudWatch Logs does with a role of the stack's; a function and a destination say themselves who may send
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html)."""


@dataclass(frozen=True, kw_only=True)
class LogForwardingArgs:
    """What forwarding needs.

    Attributes:
        region: of the group.
        group: whose lines are sent; it keeps them as well.
        destination_arn: of a stream, a function, or a destination of CloudWatch Logs.
    """

    region: str
    group: LogGroup
    destination_arn: str


class LogForwarding(pulumi.ComponentResource):
    """A subscription of all lines, and for a stream the role by which they are put there."""

    def __init__(self, name: str, args: LogForwardingArgs, opts: pulumi.ResourceOptions) -> None:
        super().__init__("tandem:index:LogForwarding", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        role, granted = _sender(name, args, child)
        properties = {
            "logGroup": args.group.name,
            "destinationArn": args.destination_arn,
            "filterPattern": "",
            "roleArn": role,
            "name": None,
        }
        # It is made by a message that the role must be able to send.
        after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=granted))
        pulumi.CustomResource(LOG_SUBSCRIPTION, name, properties, after)
        self.register_outputs({})


def refuse_foreign(arn: str, provider: pulumi.ProviderResource) -> None:
    """Raises UserError for a destination in an account into which CloudWatch Logs sends nothing."""
    caller = aws.get_caller_identity(opts=pulumi.InvokeOptions(provider=provider))
    if problem := foreign(arn, caller.account_id):
        raise UserError(problem)


def foreign(arn: str, account: str) -> Problem | None:
    """Why nothing is sent to a stream or a function of another account."""
    _, _, service, region, owner, *_ = arn.split(":")
    if service == "logs" or owner == account:
        return None
    destination = f"arn:aws:logs:{region}:{owner}:destination:NAME"
    return Problem(
        key="logs.sendTo",
        wrong=f"it is in another account than the stack, which is in {account}",
        value=arn,
        allowed=f"of account {account}, or a destination of CloudWatch Logs in any account ({destination})",
        fix=f"have account {owner} make a destination before it that lets in account {account} (docs/logs.md), and "
        f"{set_to('logs.sendTo', destination)}",
    )


def _sender(
    name: str, args: LogForwardingArgs, opts: pulumi.ResourceOptions
) -> tuple[pulumi.Output[str] | None, list[pulumi.Resource]]:
    """ARN of the role, and what it must have been given first; none where none is asked for."""
    _, _, service, _, account, *_ = args.destination_arn.split(":")
    action = PUTS.get(service)
    if action is None:
        return None, []
    role = iam.Role(
        name,
        description="CloudWatch Logs: lines of servers and edges, to one stream",
        assume_role_policy=policies.assumed_by("logs", policies.on_behalf_of_logs(args.region, account)),
        opts=opts,
    )
    allowed = policies.document(policies.allow([action], [args.destination_arn]))
    # Beside the former one until the subscription leads elsewhere: what CloudWatch Logs is refused it sends no more.
    beside = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(replace_on_changes=["policy"]))
    return role.arn, [iam.RolePolicy(name, role=role.name, policy=allowed, opts=beside)]
