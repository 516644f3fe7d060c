"""Rules that moto keeps by itself, named so that tests see each of them broken: moto may forget one."""

from __future__ import annotations

from pulumi_rehearsal.aws.checks.base import Check, Stage, api

_BUDGET = "https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_budgets_CreateBudget.html"


def _kept(name: str, type: str, says: str, source: str, at: Stage = "apply") -> Check:
    return Check(name, (f"aws:{type}",), says, source, at, lambda _: ())


CHECKS = (
    _kept("VPC range", "ec2/vpc:Vpc", "A VPC's range is /16 to /28.", api("ec2", "CreateVpc")),
    _kept("subnet overlap", "ec2/subnet:Subnet", "Subnets of a VPC do not overlap.", api("ec2", "CreateSubnet")),
    _kept("subnet range", "ec2/subnet:Subnet", "A subnet lies in its VPC's range.", api("ec2", "CreateSubnet")),
    _kept("route taken", "ec2/route:Route", "A table has one route to a destination.", api("ec2", "CreateRoute")),
    _kept(
        "security group name taken",
        "ec2/securityGroup:SecurityGroup",
        "The name of a security group is unique in its VPC.",
        api("ec2", "CreateSecurityGroup"),
    ),
    _kept(
        "rule taken",
        "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "A security group has a rule once.",
        api("ec2", "AuthorizeSecurityGroupIngress"),
    ),
    _kept(
        "launch template name taken",
        "ec2/launchTemplate:LaunchTemplate",
        "The name of a launch template is unique in the region.",
        api("ec2", "CreateLaunchTemplate"),
    ),
    _kept(
        "route table in use",
        "ec2/routeTable:RouteTable",
        "A route table that a subnet has cannot be deleted.",
        api("ec2", "DeleteRouteTable"),
        "delete",
    ),
    _kept(
        "log group taken",
        "cloudwatch/logGroup:LogGroup",
        "The name of a log group is unique in the region.",
        api("logs", "CreateLogGroup"),
    ),
    _kept("parameter taken", "ssm/parameter:Parameter", "A parameter is made once.", api("ssm", "PutParameter")),
    _kept("secret taken", "secretsmanager/secret:Secret", "A secret is made once.", api("secrets", "CreateSecret")),
    _kept("budget taken", "budgets/budget:Budget", "A budget's name is unique in the account.", _BUDGET),
    _kept(
        "record taken",
        "route53/record:Record",
        "CREATE is refused for a record set that exists.",
        api("route53", "ChangeResourceRecordSets"),
    ),
    _kept(
        "zone in use",
        "route53/zone:Zone",
        "A hosted zone with records of ours cannot be deleted.",
        api("route53", "DeleteHostedZone"),
        "delete",
    ),
    _kept(
        "target group name taken",
        "lb/targetGroup:TargetGroup",
        "The name of a target group is unique in the region.",
        api("elb", "CreateTargetGroup"),
    ),
    _kept(
        "target group in use",
        "lb/targetGroup:TargetGroup",
        "A target group that a rule forwards to cannot be deleted.",
        api("elb", "DeleteTargetGroup"),
        "delete",
    ),
    _kept("role taken", "iam/role:Role", "The name of a role is unique in the account.", api("iam", "CreateRole")),
    _kept(
        "role with policies",
        "iam/role:Role",
        "A role with policies cannot be deleted.",
        api("iam", "DeleteRole"),
        "delete",
    ),
    _kept(
        "role of a profile",
        "iam/role:Role",
        "A role in an instance profile cannot be deleted.",
        api("iam", "DeleteRole"),
        "delete",
    ),
    _kept(
        "policy document",
        "iam/rolePolicy:RolePolicy",
        "A policy is one in IAM's language.",
        api("iam", "PutRolePolicy"),
    ),
    _kept("alias taken", "kms/alias:Alias", "The name of an alias is unique in the region.", api("kms", "CreateAlias")),
    _kept(
        "file system with mount targets",
        "efs/fileSystem:FileSystem",
        "A file system with mount targets cannot be deleted.",
        "https://docs.aws.amazon.com/efs/latest/ug/API_DeleteFileSystem.html",
        "delete",
    ),
    _kept(
        "bucket with objects",
        "s3/bucket:Bucket",
        "A bucket with objects cannot be deleted.",
        api("s3", "DeleteBucket"),
        "delete",
    ),
    _kept(
        "object tags",
        "s3/bucketObjectv2:BucketObjectv2",
        "An object has ten tags at most.",
        api("s3", "PutObjectTagging"),
    ),
    _kept(
        "tags in Route 53",
        "route53/healthCheck:HealthCheck",
        "A call adds ten tags at most to a zone or a health check.",
        api("route53", "ChangeTagsForResource"),
    ),
    _kept(
        "cluster with node groups",
        "eks/cluster:Cluster",
        "A cluster with node groups cannot be deleted.",
        api("eks", "DeleteCluster"),
        "delete",
    ),
    _kept("tag count", "ec2/vpc:Vpc", "A resource has 50 tags at most.", api("ec2", "CreateTags")),
    _kept(
        "tags in capitals",
        "iam/role:Role",
        "Keys of IAM's tags differ in more than capitals.",
        "https://github.com/github-aws-runners/terraform-aws-github-runner/pull/1346",
    ),
    _kept(
        "rules of a group",
        "ec2/securityGroup:SecurityGroup",
        "A security group has 60 rules in a direction at most.",
        "https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html",
    ),
    _kept(
        "mount target of a zone",
        "efs/mountTarget:MountTarget",
        "A file system has one mount target in a zone.",
        "https://docs.aws.amazon.com/efs/latest/ug/API_CreateMountTarget.html",
    ),
    _kept("priority taken", "lb/listenerRule:ListenerRule", "A priority is one rule's.", api("elb", "CreateRule")),
    _kept(
        "template version",
        "autoscaling/group:Group",
        "A group's version of its launch template exists.",
        api("autoscaling", "LaunchTemplateSpecification"),
    ),
    _kept(
        "cluster taken",
        "eks/cluster:Cluster",
        "The name of a cluster is unique in the region.",
        api("eks", "CreateCluster"),
    ),
    _kept(
        "node group taken",
        "eks/nodeGroup:NodeGroup",
        "The name of a node group is unique in its cluster.",
        api("eks", "CreateNodegroup"),
    ),
)
