"""Hosts leave the zones that their Auto Scaling group no longer has; moto leaves them where they are.

Another host starts in a zone that the group has and is in service before one in a zone that it left is taken out, one
after the other, unless AZRebalance is suspended:
https://docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html#AutoScalingBehavior.Rebalancing

Stands for: zone rebalancing of AWS Auto Scaling.
Held by: tests/rehearsal/aws/test_rebalancing.py::test_one_host_comes_before_another_leaves_the_zone (that guide)
"""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup

from pulumi_rehearsal.instance_refresh import is_refreshing, launch, terminate


def with_rebalancing() -> None:
    """A group takes its next step whenever somebody looks at it, once no host is on its way."""
    describe = AutoScalingBackend.describe_auto_scaling_groups

    def then_move(self: AutoScalingBackend, *args: Any, **named: Any) -> list[FakeAutoScalingGroup]:
        found = describe(self, *args, **named)
        for group in found:
            _step(group)
        return found

    AutoScalingBackend.describe_auto_scaling_groups = then_move


def _step(group: FakeAutoScalingGroup) -> None:
    subnets = (group.vpc_zone_identifier or "").split(",")
    outside = [state for state in group.instance_states if subnets[0] and state.instance.subnet_id not in subnets]
    moving = any(state.lifecycle_state != "InService" for state in group.instance_states)
    suspended = any(process["ProcessName"] == "AZRebalance" for process in group.suspended_processes)
    if not outside or moving or suspended or is_refreshing(group):
        return
    if len(group.instance_states) <= (group.desired_capacity or 0):
        launch(group)
    else:
        terminate(group, outside[0].instance_id)
