"""The gateway for teams, as AWS tells: copies as targets of the load balancer, and the state of their database."""

from __future__ import annotations

from tandem import type_tokens as types
from tandem.ops.kinds import KINDS, gateway_targets, ours
from tandem.ops.kinds.kind import Clients, Scope
from tandem.ops.status.report import Absent, Gateway, Unknown


def gateway(clients: Clients, stack: str, stack_id: str | None) -> Gateway | Unknown:
    """Alike on both platforms.

    Raises:
        botocore's errors.
    """
    clusters = ours(clients, stack, types.SERVICES, stack_id)
    services = [one for cluster in clusters for one in KINDS[types.SERVICE].find(Scope(clients, stack, cluster))]
    if not services:
        return Absent("the stack has no service of ECS in this account and region")
    elb = clients("elbv2")
    ready = sum(
        target["TargetHealth"]["State"] == "healthy"
        for group in gateway_targets(clients, stack, stack_id)
        for target in elb.describe_target_health(TargetGroupArn=group.arn)["TargetHealthDescriptions"]
    )
    databases = ours(clients, stack, types.DATABASE, stack_id)
    return Gateway(
        ready=ready,
        wanted=services[0].facts["desiredCount"],
        database=databases[0].facts["DBInstanceStatus"] if databases else "missing",
    )
