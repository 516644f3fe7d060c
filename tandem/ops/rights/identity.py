"""Rows: the roles that stacks make, and to whom they may be given."""

from __future__ import annotations

from tandem.ops.rights.right import BOUNDED, FIRST, REMOVERS, by_name, by_request, by_tag

ROLES, PROFILES = "role/tandem-{stack}-*", "instance-profile/tandem-{stack}-*"
ATTACHED = ("AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy")
"""AWS's own policies that nodes have; infra/components/cluster.py gives the reasons."""
SERVICES = ("ec2", "ecs-tasks", "eks", "grafana", "logs", "pods.eks", "scheduler", "vpc-flow-logs")
LINKED = (
    *("autoscaling", "ecs", "eks", "eks-nodegroup", "elasticache", "elasticfilesystem", "elasticloadbalancing"),
    *("grafana", "rds", "spot"),
)

ROWS = (
    by_request(
        "MakeRoles",
        "iam: CreateRole",
        ROLES,
        "each carries tandem's tags from the start, a name of tandem's, and the boundary",
        when=BOUNDED,
    ),
    by_request("TagRoles", "iam: TagRole", ROLES, "tags are given with the call that creates; the names are tandem's"),
    by_tag(
        "EmpowerRoles",
        "iam: PutRolePermissionsBoundary PutRolePolicy",
        ROLES,
        "what hosts, pods and schedules may do, which is never more than the boundary",
        when=BOUNDED,
    ),
    by_tag(
        "ChangeRoles",
        "iam: TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
        ROLES,
        "who may have them, and what they are called",
    ),
    by_tag(
        "AttachAwssPolicies",
        "iam: AttachRolePolicy",
        ROLES,
        "these three and no other, to roles with the boundary",
        platform="eks",
        when={**BOUNDED, "ArnEquals": {"iam:PolicyARN": [f"arn:aws:iam::aws:policy/{name}" for name in ATTACHED]}},
    ),
    by_tag(
        "RemoveRoles", "iam: DeleteRole DeleteRolePolicy DetachRolePolicy", ROLES, "with what they may do", who=REMOVERS
    ),
    by_name(
        "GiveRoles",
        "iam: PassRole",
        ROLES,
        "to the services that a stack uses; IAM does not look at tags here",
        when={"StringEquals": {"iam:PassedToService": [f"{name}.amazonaws.com" for name in SERVICES]}},
    ),
    by_request("MakeProfiles", "iam: CreateInstanceProfile TagInstanceProfile", PROFILES, FIRST, platform="ec2"),
    by_tag(
        "ChangeProfiles",
        "iam: AddRoleToInstanceProfile TagInstanceProfile UntagInstanceProfile",
        PROFILES,
        "the hosts' role",
        platform="ec2",
    ),
    by_tag(
        "RemoveProfiles",
        "iam: DeleteInstanceProfile RemoveRoleFromInstanceProfile",
        PROFILES,
        "the hosts' role, and those that Karpenter left",
        who=REMOVERS,
    ),
    by_name(
        "LetAwsServicesWork",
        "iam: CreateServiceLinkedRole",
        "role/aws-service-role/*",
        "once for each account; AWS wrote what they may do",
        when={"StringEquals": {"iam:AWSServiceName": [f"{name}.amazonaws.com" for name in LINKED]}},
    ),
)
