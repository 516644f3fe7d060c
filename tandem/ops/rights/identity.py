"""Rows: the roles that stacks make, and to whom they may be given."""

from __future__ import annotations

from tandem.ops.rights.right import BOUNDED, DEPLOYER, REAPER, By, Right

ROLES, PROFILES = "role/tandem-{stack}-*", "instance-profile/tandem-{stack}-*"
ATTACHED = ("AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy")
"""AWS's own policies that nodes have; infra/components/cluster.py gives the reasons."""
SERVICES = ("ec2", "ecs-tasks", "eks", "grafana", "logs", "pods.eks", "scheduler", "vpc-flow-logs")
LINKED = (
    *("autoscaling", "ecs", "eks", "eks-nodegroup", "elasticache", "elasticfilesystem", "elasticloadbalancing"),
    *("grafana", "rds", "spot"),
)

ROWS = (
    Right(
        sid="MakeRoles",
        service="iam",
        actions="CreateRole",
        on=ROLES,
        by=By.REQUEST,
        when=BOUNDED,
        why="each carries tandem's tags from the start, a name of tandem's, and the boundary",
    ),
    Right(
        sid="TagRoles",
        service="iam",
        actions="TagRole",
        on=ROLES,
        by=By.REQUEST,
        why="tags are given with the call that creates; the names are tandem's",
    ),
    Right(
        sid="EmpowerRoles",
        service="iam",
        actions="PutRolePermissionsBoundary PutRolePolicy",
        on=ROLES,
        by=By.TAG,
        when=BOUNDED,
        why="what hosts, pods and schedules may do, which is never more than the boundary",
    ),
    Right(
        sid="ChangeRoles",
        service="iam",
        actions="TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
        on=ROLES,
        by=By.TAG,
        why="who may have them, and what they are called",
    ),
    Right(
        sid="AttachAwssPolicies",
        service="iam",
        actions="AttachRolePolicy",
        on=ROLES,
        by=By.TAG,
        platform="eks",
        when={**BOUNDED, "ArnEquals": {"iam:PolicyARN": [f"arn:aws:iam::aws:policy/{name}" for name in ATTACHED]}},
        why="these three and no other, to roles with the boundary",
    ),
    Right(
        sid="RemoveRoles",
        service="iam",
        actions="DeleteRole DeleteRolePolicy DetachRolePolicy",
        on=ROLES,
        by=By.TAG,
        why="with what they may do",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="GiveRoles",
        service="iam",
        actions="PassRole",
        on=ROLES,
        by=By.NAME,
        when={"StringEquals": {"iam:PassedToService": [f"{name}.amazonaws.com" for name in SERVICES]}},
        why="to the services that a stack uses; IAM does not look at tags here",
    ),
    Right(
        sid="MakeProfiles",
        service="iam",
        actions="CreateInstanceProfile TagInstanceProfile",
        on=PROFILES,
        by=By.REQUEST,
        platform="ec2",
        why="each carries tandem's tags from the start, and a name of tandem's",
    ),
    Right(
        sid="ChangeProfiles",
        service="iam",
        actions="AddRoleToInstanceProfile TagInstanceProfile UntagInstanceProfile",
        on=PROFILES,
        by=By.TAG,
        platform="ec2",
        why="the hosts' role",
    ),
    Right(
        sid="RemoveProfiles",
        service="iam",
        actions="DeleteInstanceProfile RemoveRoleFromInstanceProfile",
        on=PROFILES,
        by=By.TAG,
        why="the hosts' role, and those that Karpenter left",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="LetAwsServicesWork",
        service="iam",
        actions="CreateServiceLinkedRole",
        on="role/aws-service-role/*",
        by=By.NAME,
        when={"StringEquals": {"iam:AWSServiceName": [f"{name}.amazonaws.com" for name in LINKED]}},
        why="once for each account; AWS wrote what they may do",
    ),
)
