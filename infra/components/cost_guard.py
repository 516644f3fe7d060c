"""The cost guard: schedules in the account that size the fleet, whatever happens to the laptop that ran `up`.

They call for the fleet by a name that is known before it: the guard is made first, and goes last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pulumi
from pulumi_aws import budgets, iam, scheduler, sns

from tandem.lifetime import STOPPED, Size
from tandem.settings.schema import BusinessHoursSettings
from tandem.tags import MAIN_MODEL, STACK_TAG

from .. import policies

WARNING_BEFORE = timedelta(minutes=30)
AHEAD = timedelta(minutes=5)
"""An `up` has made its schedules so soon after its start: a moment that lies nearer is not scheduled any more."""
GROUP_TARGET = "arn:aws:scheduler:::aws-sdk:autoscaling:updateAutoScalingGroup"
PUBLISH_TARGET = "arn:aws:scheduler:::aws-sdk:sns:publish"
AGAIN = "rate(5 minutes)"
RETRY_SECONDS, RETRIES = 3600, 185
"""A call that fails is tried for an hour, when the next of its kind has come: later it may not be wanted any more."""
ALERT_PERCENTAGES = ((80, "ACTUAL"), (100, "ACTUAL"), (100, "FORECASTED"))


@dataclass(frozen=True, kw_only=True)
class BusinessHours:
    """When the fleet runs: cron expressions of EventBridge Scheduler, on the clock of time_zone."""

    open_cron: str
    close_cron: str
    time_zone: str

    @classmethod
    def between(cls, hours: BusinessHoursSettings) -> BusinessHours:
        """From times of day to cron: minute, hour, any day of the month, any month, days of the week, any year.

        It closes again every hour until midnight: an `up` that began before may have made the fleet just after.
        """

        def cron(time: str, until: str = "") -> str:
            hour, minute = time.split(":")
            return f"cron({int(minute)} {int(hour)}{until} ? * {hours.days} *)"

        until = "-23" if hours.stop < "23:00" else ""
        return cls(open_cron=cron(hours.start), close_cron=cron(hours.stop, until), time_zone=hours.time_zone)


@dataclass(frozen=True, kw_only=True)
class Resize:
    """The call of an AWS API that sets how many servers there are.

    Attributes:
        target: EventBridge Scheduler's name for the call.
        action, resource_arn: what the schedules must be allowed.
        values: the call's parameters for a size.
    """

    target: str
    action: str
    resource_arn: pulumi.Input[str]
    values: Callable[[Size], Mapping[str, Any]]

    @classmethod
    def of_group(cls, name: pulumi.Input[str], arn: pulumi.Input[str]) -> Resize:
        """Of an Auto Scaling group."""

        def values(size: Size) -> Mapping[str, Any]:
            sizes = {"MinSize": size.least, "MaxSize": size.most, "DesiredCapacity": size.wanted}
            return {"AutoScalingGroupName": name, **sizes}

        return cls(target=GROUP_TARGET, action="autoscaling:UpdateAutoScalingGroup", resource_arn=arn, values=values)

    @classmethod
    def of_node_group(cls, cluster_name: pulumi.Input[str], name: pulumi.Input[str], arn: pulumi.Input[str]) -> Resize:
        """Of an EKS node group, whose upper bound is 1 at least
        (https://docs.aws.amazon.com/eks/latest/APIReference/API_NodegroupScalingConfig.html).

        The members begin with a capital letter, as in each request of a universal target; with those of EKS's own API
        the schedule is refused (packages/pulumi-rehearsal/pulumi_rehearsal/aws/universal_target.py).
        """

        def values(size: Size) -> Mapping[str, Any]:
            sizes = {"MinSize": size.least, "MaxSize": max(1, size.most), "DesiredSize": size.wanted}
            return {"ClusterName": cluster_name, "NodegroupName": name, "ScalingConfig": sizes}

        return cls(
            target="arn:aws:scheduler:::aws-sdk:eks:updateNodegroupConfig",
            action="eks:UpdateNodegroupConfig",
            resource_arn=arn,
            values=values,
        )


@dataclass(frozen=True, kw_only=True)
class CostGuardArgs:
    """What a cost guard needs.

    Attributes:
        stack: name of the stack, by whose tag the budget counts.
        region, account_id: of the stack.
        resizes: how the servers of each group are stopped and started, by its model, and its size during business
            hours; none where no schedule does either.
        expires_at: when it goes to 0, RFC 3339 in UTC; None for never.
        now: the moment of this `up`; None takes all moments to lie ahead.
        monthly_budget_usd: AWS Budget, the second and later line; None for none.
        alert_emails, alert_hooks: who hears of either, and of alarms; hooks are addresses that take SNS's messages.
        business_hours: when it runs; None for always.
        workspace_alerts: a workspace of Amazon Managed Prometheus in the region may call by the topic, too.
    """

    stack: str
    region: str
    account_id: pulumi.Input[str]
    resizes: Mapping[str, tuple[Resize, Size]]
    expires_at: pulumi.Output[str] | None = None
    now: datetime | None = None
    monthly_budget_usd: float | None = None
    alert_emails: Sequence[str] = ()
    alert_hooks: Sequence[str] = ()
    business_hours: BusinessHours | None = None
    workspace_alerts: bool = False


class CostGuard(pulumi.ComponentResource):
    """Expiry, budget and business hours of all groups of a stack.

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
        for number, hook in enumerate(args.alert_hooks, 1):
            sns.TopicSubscription(
                f"{name}-hook-{number}", topic=topic.arn, protocol="https", endpoint=hook, opts=self._child
            )
        if args.resizes and (args.expires_at is not None or args.business_hours is not None):
            self._schedules()
        if args.monthly_budget_usd is not None or args.workspace_alerts:
            self._let_publish()
        if args.monthly_budget_usd is not None:
            self._budget(args.monthly_budget_usd)
        self.register_outputs({"topic_arn": self.topic_arn})

    def _schedules(self) -> None:
        self._role = self._caller([resize for resize, _ in self._args.resizes.values()])
        # Schedules carry no tags; their group does, which is how they are found again without the state.
        self._group = scheduler.ScheduleGroup(self._name, opts=self._child)
        if self._args.expires_at is not None:
            self._warning(self._args.expires_at)
        for model, (resize, size) in self._args.resizes.items():
            if self._args.expires_at is not None:
                self._expiry(self._args.expires_at, model, resize)
            if self._args.business_hours is not None:
                self._hours(self._args.business_hours, model, resize, size)

    def _caller(self, resizes: Sequence[Resize]) -> iam.Role:
        args = self._args
        # The group that the schedule is in; what names the role must be made after it.
        source = pulumi.Output.concat(
            f"arn:aws:scheduler:{args.region}:", args.account_id, f":schedule-group/{self._name}-*"
        )
        role = iam.Role(
            f"{self._name}-expiry",
            description="Lets the schedules size the fleet and say so",
            assume_role_policy=policies.assumed_by("scheduler", policies.on_behalf_of(args.account_id, source)),
            opts=self._child,
        )
        iam.RolePolicy(
            f"{self._name}-expiry",
            role=role.name,
            policy=policies.document(
                policies.allow([resizes[0].action], [one.resource_arn for one in resizes], sid="OwnGroupByName"),
                policies.allow(["sns:Publish"], [self.topic_arn]),
            ),
            opts=self._child,
        )
        return role

    def _expiry(self, expires_at: pulumi.Output[str], model: str, resize: Resize) -> None:
        """What has passed is not scheduled again, which AWS refuses: from then on the fleet is held at 0."""
        now, stopped = self._args.now, resize.values(STOPPED)
        stop = expires_at.apply(lambda moment: schedule_expression(moment) if is_ahead(moment, now) else AGAIN)
        self._schedule(self._label("stop", model), stop, resize.target, stopped)
        # Someone may bring an expired fleet back, by hand or with `pulumi up --refresh`: not for longer than this.
        again = self._label("keep-stopped", model)
        self._schedule(again, AGAIN, resize.target, stopped, start_date=self._if_ahead(expires_at))

    def _label(self, what: str, model: str) -> str:
        """A schedule's name has 64 characters, and a further model's is without the stack's: that is the group's."""
        return f"{self._name}-{what}" if model == MAIN_MODEL else f"{what}-{model}"

    def _warning(self, expires_at: pulumi.Output[str]) -> None:
        args = self._args

        def warned(moment: str) -> bool:
            return is_ahead(moment, args.now, before=WARNING_BEFORE)

        self._schedule(
            f"{self._name}-warn",
            expires_at.apply(lambda at: schedule_expression(at, WARNING_BEFORE) if warned(at) else AGAIN),
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
            state=expires_at.apply(lambda at: "ENABLED" if warned(at) else "DISABLED"),
        )

    def _hours(self, hours: BusinessHours, model: str, resize: Resize, size: Size) -> None:
        """They end with the stack: one that has expired must not come back the next morning. A recurring schedule calls
        before its end date, which a one-time schedule ignores
        (https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html)."""
        end = self._args.expires_at
        ends: dict[str, Any] = {}
        if end is not None:
            state = end.apply(lambda moment: "ENABLED" if is_ahead(moment, self._args.now) else "DISABLED")
            ends = {"end_date": self._if_ahead(end), "state": state}
        for what, cron, to in (("open", hours.open_cron, size), ("close", hours.close_cron, STOPPED)):
            label = self._label(what, model)
            self._schedule(label, cron, resize.target, resize.values(to), time_zone=hours.time_zone, **ends)

    def _if_ahead(self, moment: pulumi.Output[str]) -> pulumi.Output[str | None]:
        return moment.apply(lambda at: at if is_ahead(at, self._args.now) else None)

    def _schedule(
        self,
        label: str,
        expression: pulumi.Input[str],
        target_arn: str,
        target_input: Mapping[str, Any],
        time_zone: str = "UTC",
        **more: Any,
    ) -> None:
        """A call of an AWS API at its time: EventBridge Scheduler's universal target, no function of ours between."""
        scheduler.Schedule(
            label,
            group_name=self._group.name,
            schedule_expression=expression,
            schedule_expression_timezone=time_zone,
            flexible_time_window={"mode": "OFF"},
            target=scheduler.ScheduleTargetArgs(
                arn=target_arn,
                role_arn=self._role.arn,
                input=pulumi.Output.json_dumps(target_input),
                retry_policy=scheduler.ScheduleTargetRetryPolicyArgs(
                    maximum_event_age_in_seconds=RETRY_SECONDS, maximum_retry_attempts=RETRIES
                ),
            ),
            # One that stops a fleet is never aimed at another: it stays until that one is gone.
            opts=pulumi.ResourceOptions(
                parent=self, replace_on_changes=None if target_arn == PUBLISH_TARGET else ["target.input"]
            ),
            **more,
        )

    def _let_publish(self) -> None:
        """It takes the place of the policy that a topic is born with, by which alarms of the account may publish."""
        account_id, region = self._args.account_id, self._args.region
        of_budgets = pulumi.Output.concat("arn:aws:budgets::", account_id, ":*")
        of_alarms = pulumi.Output.concat(f"arn:aws:cloudwatch:{region}:", account_id, ":alarm:*")
        sid, services = "OnBehalfOfThisAccount", ["budgets", "cloudwatch"]
        statements = [self._publishing(sid, services, ["sns:Publish"], of_budgets, of_alarms)]
        if self._args.workspace_alerts:
            # https://docs.aws.amazon.com/prometheus/latest/userguide/AMP-alertmanager-receiver-AMPpermission.html
            source = pulumi.Output.concat(f"arn:aws:aps:{region}:", account_id, ":workspace/*")
            actions = ["sns:Publish", "sns:GetTopicAttributes"]
            statements.append(self._publishing("WorkspacesOfThisAccount", ["aps"], actions, source))
        document = policies.document(*statements)
        sns.TopicPolicy(f"{self._name}-alerts", arn=self.topic_arn, policy=document, opts=self._child)

    def _publishing(
        self, sid: str, services: Sequence[str], actions: Sequence[str], *sources: pulumi.Input[str]
    ) -> dict[str, Any]:
        condition = policies.on_behalf_of(self._args.account_id, *sources)
        statement = policies.allow(actions, [self.topic_arn], condition, sid=sid)
        return statement | {"Principal": {"Service": [f"{service}.amazonaws.com" for service in services]}}

    def _budget(self, limit_usd: float) -> None:
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


def is_ahead(moment: str, now: datetime | None, before: timedelta = timedelta()) -> bool:
    """Whether a moment given as RFC 3339, less `before`, can still be scheduled."""
    return now is None or datetime.fromisoformat(moment) - before > now + AHEAD


def schedule_expression(moment: str, before: timedelta = timedelta()) -> str:
    """EventBridge Scheduler's words for a moment given as RFC 3339: `at(2026-12-24T18:00:00)`, in UTC."""
    at = datetime.fromisoformat(moment).astimezone(UTC) - before
    return f"at({at:%Y-%m-%dT%H:%M:%S})"
