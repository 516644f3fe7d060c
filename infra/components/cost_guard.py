"""The cost guard: schedules in the account that set the fleet to 0, whatever happens to the laptop that ran `up`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pulumi
from pulumi_aws import autoscaling, budgets, iam, scheduler, sns

from infra import policies
from infra.settings.schema import BusinessHoursSettings
from infra.tags import STACK_TAG

WARNING_BEFORE = timedelta(minutes=30)
GROUP_TARGET = "arn:aws:scheduler:::aws-sdk:autoscaling:updateAutoScalingGroup"
PUBLISH_TARGET = "arn:aws:scheduler:::aws-sdk:sns:publish"
RETRY = scheduler.ScheduleTargetRetryPolicyArgs(maximum_event_age_in_seconds=24 * 3600, maximum_retry_attempts=185)
"""What EventBridge Scheduler allows at most: a fleet that could not be stopped at once is tried for a day."""
ALERT_PERCENTAGES = ((80, "ACTUAL"), (100, "ACTUAL"), (100, "FORECASTED"))


@dataclass(frozen=True, kw_only=True)
class BusinessHours:
    """When the fleet runs: Auto Scaling's cron expressions, on the clock of time_zone."""

    start_cron: str
    stop_cron: str
    time_zone: str

    @classmethod
    def between(cls, hours: BusinessHoursSettings) -> BusinessHours:
        """From times of day to cron: minute, hour, any day, any month, days of the week."""

        def cron(time: str) -> str:
            hour, minute = time.split(":")
            return f"{int(minute)} {int(hour)} * * {hours.days}"

        return cls(start_cron=cron(hours.start), stop_cron=cron(hours.stop), time_zone=hours.time_zone)


@dataclass(frozen=True, kw_only=True)
class Stop:
    """The call of an AWS API that sets the servers to 0.

    Attributes:
        target: EventBridge Scheduler's name for the call.
        action, resource_arn: what the schedule must be allowed.
        values: the call's parameters.
    """

    target: str
    action: str
    resource_arn: pulumi.Input[str]
    values: Mapping[str, Any]

    @classmethod
    def of_group(cls, name: pulumi.Input[str], arn: pulumi.Input[str]) -> Stop:
        """Of an Auto Scaling group."""
        return cls(
            target=GROUP_TARGET,
            action="autoscaling:UpdateAutoScalingGroup",
            resource_arn=arn,
            values={"AutoScalingGroupName": name, "MinSize": 0, "MaxSize": 0, "DesiredCapacity": 0},
        )

    @classmethod
    def of_node_group(cls, cluster_name: pulumi.Input[str], name: pulumi.Input[str], arn: pulumi.Input[str]) -> Stop:
        """Of an EKS node group, whose upper bound is 1 at least."""
        return cls(
            target="arn:aws:scheduler:::aws-sdk:eks:updateNodegroupConfig",
            action="eks:UpdateNodegroupConfig",
            resource_arn=arn,
            values={
                "ClusterName": cluster_name,
                "NodegroupName": name,
                "ScalingConfig": {"MinSize": 0, "MaxSize": 1, "DesiredSize": 0},
            },
        )


@dataclass(frozen=True, kw_only=True)
class CostGuardArgs:
    """What a cost guard needs.

    Attributes:
        stack: name of the stack, by whose tag the budget counts.
        region, account_id: of the stack.
        stop: how the servers are stopped; None where expiry is not set.
        group_name: the Auto Scaling group that follows business hours.
        min_hosts, max_hosts: its size during them.
        expires_at: when it goes to 0, RFC 3339 in UTC; None for never.
        monthly_budget_usd: AWS Budget, the second and later line; None for none.
        alert_emails: who hears of either.
        business_hours: when it runs; None for always.
    """

    stack: str
    region: str
    account_id: pulumi.Input[str]
    stop: Stop | None
    group_name: pulumi.Input[str] | None
    min_hosts: int
    max_hosts: int
    expires_at: pulumi.Output[str] | None = None
    monthly_budget_usd: float | None = None
    alert_emails: Sequence[str] = ()
    business_hours: BusinessHours | None = None


class CostGuard(pulumi.ComponentResource):
    """Expiry, budget and business hours of one fleet.

    Attributes:
        topic_arn: SNS topic of the alerts.
    """

    def __init__(self, name: str, args: CostGuardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:CostGuard", name, None, opts)
        self._name = name
        self._args = args
        self._child = pulumi.ResourceOptions(parent=self)
        topic = sns.Topic(f"{name}-alerts", opts=self._child)
        self.topic_arn = topic.arn
        for email in args.alert_emails:
            sns.TopicSubscription(
                f"{name}-{email}", topic=topic.arn, protocol="email", endpoint=email, opts=self._child
            )
        if args.expires_at is not None and args.stop is not None:
            self._expiry(args.expires_at, args.stop)
        if args.monthly_budget_usd is not None:
            self._budget(args.monthly_budget_usd)
        if args.business_hours is not None and args.group_name is not None:
            self._business_hours(args.business_hours, args.group_name)
        self.register_outputs({"topic_arn": self.topic_arn})

    def _expiry(self, expires_at: pulumi.Output[str], stop: Stop) -> None:
        args = self._args
        # The group that the schedule is in; what names the role must be made after it.
        source = pulumi.Output.concat(
            f"arn:aws:scheduler:{args.region}:", args.account_id, f":schedule-group/{self._name}-*"
        )
        role = iam.Role(
            f"{self._name}-expiry",
            description="Lets the expiry schedules stop the fleet and say so",
            assume_role_policy=policies.assumed_by("scheduler", policies.on_behalf_of(args.account_id, source)),
            opts=self._child,
        )
        iam.RolePolicy(
            f"{self._name}-expiry",
            role=role.name,
            policy=policies.document(
                policies.allow([stop.action], [stop.resource_arn]),
                policies.allow(["sns:Publish"], [self.topic_arn]),
            ),
            opts=self._child,
        )
        # Schedules carry no tags; their group does, which is how they are found again without the state.
        group = scheduler.ScheduleGroup(self._name, opts=self._child)
        self._schedule("stop", group, role, expires_at.apply(schedule_expression), stop.target, stop.values)
        # Someone may bring an expired fleet back, by hand or with `pulumi up --refresh`: not for longer than this.
        self._schedule("keep-stopped", group, role, "rate(5 minutes)", stop.target, stop.values, start=expires_at)
        self._schedule(
            "warn",
            group,
            role,
            expires_at.apply(lambda moment: schedule_expression(moment, before=WARNING_BEFORE)),
            PUBLISH_TARGET,
            {
                "TopicArn": self.topic_arn,
                "Subject": f"tandem: {args.stack} stops in 30 minutes",
                "Message": pulumi.Output.concat(
                    f"The GPU hosts of stack {args.stack} stop at ",
                    expires_at,
                    ". To keep them, raise costGuard.expiresAfter or costGuard.maxUsd and run `pulumi up`.",
                ),
            },
        )

    def _schedule(
        self,
        label: str,
        group: scheduler.ScheduleGroup,
        role: iam.Role,
        expression: pulumi.Input[str],
        target_arn: str,
        target_input: Mapping[str, Any],
        start: pulumi.Output[str] | None = None,
    ) -> None:
        """A call of an AWS API at its time: EventBridge Scheduler's universal target, no function of ours between."""
        scheduler.Schedule(
            f"{self._name}-{label}",
            group_name=group.name,
            schedule_expression=expression,
            schedule_expression_timezone="UTC",
            start_date=start,
            flexible_time_window={"mode": "OFF"},
            target=scheduler.ScheduleTargetArgs(
                arn=target_arn,
                role_arn=role.arn,
                input=pulumi.Output.json_dumps(target_input),
                retry_policy=RETRY,
            ),
            opts=self._child,
        )

    def _budget(self, limit_usd: float) -> None:
        source = pulumi.Output.concat("arn:aws:budgets::", self._args.account_id, ":*")
        sns.TopicPolicy(
            f"{self._name}-alerts",
            arn=self.topic_arn,
            policy=policies.document(
                policies.allow(
                    ["sns:Publish"],
                    [self.topic_arn],
                    policies.on_behalf_of(self._args.account_id, source),
                    sid="OnBehalfOfThisAccount",
                )
                | {"Principal": {"Service": "budgets.amazonaws.com"}}
            ),
            opts=self._child,
        )
        budgets.Budget(
            self._name,
            budget_type="COST",
            limit_amount=f"{limit_usd:.2f}",
            limit_unit="USD",
            time_unit="MONTHLY",
            cost_filters=[{"name": "TagKeyValue", "values": [f"user:{STACK_TAG}${self._args.stack}"]}],
            notifications=[
                {
                    "comparison_operator": "GREATER_THAN",
                    "notification_type": kind,
                    "threshold": percentage,
                    "threshold_type": "PERCENTAGE",
                    "subscriber_sns_topic_arns": [self.topic_arn],
                }
                for percentage, kind in ALERT_PERCENTAGES
            ],
            opts=self._child,
        )

    def _business_hours(self, hours: BusinessHours, group_name: pulumi.Input[str]) -> None:
        args = self._args
        for label, cron, low, high in (
            ("start", hours.start_cron, args.min_hosts, args.max_hosts),
            ("stop", hours.stop_cron, 0, 0),
        ):
            autoscaling.Schedule(
                f"{self._name}-{label}",
                scheduled_action_name=f"business-hours-{label}",
                autoscaling_group_name=group_name,
                recurrence=cron,
                time_zone=hours.time_zone,
                min_size=low,
                max_size=high,
                desired_capacity=low,
                # A stack that has expired must not come back the next morning.
                end_time=args.expires_at,
                opts=self._child,
            )


def schedule_expression(moment: str, before: timedelta = timedelta()) -> str:
    """EventBridge Scheduler's words for a moment given as RFC 3339: `at(2026-12-24T18:00:00)`, in UTC."""
    at = datetime.fromisoformat(moment).astimezone(UTC) - before
    return f"at({at:%Y-%m-%dT%H:%M:%S})"
