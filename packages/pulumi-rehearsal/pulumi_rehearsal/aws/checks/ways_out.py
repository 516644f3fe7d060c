"""Load balancers, NAT gateways and endpoints: what the network around them has to offer."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_rehearsal.aws.checks.base import Check, Refusal, api, at_path
from pulumi_rehearsal.aws.lifecycle import Resource

_LOAD_BALANCER = "aws:lb/loadBalancer:LoadBalancer"
_FREE_ADDRESSES = 8
_CONDITION_CHARACTERS = 128
_BALANCERS = "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html"


def _has_gateway(resource: Resource, vpc_id: str) -> bool:
    filters = [{"Name": "attachment.vpc-id", "Values": [vpc_id]}]
    return bool(resource.region.call("ec2", "describe_internet_gateways", Filters=filters)["InternetGateways"])


def _balancer_gateway(balancer: Resource) -> Iterator[Refusal]:
    ids = balancer.inputs.get("subnets")
    if not balancer.is_new or balancer.inputs.get("internal") or not ids:
        return
    vpc_id = balancer.region.call("ec2", "describe_subnets", SubnetIds=ids)["Subnets"][0]["VpcId"]
    if not _has_gateway(balancer, vpc_id):
        yield Refusal(f"VPC {vpc_id} has no internet gateway", "InvalidSubnet")


def _nat_gateway(gateway: Resource) -> Iterator[Refusal]:
    subnet_id = gateway.inputs["subnetId"]
    [subnet] = gateway.region.call("ec2", "describe_subnets", SubnetIds=[subnet_id])["Subnets"]
    if gateway.inputs.get("connectivityType") != "private" and not _has_gateway(gateway, subnet["VpcId"]):
        yield Refusal(f"Network {subnet['VpcId']} has no Internet gateway attached", "Gateway.NotAttached")


def _free_addresses(balancer: Resource) -> Iterator[Refusal]:
    ids = balancer.inputs.get("subnets") or []
    for subnet in balancer.region.call("ec2", "describe_subnets", SubnetIds=ids)["Subnets"] if ids else []:
        if balancer.is_new and subnet["AvailableIpAddressCount"] < _FREE_ADDRESSES:
            yield Refusal(
                f"Not enough IP space available in {subnet['SubnetId']}. ELB requires at least {_FREE_ADDRESSES} free "
                "IP addresses in each subnet.",
                "InvalidSubnet",
            )


def _one_balancer(forwarding: Resource) -> Iterator[Refusal]:
    """Of a listener, or of a rule of one."""
    inputs, call = forwarding.inputs, forwarding.region.call
    groups = [arn for _, arn in at_path(inputs, "defaultActions[].targetGroupArn")]
    groups += [arn for _, arn in at_path(inputs, "actions[].targetGroupArn")]
    balancer = inputs.get("loadBalancerArn")
    if groups and balancer is None:
        [listener] = call("elbv2", "describe_listeners", ListenerArns=[inputs["listenerArn"]])["Listeners"]
        balancer = listener["LoadBalancerArn"]
    for group in call("elbv2", "describe_target_groups", TargetGroupArns=groups)["TargetGroups"] if groups else []:
        if set(group["LoadBalancerArns"]) - {balancer}:
            yield Refusal(
                f"The following target groups cannot be associated with more than one load balancer: "
                f"{group['TargetGroupArn']}",
                "TargetGroupAssociationLimit",
            )


def _private_dns(endpoint: Resource) -> Iterator[Refusal]:
    vpc_id = endpoint.inputs["vpcId"]
    if not endpoint.inputs.get("privateDnsEnabled"):
        return
    for attribute in ("enableDnsSupport", "enableDnsHostnames"):
        found = endpoint.region.call("ec2", "describe_vpc_attribute", VpcId=vpc_id, Attribute=attribute)
        if not found[attribute[0].upper() + attribute[1:]]["Value"]:
            yield Refusal(
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true "
                f"for {vpc_id}",
                "InvalidParameter",
            )


def _health_check(group: Resource) -> Iterator[Refusal]:
    check = group.inputs.get("healthCheck") or {}
    if check.get("timeout", 5) >= check.get("interval", 30):
        yield Refusal("Health check interval must be greater than the timeout.", "ValidationError")


def _condition_length(rule: Resource) -> Iterator[Refusal]:
    for kind in ("pathPattern", "hostHeader"):
        for where, values in at_path(rule.inputs, f"conditions[].{kind}.values"):
            for value in values:
                if len(value) > _CONDITION_CHARACTERS:
                    yield Refusal(
                        f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: "
                        f"Member must have length less than or equal to {_CONDITION_CHARACTERS}",
                        "ValidationError",
                    )


CHECKS = (
    Check(
        "load balancer's way out",
        (_LOAD_BALANCER,),
        "The VPC of a load balancer that faces the internet has an internet gateway.",
        "https://github.com/openshift/installer/issues/1110",
        "apply",
        _balancer_gateway,
    ),
    Check(
        "NAT gateway's way out",
        ("aws:ec2/natGateway:NatGateway",),
        "The VPC of a public NAT gateway has an internet gateway.",
        "https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html",
        "apply",
        _nat_gateway,
    ),
    Check(
        "load balancer's addresses",
        (_LOAD_BALANCER,),
        "Each subnet of a load balancer has eight free addresses.",
        _BALANCERS,
        "apply",
        _free_addresses,
    ),
    Check(
        "target group's load balancer",
        ("aws:lb/listener:Listener", "aws:lb/listenerRule:ListenerRule"),
        "A target group serves one load balancer.",
        api("elb", "CreateListener"),
        "apply",
        _one_balancer,
    ),
    Check(
        "private names",
        ("aws:ec2/vpcEndpoint:VpcEndpoint",),
        "Private names of an endpoint need the VPC's DNS.",
        "https://docs.aws.amazon.com/vpc/latest/privatelink/interface-endpoints.html",
        "apply",
        _private_dns,
    ),
    Check(
        "health check interval",
        ("aws:lb/targetGroup:TargetGroup",),
        "A health check ends before the next one begins.",
        api("elb", "CreateTargetGroup"),
        "apply",
        _health_check,
    ),
    Check(
        "condition length",
        ("aws:lb/listenerRule:ListenerRule",),
        "A path pattern, or a host name, of a rule has 128 characters at most.",
        api("elb", "PathPatternConditionConfig"),
        "apply",
        _condition_length,
    ),
)
