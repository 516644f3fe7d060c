"""Names and ports that are taken."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_rehearsal.aws.account import AwsError
from pulumi_rehearsal.aws.checks.base import Check, Refusal, api
from pulumi_rehearsal.aws.lifecycle import Resource


def _load_balancer(balancer: Resource) -> Iterator[Refusal]:
    name = balancer.inputs["name"]
    if balancer.is_new and _exists(balancer, "elbv2", "describe_load_balancers", "LoadBalancers", Names=[name]):
        yield Refusal(f"A load balancer with the same name '{name}' exists", "DuplicateLoadBalancerName")


def _auto_scaling_group(group: Resource) -> Iterator[Refusal]:
    name = group.inputs["name"]
    found = {"AutoScalingGroupNames": [name]}
    if group.is_new and _exists(group, "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", **found):
        yield Refusal(
            f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
            "AlreadyExists",
        )


def _schedule_group(group: Resource) -> Iterator[Refusal]:
    name = group.inputs["name"]
    if group.is_new and _exists(group, "scheduler", "get_schedule_group", "Name", Name=name):
        yield Refusal(f"Schedule group {name} already exists.", "ConflictException")


def _listener(listener: Resource) -> Iterator[Refusal]:
    arn, port = listener.inputs["loadBalancerArn"], listener.inputs.get("port")
    if not listener.is_new:
        return
    others = listener.region.call("elbv2", "describe_listeners", LoadBalancerArn=arn)["Listeners"]
    if port in [other.get("Port") for other in others]:
        yield Refusal(f"A listener already exists on this port for this load balancer '{arn}'", "DuplicateListener")


def _secret_being_deleted(secret: Resource) -> Iterator[Refusal]:
    if not secret.is_new:
        return
    try:
        found = secret.region.call("secretsmanager", "describe_secret", SecretId=secret.inputs["name"])
    except AwsError as error:
        if error.not_found:
            return
        raise
    if found.get("DeletedDate"):
        yield Refusal(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
            "InvalidRequestException",
        )


def _exists(resource: Resource, service: str, operation: str, member: str, **params: object) -> bool:
    try:
        return bool(resource.region.call(service, operation, **params)[member])
    except AwsError as error:
        if error.not_found:
            return False
        raise


CHECKS = (
    Check(
        "load balancer name taken",
        ("aws:lb/loadBalancer:LoadBalancer",),
        "The name of a load balancer is unique in the region.",
        api("elb", "CreateLoadBalancer"),
        "apply",
        _load_balancer,
    ),
    Check(
        "group name taken",
        ("aws:autoscaling/group:Group",),
        "The name of an Auto Scaling group is unique in the region.",
        api("autoscaling", "CreateAutoScalingGroup"),
        "apply",
        _auto_scaling_group,
    ),
    Check(
        "schedule group name taken",
        ("aws:scheduler/scheduleGroup:ScheduleGroup",),
        "The name of a schedule group is unique in the region.",
        api("scheduler", "CreateScheduleGroup"),
        "apply",
        _schedule_group,
    ),
    Check(
        "listener port taken",
        ("aws:lb/listener:Listener",),
        "A load balancer has one listener a port.",
        api("elb", "CreateListener"),
        "apply",
        _listener,
    ),
    Check(
        "secret being deleted",
        ("aws:secretsmanager/secret:Secret",),
        "The name of a deleted secret is free again when its recovery window has ended.",
        api("secrets", "DeleteSecret"),
        "apply",
        _secret_being_deleted,
    ),
)
