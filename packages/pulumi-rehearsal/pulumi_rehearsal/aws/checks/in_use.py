"""What is in use cannot be deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pulumi_rehearsal.aws.checks.base import Check, Refusal, api
from pulumi_rehearsal.aws.lifecycle import Resource

_VIOLATION = "DependencyViolation"


def _having(resource: Resource, operation: str, member: str, filter: str, value: str) -> list[dict[str, Any]]:
    """What EC2 lists for one filter."""
    filters = [{"Name": filter, "Values": [value]}]
    return resource.region.call("ec2", operation, Filters=filters)[member]


def _interfaces(resource: Resource, filter: str, value: str) -> list[dict[str, Any]]:
    """Network interfaces; moto keeps those of terminated instances and deleted NAT gateways, AWS does not."""
    found = _having(resource, "describe_network_interfaces", "NetworkInterfaces", filter, value)
    gone = {
        instance["InstanceId"]
        for reservation in _having(resource, "describe_instances", "Reservations", "instance-state-name", "terminated")
        for instance in reservation["Instances"]
    } | {
        address["NetworkInterfaceId"]
        for gateway in _having(resource, "describe_nat_gateways", "NatGateways", "state", "deleted")
        for address in gateway["NatGatewayAddresses"]
    }
    return [one for one in found if not gone & {one["NetworkInterfaceId"], one.get("Attachment", {}).get("InstanceId")}]


def _load_balancers(resource: Resource) -> list[dict[str, Any]]:
    return resource.region.call("elbv2", "describe_load_balancers")["LoadBalancers"]


def _security_group(group: Resource) -> Iterator[Refusal]:
    id = group.id
    used = (
        _interfaces(group, "group-id", id)
        or any(id in balancer.get("SecurityGroups", []) for balancer in _load_balancers(group))
        or any(
            id == member["GroupId"]
            for endpoint in group.region.call("ec2", "describe_vpc_endpoints")["VpcEndpoints"]
            if endpoint["State"] != "deleted"
            for member in endpoint.get("Groups", [])
        )
        or _named_by_another(group)
        or _launched_with(group)
    )
    if used:
        yield Refusal(f"resource {id} has a dependent object", _VIOLATION)


def _named_by_another(group: Resource) -> bool:
    """A rule of another group that names this one holds it."""
    return any(
        pair.get("GroupId") == group.id
        for other in group.region.call("ec2", "describe_security_groups")["SecurityGroups"]
        if other["GroupId"] != group.id
        for permission in (*other["IpPermissions"], *other["IpPermissionsEgress"])
        for pair in permission.get("UserIdGroupPairs", [])
    )


def _launched_with(group: Resource) -> bool:
    """Instances of an Auto Scaling group have the groups of their launch template; moto gives them none."""
    fleets = group.region.call("autoscaling", "describe_auto_scaling_groups")["AutoScalingGroups"]
    templates = [fleet["Instances"][0].get("LaunchTemplate") for fleet in fleets if fleet["Instances"]]
    return any(group.id in _groups_of(group, template) for template in templates if template)


def _groups_of(resource: Resource, template: dict[str, Any]) -> list[str]:
    versions = resource.region.call(
        "ec2",
        "describe_launch_template_versions",
        LaunchTemplateId=template["LaunchTemplateId"],
        Versions=[template["Version"]],
    )["LaunchTemplateVersions"]
    data = versions[0]["LaunchTemplateData"]
    interfaces = data.get("NetworkInterfaces", [])
    return [*data.get("SecurityGroupIds", []), *(id for interface in interfaces for id in interface.get("Groups", []))]


def _subnet(subnet: Resource) -> Iterator[Refusal]:
    id = subnet.id
    if (
        _interfaces(subnet, "subnet-id", id)
        or _open(_having(subnet, "describe_nat_gateways", "NatGateways", "subnet-id", id))
        or any(id == zone["SubnetId"] for lb in _load_balancers(subnet) for zone in lb["AvailabilityZones"])
    ):
        yield Refusal(f"The subnet '{id}' has dependencies and cannot be deleted.", _VIOLATION)


def _open(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Deleted gateways and endpoints can be described for a while."""
    return [thing for thing in things if thing["State"] not in ("deleted", "deleting")]


def _vpc(vpc: Resource) -> Iterator[Refusal]:
    id = vpc.id
    groups = _having(vpc, "describe_security_groups", "SecurityGroups", "vpc-id", id)
    if (
        _having(vpc, "describe_internet_gateways", "InternetGateways", "attachment.vpc-id", id)
        or [group for group in groups if group["GroupName"] != "default"]
        or _open(_having(vpc, "describe_vpc_endpoints", "VpcEndpoints", "vpc-id", id))
    ):
        yield Refusal(f"The vpc '{id}' has dependencies and cannot be deleted.", _VIOLATION)


def _internet_gateway(gateway: Resource) -> Iterator[Refusal]:
    vpc_id = gateway.inputs.get("vpcId")
    if vpc_id and _open(_having(gateway, "describe_nat_gateways", "NatGateways", "vpc-id", vpc_id)):
        yield Refusal(
            f"Network {vpc_id} has some mapped public address(es). "
            "Please unmap those public address(es) before detaching the gateway.",
            _VIOLATION,
            operation="EC2: DetachInternetGateway",
        )


def _address(address: Resource) -> Iterator[Refusal]:
    gateways = _open(address.region.call("ec2", "describe_nat_gateways")["NatGateways"])
    for gateway in gateways:
        for used in gateway["NatGatewayAddresses"]:
            if used.get("AllocationId") == address.id:
                yield Refusal(f"Address {used.get('PublicIp')} is in use.", "InvalidIPAddress.InUse")


def _protected_balancer(balancer: Resource) -> Iterator[Refusal]:
    attributes = balancer.region.call("elbv2", "describe_load_balancer_attributes", LoadBalancerArn=balancer.id)
    if {"Key": "deletion_protection.enabled", "Value": "true"} in attributes["Attributes"]:
        yield Refusal(
            f"Load balancer '{balancer.id}' cannot be deleted because deletion protection is enabled",
            "OperationNotPermitted",
        )


def _certificate(certificate: Resource) -> Iterator[Refusal]:
    for balancer in _load_balancers(certificate):
        arn = balancer["LoadBalancerArn"]
        for listener in certificate.region.call("elbv2", "describe_listeners", LoadBalancerArn=arn)["Listeners"]:
            if certificate.id in [used["CertificateArn"] for used in listener.get("Certificates", [])]:
                yield Refusal(f"Certificate {certificate.id} is in use.", "ResourceInUseException")


def _managed_policy(policy: Resource) -> Iterator[Refusal]:
    used = policy.region.call("iam", "list_entities_for_policy", PolicyArn=policy.id)
    if used["PolicyRoles"] or used["PolicyUsers"] or used["PolicyGroups"]:
        yield Refusal("Cannot delete a policy attached to entities.", "DeleteConflict")


def _web_acl(acl: Resource) -> Iterator[Refusal]:
    for balancer in _load_balancers(acl):
        found = acl.region.call("wafv2", "get_web_acl_for_resource", ResourceArn=balancer["LoadBalancerArn"])
        if (found.get("WebACL") or {}).get("Id") == acl.id:
            yield Refusal(
                "AWS WAF couldn't perform the operation because your resource is being used by another resource "
                "or it's associated with another resource.",
                "WAFAssociatedItemException",
            )


def _check(name: str, type: str, says: str, source: str, find: Any) -> Check:
    return Check(name, (type,), says, source, "delete", find)


CHECKS = (
    _check(
        "security group in use",
        "aws:ec2/securityGroup:SecurityGroup",
        "A security group that an interface has, or a rule of another group names, cannot be deleted.",
        api("ec2", "DeleteSecurityGroup"),
        _security_group,
    ),
    _check(
        "subnet in use",
        "aws:ec2/subnet:Subnet",
        "A subnet with interfaces in it cannot be deleted.",
        api("ec2", "DeleteSubnet"),
        _subnet,
    ),
    _check(
        "VPC in use",
        "aws:ec2/vpc:Vpc",
        "A VPC with anything of ours in it cannot be deleted.",
        api("ec2", "DeleteVpc"),
        _vpc,
    ),
    _check(
        "internet gateway in use",
        "aws:ec2/internetGateway:InternetGateway",
        "A gateway stays attached while the VPC has public addresses.",
        api("ec2", "DetachInternetGateway"),
        _internet_gateway,
    ),
    _check(
        "address in use",
        "aws:ec2/eip:Eip",
        "An address that a gateway has cannot be released.",
        api("ec2", "ReleaseAddress"),
        _address,
    ),
    _check(
        "deletion protection",
        "aws:lb/loadBalancer:LoadBalancer",
        "A load balancer with deletion protection cannot be deleted.",
        api("elb", "DeleteLoadBalancer"),
        _protected_balancer,
    ),
    _check(
        "certificate in use",
        "aws:acm/certificate:Certificate",
        "A certificate that a listener has cannot be deleted.",
        api("acm", "DeleteCertificate"),
        _certificate,
    ),
    _check(
        "managed policy in use",
        "aws:iam/policy:Policy",
        "A policy that is attached cannot be deleted.",
        api("iam", "DeletePolicy"),
        _managed_policy,
    ),
    _check(
        "web ACL in use",
        "aws:wafv2/webAcl:WebAcl",
        "A web ACL that is associated with a resource cannot be deleted.",
        api("waf", "DeleteWebACL"),
        _web_acl,
    ),
)
