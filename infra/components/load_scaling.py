"""Hosts that follow the load: scaling policies of the group, and the alarms that call them (tandem/scaling.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import autoscaling, cloudwatch

from tandem import scaling
from tandem.alarms import NAMESPACE, dimensions
from tandem.settings import Settings

IN_SERVICE = ("AWS/AutoScaling", "GroupInServiceInstances", "Minimum")
REFUSED = ("AWS/ApplicationELB", "HTTPCode_ELB_503_Count", "Sum")


@dataclass(frozen=True, kw_only=True)
class LoadScalingArgs:
    """What hosts need to follow the load.

    Attributes:
        stack, model: by whose names hosts report.
        settings: as the model's own.
        group_name: of the fleet; its metrics are on where it may sleep.
        load_balancer_suffix: what metrics call the load balancer.
    """

    stack: str
    model: str
    settings: Settings
    group_name: pulumi.Input[str]
    load_balancer_suffix: pulumi.Input[str]


class LoadScaling(pulumi.ComponentResource):
    """Out by steps, as soon as an alarm of a high resolution calls; in by one host or a tenth, by a simple policy.

    A simple policy waits while any host starts or drains, since each of the two is a lifecycle hook, and then for its
    cooldown: it acts on figures of hosts that are all there, and never twice on the same
    (docs/decisions/0015-hosts-follow-the-load.md).
    """

    def __init__(self, name: str, args: LoadScalingArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:LoadScaling", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._out()
        self._in()
        if args.settings.sleeps:
            self._wake()
        self.register_outputs({})

    def _out(self) -> None:
        bounds = [None, *(None if upper is None else f"{upper:g}" for upper, _ in scaling.STEPS)]
        policy = self._policy(
            "out",
            policy_type="StepScaling",
            adjustment_type="PercentChangeInCapacity",
            min_adjustment_magnitude=1,
            step_adjustments=[
                {
                    "metric_interval_lower_bound": bounds[number],
                    "metric_interval_upper_bound": bounds[number + 1],
                    "scaling_adjustment": percent,
                }
                for number, (_, percent) in enumerate(scaling.STEPS)
            ],
        )
        target = self._args.settings.scaling
        self._alarm(
            "out",
            f"More than {target.running_requests_per_replica} requests a replica, or "
            f"{target.waiting_requests_per_replica} that wait: hosts come",
            policy,
            scaling.fullness(target),
            [self._own(name, "Average", scaling.FAST_PERIOD_SECONDS) for name in scaling.FAST_FIGURES],
            comparison_operator="GreaterThanThreshold",
            threshold=1,
            evaluation_periods=scaling.FAST_PERIODS,
            datapoints_to_alarm=scaling.FAST_BREACHES,
        )

    def _in(self) -> None:
        settings = self._args.settings
        policy = self._policy(
            "in",
            policy_type="SimpleScaling",
            adjustment_type="PercentChangeInCapacity",
            min_adjustment_magnitude=1,
            scaling_adjustment=-scaling.LEAVING_PERCENT,
            cooldown=scaling.slow_periods(settings.scaling) * scaling.SLOW_PERIOD_SECONDS,
        )
        figures = {**dict.fromkeys(scaling.FAST_FIGURES, "Average"), "Servers": "Sum"}
        queries = [self._own(name, stat, scaling.SLOW_PERIOD_SECONDS) for name, stat in figures.items()]
        self._alarm(
            "in",
            f"For {scaling.slow_periods(settings.scaling)} minutes hosts would have had under {scaling.ROOM:.0%} of "
            "the load that the settings want with one fewer, or a tenth: so many go",
            policy,
            scaling.fullness_without(settings),
            [*queries, *([self._in_service()] if settings.sleeps else [])],
            comparison_operator="LessThanThreshold",
            threshold=scaling.ROOM,
            evaluation_periods=scaling.slow_periods(settings.scaling),
        )

    def _wake(self) -> None:
        hosts = scaling.woken_hosts(self._args.settings)
        policy = self._policy(
            "wake",
            policy_type="StepScaling",
            adjustment_type="ChangeInCapacity",
            estimated_instance_warmup=scaling.WAKE_WARM_UP_SECONDS,
            # Those that were asked for and do not serve yet count as none, so that there are never more than these.
            step_adjustments=[{"scaling_adjustment": hosts, "metric_interval_lower_bound": "0"}],
        )
        balancer = {"LoadBalancer": self._args.load_balancer_suffix}
        self._alarm(
            "wake",
            f"A request found no host: {hosts} start",
            policy,
            scaling.WAKE,
            [
                self._own("Servers", "Sum", scaling.SLOW_PERIOD_SECONDS),
                _query("refused", *REFUSED, balancer, scaling.SLOW_PERIOD_SECONDS),
            ],
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            evaluation_periods=scaling.WAKE_PERIODS,
            datapoints_to_alarm=1,
        )

    def _policy(self, label: str, **what: Any) -> autoscaling.Policy:
        return autoscaling.Policy(
            f"{self._name}-{label}", autoscaling_group_name=self._args.group_name, opts=self._child, **what
        )

    def _own(self, figure: str, statistic: str, period: int) -> cloudwatch.MetricAlarmMetricQueryArgs:
        """A figure that hosts report."""
        of = dimensions(self._args.stack, self._args.model)
        return _query(figure.lower(), NAMESPACE, figure, statistic, of, period)

    def _in_service(self) -> cloudwatch.MetricAlarmMetricQueryArgs:
        return _query("on", *IN_SERVICE, {"AutoScalingGroupName": self._args.group_name}, scaling.SLOW_PERIOD_SECONDS)

    def _alarm(
        self,
        label: str,
        says: str,
        policy: autoscaling.Policy,
        expression: str,
        queries: Sequence[cloudwatch.MetricAlarmMetricQueryArgs],
        **when: Any,
    ) -> None:
        """Where nothing is reported nothing is done: no host goes because hosts are mute."""
        cloudwatch.MetricAlarm(
            f"{self._name}-{label}",
            alarm_description=says,
            treat_missing_data="notBreaching",
            metric_queries=[
                cloudwatch.MetricAlarmMetricQueryArgs(
                    id="result", expression=expression, label=label, return_data=True
                ),
                *queries,
            ],
            alarm_actions=[policy.arn],
            opts=self._child,
            **when,
        )


def _query(
    id: str, namespace: str, name: str, stat: str, of: Mapping[str, pulumi.Input[str]], period: int
) -> cloudwatch.MetricAlarmMetricQueryArgs:
    metric = cloudwatch.MetricAlarmMetricQueryMetricArgs(
        namespace=namespace, metric_name=name, period=period, stat=stat, dimensions=of
    )
    return cloudwatch.MetricAlarmMetricQueryArgs(id=id, metric=metric, return_data=False)
