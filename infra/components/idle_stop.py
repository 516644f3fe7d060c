"""The idle stop: an alarm in the account that sets the fleet to 0 when nobody has asked for so long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import pulumi
from pulumi_aws import autoscaling, cloudwatch

from tandem.timing import ALARM_LONGEST_BY_MINUTES, HOUR, MINUTE

EXPRESSION = "IF(FILL(on, 0) > 0, FILL(served, 0) + FILL(refused, 0), 1)"
"""Requests in a period in which a host was in service all along; 1 in every other. The load balancer reports nothing
where there is nothing to report, which is 0 here; its own health checks are no requests:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html"""


@dataclass(frozen=True, kw_only=True)
class IdleStopArgs:
    """What an idle stop needs.

    Attributes:
        group_name: of the fleet, whose metrics are on and whose lower bound is 0.
        load_balancer_suffix, target_group_suffix: what metrics call the load balancer, and the model's targets.
        after: so long without a request.
    """

    group_name: pulumi.Input[str]
    load_balancer_suffix: pulumi.Input[str]
    target_group_suffix: pulumi.Input[str]
    after: timedelta


class IdleStop(pulumi.ComponentResource):
    """Step scaling policy to 0, and the alarm that calls it.

    Counted are requests that a server of the model was found for, and those that the load balancer refused for want of
    one, of whatever model: it does not say of which. A host that never serves is not idle: its launch deadline and the
    expiry end it.
    """

    def __init__(self, name: str, args: IdleStopArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:IdleStop", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        stop = autoscaling.Policy(
            f"{name}-idle",
            autoscaling_group_name=args.group_name,
            policy_type="StepScaling",
            adjustment_type="ExactCapacity",
            step_adjustments=[{"scaling_adjustment": 0, "metric_interval_upper_bound": "0"}],
            opts=child,
        )
        period, periods = evaluation(args.after)
        balancer = {"LoadBalancer": args.load_balancer_suffix}
        targets = {"TargetGroup": args.target_group_suffix}

        def metric(
            id: str, namespace: str, name: str, stat: str, dimensions: Mapping[str, pulumi.Input[str]]
        ) -> cloudwatch.MetricAlarmMetricQueryArgs:
            of = cloudwatch.MetricAlarmMetricQueryMetricArgs(
                namespace=namespace, metric_name=name, period=period, stat=stat, dimensions=dimensions
            )
            return cloudwatch.MetricAlarmMetricQueryArgs(id=id, metric=of, return_data=False)

        cloudwatch.MetricAlarm(
            f"{name}-idle",
            alarm_description=f"No request for {args.after // MINUTE} minutes: the GPU hosts go to 0",
            comparison_operator="LessThanThreshold",
            threshold=1,
            evaluation_periods=periods,
            treat_missing_data="notBreaching",
            metric_queries=[
                cloudwatch.MetricAlarmMetricQueryArgs(
                    id="idle", expression=EXPRESSION, label="requests while in service", return_data=True
                ),
                metric(
                    "on",
                    "AWS/AutoScaling",
                    "GroupInServiceInstances",
                    "Minimum",
                    {"AutoScalingGroupName": args.group_name},
                ),
                metric("served", "AWS/ApplicationELB", "RequestCount", "Sum", balancer | targets),
                metric("refused", "AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", balancer),
            ],
            alarm_actions=[stop.arn],
            opts=child,
        )
        self.register_outputs({})


def evaluation(after: timedelta) -> tuple[int, int]:
    """Seconds of a period and how many of them: minutes up to a day, hours above, as CloudWatch takes them."""
    period = MINUTE if after <= ALARM_LONGEST_BY_MINUTES else HOUR
    return int(period.total_seconds()), after // period
