"""Rows: the network, its security groups and launch templates."""

from __future__ import annotations

from tandem.ops.rights.right import REMOVERS, by_nothing, by_request, by_tag

_MADE = (
    "AllocateAddress CreateFlowLogs CreateInternetGateway CreateLaunchTemplate CreateNatGateway CreateRouteTable "
    "CreateSecurityGroup CreateSubnet CreateVpc CreateVpcEndpoint AuthorizeSecurityGroupEgress "
    "AuthorizeSecurityGroupIngress RunInstances"
)
_KINDS = (
    "elastic-ip/* internet-gateway/* launch-template/* natgateway/* route-table/* security-group/* subnet/* vpc/* "
    "vpc-endpoint/* vpc-flow-log/*"
)
_RULES = "security-group-rule/*"
THROUGH_A_SERVICE = {"Bool": {"aws:ViaAWSService": "true"}}
"""Only when an AWS service does it for a call that was allowed."""

ROWS = (
    by_request("MakeVpcs", "ec2: CreateVpc", "vpc/*", "each carries tandem's tags from the start"),
    by_request(
        "MakeNetwork",
        "ec2: AllocateAddress CreateInternetGateway CreateLaunchTemplate CreateRouteTable CreateSecurityGroup "
        "CreateSubnet",
        "elastic-ip/* internet-gateway/* launch-template/* route-table/* security-group/* subnet/*",
        "each carries tandem's tags from the start",
    ),
    by_request(
        "MakeWaysOut",
        "ec2: CreateFlowLogs CreateNatGateway CreateVpcEndpoint AuthorizeSecurityGroupEgress "
        "AuthorizeSecurityGroupIngress",
        "natgateway/* security-group-rule/* vpc-endpoint/* vpc-flow-log/*",
        "each carries tandem's tags from the start",
    ),
    by_tag(
        "MakeInOwnNetwork",
        "ec2: CreateFlowLogs CreateNatGateway CreateRouteTable CreateSubnet CreateVpcEndpoint",
        "elastic-ip/* natgateway/* route-table/* security-group/* subnet/* vpc/*",
        "what is made is made in a network of tandem's",
    ),
    by_nothing(
        "MakeGroupsAnywhere",
        "ec2: CreateSecurityGroup",
        "vpc/*",
        "`network.existing` is a VPC of others, without tandem's tags; the group carries them from the start",
    ),
    by_tag(
        "ChangeNetwork",
        "ec2: AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress "
        "CreateLaunchTemplateVersion CreateRoute DeleteTags ModifyLaunchTemplate ModifySubnetAttribute "
        "ModifySecurityGroupRules ModifyVpcAttribute ModifyVpcEndpoint ReplaceRoute ReplaceRouteTableAssociation",
        f"{_KINDS} {_RULES}",
        "routes, rules and attributes of one's own",
    ),
    by_tag(
        "RemoveNetwork",
        "ec2: DeleteFlowLogs DeleteInternetGateway DeleteLaunchTemplate DeleteNatGateway DeleteRoute "
        "DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteVpc DeleteVpcEndpoints DetachInternetGateway "
        "DisassociateRouteTable ReleaseAddress RevokeSecurityGroupEgress RevokeSecurityGroupIngress",
        _KINDS,
        "what AWS or an earlier run has removed already is no error",
        who=REMOVERS,
    ),
    by_nothing(
        "RemoveServicesInterfaces",
        "ec2: DeleteNetworkInterface",
        "network-interface/*",
        "EFS removes a mount target's interface, which it made without tags, with the caller's rights; only so",
        when=THROUGH_A_SERVICE,
        who=REMOVERS,
    ),
    by_nothing(
        "RemovePodsInterfaces",
        "ec2: DeleteNetworkInterface",
        "network-interface/*",
        "the cluster's network plugin makes a pod's interface without tandem's tags, and leaves it when its node "
        "ends first; one that is attached cannot be deleted",
        when={"Null": {"aws:ResourceTag/node.k8s.amazonaws.com/instance_id": "false"}},
        platform="eks",
        who=REMOVERS,
    ),
    by_nothing(
        "RemoveClustersGroups",
        "ec2: DeleteSecurityGroup",
        "security-group/*",
        "EKS makes a cluster's own group, with its name as the tag, and leaves it when an interface still has it",
        when={"StringLike": {"aws:ResourceTag/aws:eks:cluster-name": "tandem-*"}},
        platform="eks",
        who=REMOVERS,
    ),
    by_nothing(
        "MakeServicesInterfaces",
        "ec2: CreateNetworkInterface",
        "network-interface/* security-group/* subnet/*",
        "EFS makes a mount target's interface, without tags, with the caller's rights; only so",
        when=THROUGH_A_SERVICE,
    ),
    by_request(
        "TagWithCreation",
        "ec2: CreateTags",
        f"{_KINDS} {_RULES} instance/* network-interface/* volume/*",
        "tags are given with the call that creates",
        when={"StringEquals": {"ec2:CreateAction": _MADE.split()}},
    ),
    by_tag("TagOwn", "ec2: CreateTags", f"{_KINDS} {_RULES}", "later changes of tags"),
    by_request(
        "TagDefaultGroup",
        "ec2: CreateTags",
        "security-group/*",
        "a VPC's default group is born without tags, and is tagged before its rules are taken away; any group "
        "without a Name can be claimed so",
        when={"Null": {"aws:ResourceTag/Name": "true"}},
    ),
)
