"""The IAM actions that `pulumi up` and `pulumi destroy` take, as IAM names them.

Those that create, change and delete; who may do these may read as well, or hears of it at once. A test compares the
list with the calls that the rehearsal's provider makes.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.tags import stack_tags

_BOTH = {
    "ec2": "AllocateAddress AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress "
    "AuthorizeSecurityGroupIngress CreateFlowLogs CreateInternetGateway CreateLaunchTemplate "
    "CreateLaunchTemplateVersion CreateNatGateway CreateRoute CreateRouteTable CreateSecurityGroup CreateSubnet "
    "CreateTags CreateVpc CreateVpcEndpoint DeleteFlowLogs DeleteInternetGateway DeleteLaunchTemplate "
    "DeleteNatGateway DeleteRoute DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVpc "
    "DeleteVpcEndpoints DetachInternetGateway DisassociateRouteTable ModifyLaunchTemplate ModifySubnetAttribute "
    "ModifyVpcAttribute ReleaseAddress RevokeSecurityGroupEgress RevokeSecurityGroupIngress RunInstances",
    "elasticloadbalancing": "AddTags CreateListener CreateLoadBalancer CreateRule CreateTargetGroup DeleteListener "
    "DeleteLoadBalancer DeleteRule DeleteTargetGroup ModifyListener ModifyLoadBalancerAttributes "
    "ModifyTargetGroupAttributes SetSecurityGroups SetWebAcl",
    "elasticfilesystem": "CreateAccessPoint CreateFileSystem CreateMountTarget DeleteAccessPoint DeleteFileSystem "
    "DeleteMountTarget PutFileSystemPolicy PutLifecycleConfiguration TagResource",
    "iam": "AttachRolePolicy CreateRole CreateServiceLinkedRole DeleteRole DeleteRolePolicy DetachRolePolicy PassRole "
    "PutRolePolicy TagRole UpdateAssumeRolePolicy",
    "acm": "AddTagsToCertificate DeleteCertificate ImportCertificate RequestCertificate",
    "route53": "ChangeResourceRecordSets ChangeTagsForResource CreateHealthCheck DeleteHealthCheck UpdateHealthCheck",
    "wafv2": "AssociateWebACL CreateWebACL DeleteWebACL DisassociateWebACL TagResource UpdateWebACL",
    "s3": "CreateBucket DeleteBucket DeleteBucketPolicy PutBucketPolicy PutBucketPublicAccessBlock PutBucketTagging "
    "PutEncryptionConfiguration PutLifecycleConfiguration",
    "secretsmanager": "CreateSecret DeleteSecret PutSecretValue TagResource",
    "logs": "CreateLogGroup DeleteLogGroup PutRetentionPolicy TagResource",
    "scheduler": "CreateSchedule CreateScheduleGroup DeleteSchedule DeleteScheduleGroup TagResource UpdateSchedule",
    "ssm": "AddTagsToResource DeleteParameter PutParameter",
    "sns": "CreateTopic DeleteTopic SetTopicAttributes Subscribe TagResource Unsubscribe",
    "budgets": "ModifyBudget TagResource",
}
_OF_PLATFORM: Mapping[str, Mapping[str, str]] = {
    "ec2": {
        "autoscaling": "AttachLoadBalancerTargetGroups CreateAutoScalingGroup CreateOrUpdateTags "
        "DeleteAutoScalingGroup DeleteLifecycleHook DeleteScheduledAction PutLifecycleHook "
        "PutScheduledUpdateGroupAction StartInstanceRefresh UpdateAutoScalingGroup",
        "iam": "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile RemoveRoleFromInstanceProfile "
        "TagInstanceProfile",
    },
    "eks": {
        "eks": "AssociateAccessPolicy CreateAccessEntry CreateAddon CreateCluster CreateNodegroup "
        "CreatePodIdentityAssociation DeleteAccessEntry DeleteAddon DeleteCluster DeleteNodegroup "
        "DeletePodIdentityAssociation DisassociateAccessPolicy TagResource UpdateAddon UpdateClusterConfig "
        "UpdateClusterVersion UpdateNodegroupConfig UpdateNodegroupVersion",
        "kms": "CreateGrant CreateKey EnableKeyRotation ScheduleKeyDeletion TagResource",
        "sqs": "CreateQueue DeleteQueue SetQueueAttributes TagQueue",
        "events": "DeleteRule PutRule PutTargets RemoveTargets TagResource",
    },
}


def actions(platform: str) -> tuple[str, ...]:
    """What bringing up and taking down a stack of a platform asks IAM for."""
    parts = (_BOTH, _OF_PLATFORM[platform])
    return tuple(f"{service}:{name}" for part in parts for service, names in part.items() for name in names.split())


_HEX = "0123456789abcdef0"
_UUID = "12345678-1234-1234-1234-123456789012"
_RESOURCES = {
    "ec2": "vpc/vpc-{hex} subnet/subnet-{hex} security-group/sg-{hex} security-group-rule/sgr-{hex} "
    "internet-gateway/igw-{hex} route-table/rtb-{hex} elastic-ip/eipalloc-{hex} natgateway/nat-{hex} "
    "vpc-endpoint/vpce-{hex} vpc-flow-log/vpc-flow-log-{hex} launch-template/lt-{hex} instance/i-{hex}",
    "autoscaling": "autoScalingGroup:*:autoScalingGroupName/{name}",
    "elasticloadbalancing": "loadbalancer/app/{stack}-x/{hex} targetgroup/{stack}-x/{hex} "
    "listener/app/{stack}-x/{hex}/{hex} listener-rule/app/{stack}-x/{hex}/{hex}/{hex}",
    "elasticfilesystem": "file-system/fs-{hex} access-point/fsap-{hex}",
    "iam": "role/{name} instance-profile/{name}",
    "acm": "certificate/{uuid}",
    "route53": "hostedzone/{zone} healthcheck/{uuid}",
    "wafv2": "regional/webacl/{stack}-x/{uuid}",
    "s3": "{name}",
    "secretsmanager": "secret:{name}",
    "logs": "log-group:/tandem/{stack}/{hex}/hosts",
    "scheduler": "schedule-group/{name} schedule/{name}/{name}",
    "ssm": "parameter/tandem/{stack}/{hex}",
    "sns": "{name}",
    "budgets": "budget/{name}",
    "eks": "cluster/{name} nodegroup/{name}/{name}/{uuid} addon/{name}/{name}/{uuid} "
    "access-entry/{name}/role/{account}/{name}/{uuid} podidentityassociation/{name}/a-{hex}",
    "kms": "key/{uuid}",
    "sqs": "{name}",
    "events": "rule/{name}",
}
"""What `up` makes, by service, as ARNs end; https://docs.aws.amazon.com/service-authorization/latest/reference/ has
their forms."""

_NO_REGION, _NO_ACCOUNT = ("iam", "route53", "s3", "budgets"), ("route53", "s3")


def resources(service: str, partition: str, account: str, region: str, stack: str, zone: str | None) -> list[str]:
    """ARNs such as a stack's resources have: a policy may allow an action on these and not on any resource.

    Args:
        zone: the hosted zone of the stack's name.
    """
    where = "" if service in _NO_REGION else region
    owner = "" if service in _NO_ACCOUNT else account
    values = {
        "name": f"tandem-{stack}-x",
        "stack": stack,
        "account": account,
        "hex": _HEX,
        "uuid": _UUID,
        "zone": zone or "Z0123456789ABC",
    }
    return [f"arn:{partition}:{service}:{where}:{owner}:{end.format(**values)}" for end in _RESOURCES[service].split()]


def request_context(stack: str, region: str) -> list[dict[str, object]]:
    """What a request says of itself, for policies with conditions: tags and region."""
    tags = stack_tags(stack, region, ephemeral=False)
    values = {"aws:RequestedRegion": region}
    for kind in ("RequestTag", "ResourceTag"):
        values |= {f"aws:{kind}/{key}": value for key, value in tags.items()}
    return [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in values.items()
    ]
