"""Rows: the network, its security groups and launch templates."""

from __future__ import annotations

from tandem.ops.rights.right import DEPLOYER, REAPER, By, Right

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
    Right(
        sid="MakeVpcs",
        service="ec2",
        actions="CreateVpc",
        on="vpc/*",
        by=By.REQUEST,
        why="each carries tandem's tags from the start",
    ),
    Right(
        sid="MakeNetwork",
        service="ec2",
        actions="AllocateAddress CreateInternetGateway CreateLaunchTemplate CreateRouteTable CreateSecurityGroup "
        "CreateSubnet",
        on="elastic-ip/* internet-gateway/* launch-template/* route-table/* security-group/* subnet/*",
        by=By.REQUEST,
        why="each carries tandem's tags from the start",
    ),
    Right(
        sid="MakeWaysOut",
        service="ec2",
        actions="CreateFlowLogs CreateNatGateway CreateVpcEndpoint AuthorizeSecurityGroupEgress "
        "AuthorizeSecurityGroupIngress",
        on="natgateway/* security-group-rule/* vpc-endpoint/* vpc-flow-log/*",
        by=By.REQUEST,
        why="each carries tandem's tags from the start",
    ),
    Right(
        sid="MakeInOwnNetwork",
        service="ec2",
        actions="CreateFlowLogs CreateNatGateway CreateRouteTable CreateSubnet CreateVpcEndpoint",
        on="elastic-ip/* natgateway/* route-table/* security-group/* subnet/* vpc/*",
        by=By.TAG,
        why="what is made is made in a network of tandem's",
    ),
    Right(
        sid="MakeGroupsAnywhere",
        service="ec2",
        actions="CreateSecurityGroup",
        on="vpc/*",
        by=By.NOTHING,
        why="`network.existing` is a VPC of others, without tandem's tags; the group carries them from the start",
    ),
    Right(
        sid="ChangeNetwork",
        service="ec2",
        actions="AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress AuthorizeSecurityGroupIngress "
        "CreateLaunchTemplateVersion CreateRoute DeleteTags ModifyLaunchTemplate ModifySubnetAttribute "
        "ModifySecurityGroupRules ModifyVpcAttribute ModifyVpcEndpoint ReplaceRoute ReplaceRouteTableAssociation",
        on=f"{_KINDS} {_RULES}",
        by=By.TAG,
        why="routes, rules and attributes of one's own",
    ),
    Right(
        sid="RemoveNetwork",
        service="ec2",
        actions="DeleteFlowLogs DeleteInternetGateway DeleteLaunchTemplate DeleteNatGateway DeleteRoute "
        "DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteVpc DeleteVpcEndpoints DetachInternetGateway "
        "DisassociateRouteTable ReleaseAddress RevokeSecurityGroupEgress RevokeSecurityGroupIngress",
        on=_KINDS,
        by=By.TAG,
        why="what AWS or an earlier run has removed already is no error",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="RemoveServicesInterfaces",
        service="ec2",
        actions="DeleteNetworkInterface",
        on="network-interface/*",
        by=By.NOTHING,
        when=THROUGH_A_SERVICE,
        why="EFS removes a mount target's interface, which it made without tags, with the caller's rights; only so",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="RemovePodsInterfaces",
        service="ec2",
        actions="DeleteNetworkInterface",
        on="network-interface/*",
        by=By.NOTHING,
        when={"Null": {"aws:ResourceTag/node.k8s.amazonaws.com/instance_id": "false"}},
        platform="eks",
        why="the cluster's network plugin makes a pod's interface without tandem's tags, and leaves it when its node "
        "ends first; one that is attached cannot be deleted",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="RemoveClustersGroups",
        service="ec2",
        actions="DeleteSecurityGroup",
        on="security-group/*",
        by=By.NOTHING,
        when={"StringLike": {"aws:ResourceTag/aws:eks:cluster-name": "tandem-*"}},
        platform="eks",
        why="EKS makes a cluster's own group, with its name as the tag, and leaves it when an interface still has it",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="MakeServicesInterfaces",
        service="ec2",
        actions="CreateNetworkInterface",
        on="network-interface/* security-group/* subnet/*",
        by=By.NOTHING,
        when=THROUGH_A_SERVICE,
        why="EFS makes a mount target's interface, without tags, with the caller's rights; only so",
    ),
    Right(
        sid="TagWithCreation",
        service="ec2",
        actions="CreateTags",
        on=f"{_KINDS} {_RULES} instance/* network-interface/* volume/*",
        by=By.REQUEST,
        when={"StringEquals": {"ec2:CreateAction": _MADE.split()}},
        why="tags are given with the call that creates",
    ),
    Right(
        sid="TagOwn",
        service="ec2",
        actions="CreateTags",
        on=f"{_KINDS} {_RULES}",
        by=By.TAG,
        why="later changes of tags",
    ),
    Right(
        sid="TagDefaultGroup",
        service="ec2",
        actions="CreateTags",
        on="security-group/*",
        by=By.REQUEST,
        when={"Null": {"aws:ResourceTag/Name": "true"}},
        why="a VPC's default group is born without tags, and is tagged before its rules are taken away; any group "
        "without a Name can be claimed so",
    ),
)
