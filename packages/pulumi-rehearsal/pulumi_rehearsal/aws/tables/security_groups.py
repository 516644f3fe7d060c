"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.aws.phrases import GIVEN_LATER, ec2_tags, filters
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Step, Text, change

_GROUP_ARN = Text("arn:{partition}:ec2:{region}:{account}:security-group/{id}")

_READ = Call("describe_security_groups", "{GroupIds: [id]}", at="SecurityGroups[0]")

_REVOKE_ALL = (
    Call("describe_security_groups", "{GroupIds: [id]}", at="SecurityGroups[0]", into="before"),
    Call(
        "revoke_security_group_ingress",
        "{GroupId: id, IpPermissions: found.before.IpPermissions}",
        when="found.before.IpPermissions",
    ),
    Call(
        "revoke_security_group_egress",
        "{GroupId: id, IpPermissions: found.before.IpPermissionsEgress}",
        when="found.before.IpPermissionsEgress",
    ),
)


def _set_rules(direction: str) -> Step:
    """Inline rules: `self` and several sources in one rule are more than an expression says."""

    def permissions(resource: Resource, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [_permission(resource.id, rule) for rule in rules]

    def step(resource: Resource) -> None:
        old, new = (source.get(direction) or [] for source in (resource.old, resource.inputs))
        for operation, rules in (
            (f"revoke_security_group_{direction}", [rule for rule in old if rule not in new]),
            (f"authorize_security_group_{direction}", [rule for rule in new if rule not in old]),
        ):
            if rules:
                resource.region.call("ec2", operation, GroupId=resource.id, IpPermissions=permissions(resource, rules))

    return step


def _permission(group_id: str, rule: dict[str, Any]) -> dict[str, Any]:
    note = {"Description": rule["description"]} if rule.get("description") else {}
    groups = [*(rule.get("securityGroups") or []), *([group_id] if rule.get("self") else [])]
    return {
        "IpProtocol": rule["protocol"],
        "FromPort": rule["fromPort"],
        "ToPort": rule["toPort"],
        "IpRanges": [{"CidrIp": cidr, **note} for cidr in rule.get("cidrBlocks") or []],
        "Ipv6Ranges": [{"CidrIpv6": cidr, **note} for cidr in rule.get("ipv6CidrBlocks") or []],
        "PrefixListIds": [{"PrefixListId": id, **note} for id in rule.get("prefixListIds") or []],
        "UserIdGroupPairs": [{"GroupId": id, **note} for id in groups],
    }


SECURITY_GROUP = ResourceType(
    type="aws:ec2/securityGroup:SecurityGroup",
    service="ec2",
    create=Call("create_security_group", fill=True),
    id="result.GroupId",
    # AWS gives every new group a rule that lets everything out; the provider takes it away
    after_create=_REVOKE_ALL,
    read=_READ,
    changes=(change("ingress", by=_set_rules("ingress")), change("egress", by=_set_rules("egress"))),
    delete=Call("delete_security_group", "{GroupId: id}"),
    tags=ec2_tags("security-group"),
    autoname=AutoName(),
    outputs={"arn": _GROUP_ARN},
    names={"name": "GroupName"},
    defaults={"description": "Managed by Pulumi"},
    unread=("ingress", "egress"),  # what is described holds the rules that are resources of their own, too
    provider_only=("namePrefix", "revokeRulesOnDelete"),
)

DEFAULT_SECURITY_GROUP = ResourceType(
    type="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    service="ec2",
    # it comes with the VPC; the provider adopts it and takes all its rules away
    create=Call("describe_security_groups", filters({"vpc-id": "inputs.vpcId", "group-name": "'default'"})),
    id="result.SecurityGroups[0].GroupId",
    after_create=_REVOKE_ALL,
    read=_READ,
    changes=(change("ingress", by=_set_rules("ingress")), change("egress", by=_set_rules("egress"))),
    tags=GIVEN_LATER,
    outputs={"arn": _GROUP_ARN, "name": "found.GroupName"},
    unread=("ingress", "egress"),
    provider_only=("revokeRulesOnDelete",),
)


def _rule(direction: str) -> ResourceType:
    note = "Description: inputs.description"
    sources = (
        f"IpRanges: inputs.cidrIpv4 && [{{CidrIp: inputs.cidrIpv4, {note}}}], "
        f"Ipv6Ranges: inputs.cidrIpv6 && [{{CidrIpv6: inputs.cidrIpv6, {note}}}], "
        f"PrefixListIds: inputs.prefixListId && [{{PrefixListId: inputs.prefixListId, {note}}}], "
        "UserIdGroupPairs: inputs.referencedSecurityGroupId && "
        f"[{{GroupId: inputs.referencedSecurityGroupId, {note}}}]"
    )
    ports = "IpProtocol: inputs.ipProtocol, FromPort: inputs.fromPort, ToPort: inputs.toPort"
    title = direction.capitalize()
    return ResourceType(
        type=f"aws:vpc/securityGroup{title}Rule:SecurityGroup{title}Rule",
        service="ec2",
        create=Call(
            f"authorize_security_group_{direction}",
            f"{{GroupId: inputs.securityGroupId, IpPermissions: [{{{ports}, {sources}}}]}}",
        ),
        id="result.SecurityGroupRules[0].SecurityGroupRuleId",
        read=Call("describe_security_group_rules", "{SecurityGroupRuleIds: [id]}", at="SecurityGroupRules[0]"),
        update=Call(
            "modify_security_group_rules",
            "{GroupId: inputs.securityGroupId, SecurityGroupRules: [{SecurityGroupRuleId: id, SecurityGroupRule: {"
            f"{ports}, CidrIpv4: inputs.cidrIpv4, CidrIpv6: inputs.cidrIpv6, PrefixListId: inputs.prefixListId, "
            f"ReferencedGroupId: inputs.referencedSecurityGroupId, {note}}}}}]}}",
        ),
        delete=Call(
            f"revoke_security_group_{direction}", "{GroupId: inputs.securityGroupId, SecurityGroupRuleIds: [id]}"
        ),
        tags=ec2_tags("security-group-rule"),
        outputs={
            "arn": Text("arn:{partition}:ec2:{region}:{account}:security-group-rule/{id}"),
            "referencedSecurityGroupId": "found.ReferencedGroupInfo.GroupId",
            "securityGroupId": "found.GroupId",
        },
        replaces=("securityGroupId",),
    )


ROWS = (SECURITY_GROUP, DEFAULT_SECURITY_GROUP, _rule("ingress"), _rule("egress"))
