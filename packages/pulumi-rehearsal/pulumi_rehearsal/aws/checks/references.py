"""What a resource refers to has to exist in the account."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pulumi_rehearsal.aws.account import AwsError, Region
from pulumi_rehearsal.aws.checks.base import Check, Refusal
from pulumi_rehearsal.aws.expressions import evaluate
from pulumi_rehearsal.aws.lifecycle import Resource, provided


@dataclass(frozen=True)
class Reference:
    """A kind of reference: what it looks like, and how to find the thing.

    Attributes:
        pattern: the whole value; the group `name` is what the call asks for.
        call: service and operation.
        params: expression; `ref` is the whole value, `name` the group.
        code, message: what AWS says when there is no such thing.
        at: expression on the response that is empty then, where moto answers without an error.
    """

    pattern: str
    call: tuple[str, str]
    params: str
    code: str
    message: str
    at: str = "response"


_ID = "-[0-9a-f]{8,17}"
_ARN = r"arn:aws:{}:[a-z0-9-]*:\d{{12}}:"
_NO_ENTITY = "NoSuchEntity"
_NOT_FOUND = "ResourceNotFoundException"

REFERENCES = (
    Reference(
        f"vpc{_ID}",
        ("ec2", "describe_vpcs"),
        "{VpcIds: [ref]}",
        "InvalidVpcID.NotFound",
        "The vpc ID '{ref}' does not exist",
    ),
    Reference(
        f"subnet{_ID}",
        ("ec2", "describe_subnets"),
        "{SubnetIds: [ref]}",
        "InvalidSubnetID.NotFound",
        "The subnet ID '{ref}' does not exist",
    ),
    Reference(
        f"sg{_ID}",
        ("ec2", "describe_security_groups"),
        "{GroupIds: [ref]}",
        "InvalidGroup.NotFound",
        "The security group '{ref}' does not exist",
    ),
    Reference(
        f"igw{_ID}",
        ("ec2", "describe_internet_gateways"),
        "{InternetGatewayIds: [ref]}",
        "InvalidInternetGatewayID.NotFound",
        "The internetGateway ID '{ref}' does not exist",
    ),
    Reference(
        f"rtb{_ID}",
        ("ec2", "describe_route_tables"),
        "{RouteTableIds: [ref]}",
        "InvalidRouteTableID.NotFound",
        "The routeTable ID '{ref}' does not exist",
    ),
    Reference(
        f"nat{_ID}",
        ("ec2", "describe_nat_gateways"),
        "{NatGatewayIds: [ref]}",
        "InvalidNatGatewayID.NotFound",
        "The NatGateway ID '{ref}' does not exist",
        at="NatGateways[?State != 'deleted'] | [0]",
    ),
    Reference(
        f"vpce{_ID}",
        ("ec2", "describe_vpc_endpoints"),
        "{VpcEndpointIds: [ref]}",
        "InvalidVpcEndpointId.NotFound",
        "The Vpc Endpoint Id '{ref}' does not exist",
        at="VpcEndpoints[?State != 'deleted'] | [0]",
    ),
    Reference(
        f"eipalloc{_ID}",
        ("ec2", "describe_addresses"),
        "{AllocationIds: [ref]}",
        "InvalidAllocationID.NotFound",
        "The allocation ID '{ref}' does not exist",
    ),
    Reference(
        f"lt{_ID}",
        ("ec2", "describe_launch_templates"),
        "{LaunchTemplateIds: [ref]}",
        "InvalidLaunchTemplateId.NotFound",
        "The specified launch template, with template ID {ref}, does not exist.",
        at="LaunchTemplates[0]",
    ),
    Reference(
        f"fs{_ID}",
        ("efs", "describe_file_systems"),
        "{FileSystemId: ref}",
        "FileSystemNotFound",
        "File system '{ref}' does not exist.",
    ),
    Reference(
        f"fsap{_ID}",
        ("efs", "describe_access_points"),
        "{AccessPointId: ref}",
        "AccessPointNotFound",
        "Access Point {ref} does not exist.",
    ),
    Reference(
        r"arn:aws:iam::\d{12}:role/(?:.*/)?(?P<name>[^/]+)",
        ("iam", "get_role"),
        "{RoleName: name}",
        _NO_ENTITY,
        "The role with name {name} cannot be found.",
    ),
    Reference(
        r"arn:aws:iam::\d{12}:instance-profile/(?:.*/)?(?P<name>[^/]+)",
        ("iam", "get_instance_profile"),
        "{InstanceProfileName: name}",
        _NO_ENTITY,
        "Instance Profile {name} cannot be found.",
    ),
    Reference(
        r"arn:aws:iam::(\d{12}|aws):policy/.+",
        ("iam", "get_policy"),
        "{PolicyArn: ref}",
        _NO_ENTITY,
        "Policy {ref} does not exist or is not attachable.",
    ),
    Reference(
        _ARN.format("elasticloadbalancing") + "targetgroup/.+",
        ("elbv2", "describe_target_groups"),
        "{TargetGroupArns: [ref]}",
        "TargetGroupNotFound",
        "Target groups '{ref}' not found",
    ),
    Reference(
        _ARN.format("elasticloadbalancing") + "loadbalancer/.+",
        ("elbv2", "describe_load_balancers"),
        "{LoadBalancerArns: [ref]}",
        "LoadBalancerNotFound",
        "Load balancer '{ref}' not found",
    ),
    Reference(
        _ARN.format("elasticloadbalancing") + "listener/.+",
        ("elbv2", "describe_listeners"),
        "{ListenerArns: [ref]}",
        "ListenerNotFound",
        "One or more listeners not found",
        at="Listeners[0]",
    ),
    Reference(
        _ARN.format("acm") + "certificate/.+",
        ("acm", "describe_certificate"),
        "{CertificateArn: ref}",
        _NOT_FOUND,
        "Could not find certificate {ref}.",
    ),
    Reference(
        _ARN.format("logs") + r"log-group:(?P<name>[^:]+)(:\*)?",
        ("logs", "describe_log_groups"),
        "{logGroupNamePrefix: name}",
        _NOT_FOUND,
        "The specified log group does not exist: {name}",
        at="find(logGroups, {logGroupName: name})",
    ),
    Reference(
        _ARN.format("sns") + ".+",
        ("sns", "get_topic_attributes"),
        "{TopicArn: ref}",
        "NotFound",
        "Topic does not exist: {ref}",
    ),
    Reference(
        _ARN.format("secretsmanager") + "secret:.+",
        ("secretsmanager", "describe_secret"),
        "{SecretId: ref}",
        _NOT_FOUND,
        "Secrets Manager can't find the specified secret: {ref}",
    ),
    Reference(
        _ARN.format("kms") + "key/.+",
        ("kms", "describe_key"),
        "{KeyId: ref}",
        "NotFoundException",
        "Key '{ref}' does not exist",
    ),
)


def _references(resource: Resource) -> Iterator[Refusal]:
    skip = {*provided(resource.row), "description", "userData", "policy", "assumeRolePolicy"}
    changed = {key: value for key, value in resource.inputs.items() if value != resource.old.get(key)}
    for text in sorted({text for key, value in changed.items() if key not in skip for text in _texts(value)}):
        for kind in REFERENCES:
            if match := re.fullmatch(kind.pattern, text):
                yield from _look_up(resource.region, kind, text, match.groupdict().get("name"))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _look_up(region: Region, kind: Reference, ref: str, name: str | None) -> Iterator[Refusal]:
    scope = {"ref": ref, "name": name}
    try:
        response = region.call(*kind.call, **evaluate(kind.params, scope))
        found = evaluate(kind.at, {**scope, **response, "response": response})
    except AwsError as error:
        if not error.not_found:
            raise
        found = None
    if not found:
        yield Refusal(kind.message.format_map(scope), kind.code)


CHECKS = (
    Check(
        "references",
        (),
        "What an id or ARN names has to exist.",
        "https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html",
        "apply",
        _references,
    ),
)
