"""The IAM actions that `pulumi up` and `pulumi destroy` take, as IAM names them.

Those that create, change and delete; who may do these may read as well, or hears of it at once. A test compares the
list with the calls that the rehearsal's provider makes.
"""

from __future__ import annotations

_BY_SERVICE = {
    "ec2": "AllocateAddress AssociateRouteTable AttachInternetGateway AuthorizeSecurityGroupEgress "
    "AuthorizeSecurityGroupIngress CreateFlowLogs CreateInternetGateway CreateLaunchTemplate "
    "CreateLaunchTemplateVersion CreateNatGateway CreateRoute CreateRouteTable CreateSecurityGroup CreateSubnet "
    "CreateTags CreateVpc CreateVpcEndpoint DeleteFlowLogs DeleteInternetGateway DeleteLaunchTemplate "
    "DeleteNatGateway DeleteRoute DeleteRouteTable DeleteSecurityGroup DeleteSubnet DeleteTags DeleteVpc "
    "DeleteVpcEndpoints DetachInternetGateway DisassociateRouteTable ModifyLaunchTemplate ModifySubnetAttribute "
    "ModifyVpcAttribute ReleaseAddress RevokeSecurityGroupEgress RevokeSecurityGroupIngress RunInstances",
    "autoscaling": "AttachLoadBalancerTargetGroups CreateAutoScalingGroup CreateOrUpdateTags DeleteAutoScalingGroup "
    "DeleteLifecycleHook DeleteScheduledAction PutLifecycleHook PutScheduledUpdateGroupAction StartInstanceRefresh "
    "UpdateAutoScalingGroup",
    "elasticloadbalancing": "AddTags CreateListener CreateLoadBalancer CreateRule CreateTargetGroup DeleteListener "
    "DeleteLoadBalancer DeleteRule DeleteTargetGroup ModifyListener ModifyLoadBalancerAttributes "
    "ModifyTargetGroupAttributes SetSecurityGroups SetWebAcl",
    "elasticfilesystem": "CreateAccessPoint CreateFileSystem CreateMountTarget DeleteAccessPoint DeleteFileSystem "
    "DeleteMountTarget PutFileSystemPolicy PutLifecycleConfiguration TagResource",
    "iam": "AddRoleToInstanceProfile AttachRolePolicy CreateInstanceProfile CreateRole CreateServiceLinkedRole "
    "DeleteInstanceProfile DeleteRole DeleteRolePolicy DetachRolePolicy PassRole PutRolePolicy "
    "RemoveRoleFromInstanceProfile TagInstanceProfile TagRole UpdateAssumeRolePolicy",
    "acm": "AddTagsToCertificate DeleteCertificate ImportCertificate RequestCertificate",
    "route53": "ChangeResourceRecordSets ChangeTagsForResource CreateHealthCheck DeleteHealthCheck UpdateHealthCheck",
    "wafv2": "AssociateWebACL CreateWebACL DeleteWebACL DisassociateWebACL TagResource UpdateWebACL",
    "s3": "CreateBucket DeleteBucket DeleteBucketPolicy PutBucketPolicy PutBucketPublicAccessBlock PutBucketTagging "
    "PutEncryptionConfiguration PutLifecycleConfiguration",
    "secretsmanager": "CreateSecret DeleteSecret PutSecretValue TagResource",
    "logs": "CreateLogGroup DeleteLogGroup PutRetentionPolicy TagResource",
    "scheduler": "CreateSchedule CreateScheduleGroup DeleteSchedule DeleteScheduleGroup TagResource UpdateSchedule",
    "sns": "CreateTopic DeleteTopic SetTopicAttributes Subscribe TagResource Unsubscribe",
    "budgets": "ModifyBudget TagResource",
}

ACTIONS: tuple[str, ...] = tuple(
    f"{service}:{name}" for service, names in _BY_SERVICE.items() for name in names.split()
)
