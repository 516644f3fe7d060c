"""Rows: who only looks. Deployer and reaper are given these, too."""

from __future__ import annotations

from tandem.ops.rights.right import VIEWER, Right, alike, by_nothing, by_tag
from tandem.tags import DECLARED_KEYS, ISSUED_KEYS

_METADATA = "metadata, no contents; these actions know no resources, or list them"


def _look(service: str, actions: str, why: str = _METADATA, on: str = "*") -> Right:
    words = "".join(part.capitalize() for part in service.split("-"))
    return by_nothing(f"{'Look' if on == '*' else 'Read'}{words}", f"{service}: {actions}", on, why)


ROWS = alike(
    _look("ec2", "Describe* GetSpotPlacementScores"),
    _look("autoscaling", "Describe*"),
    _look("elasticloadbalancing", "Describe*"),
    _look("elasticfilesystem", "Describe* ListTagsForResource"),
    _look("eks", "Describe* List*"),
    _look("acm", "DescribeCertificate ListCertificates ListTagsForCertificate"),
    _look("route53", "Get* List*"),
    _look("wafv2", "GetWebACL GetWebACLForResource ListTagsForResource ListWebACLs"),
    _look(
        "iam",
        "GetInstanceProfile GetPolicy GetRole GetRolePolicy ListAttachedRolePolicies ListInstanceProfileTags "
        "ListInstanceProfiles ListInstanceProfilesForRole ListRolePolicies ListRoleTags ListRoles "
        "SimulatePrincipalPolicy",
        "roles of the account and what they may do; `tandem doctor` asks IAM about the caller",
    ),
    _look(
        "s3",
        "GetAccelerateConfiguration GetBucket* GetEncryptionConfiguration GetLifecycleConfiguration "
        "GetReplicationConfiguration ListAllMyBuckets ListBucket ListTagsForResource",
        "settings and tags of buckets and the names in them, never an object",
    ),
    _look("secretsmanager", "DescribeSecret GetResourcePolicy ListSecrets", "names and tags, never a value"),
    by_tag(
        "ReadClients",
        "secretsmanager: GetSecretValue",
        f"secret:tandem-{{stack}}-{ISSUED_KEYS}-* secret:tandem-{{stack}}-{DECLARED_KEYS}-*",
        "names of clients and digests of their keys, from which no key can be had",
    ),
    _look(
        "logs",
        "DescribeLogGroups DescribeMetricFilters DescribeSubscriptionFilters ListTagsForResource",
        "names, retention and where lines go, never a line",
    ),
    _look(
        "cloudwatch",
        "DescribeAlarms GetDashboard GetMetricData GetMetricStatistics ListDashboards ListMetrics ListTagsForResource",
    ),
    _look("aps", "Describe* List*", "workspaces and rules, never a figure"),
    _look("grafana", "Describe* List*", "workspaces, never a dashboard"),
    _look("rds", "DescribeDBInstances DescribeDBSnapshots DescribeDBSubnetGroups ListTagsForResource"),
    _look("elasticache", "DescribeCacheSubnetGroups DescribeReplicationGroups ListTagsForResource"),
    _look("ecs", "Describe* List*", "the gateway's copies, and their settings without secrets"),
    _look("scheduler", "Get* List*"),
    _look("sns", "GetSubscriptionAttributes GetTopicAttributes List*"),
    _look("sqs", "GetQueueAttributes GetQueueUrl ListQueues ListQueueTags", "settings and tags, never a message"),
    _look("events", "DescribeRule List*"),
    _look("kms", "DescribeKey GetKeyPolicy GetKeyRotationStatus ListAliases ListKeys ListResourceTags"),
    _look("budgets", "ListTagsForResource ViewBudget"),
    _look("tag", "GetResources"),
    _look("servicequotas", "GetServiceQuota ListRequestedServiceQuotaChangeHistoryByQuota"),
    _look(
        "ce",
        "GetCostAndUsage ListCostAllocationTags",
        "what a stack has cost, and whether its tag counts; Cost Explorer has no smaller part",
    ),
    _look("savingsplans", "DescribeSavingsPlansOfferingRates", "AWS's price list of Savings Plans"),
    _look("pricing", "GetProducts", "AWS's price list"),
    _look("ssm", "DescribeParameters ListTagsForResource", "names and tags, never a value"),
    _look(
        "ssm",
        "GetParameter GetParameters GetParametersByPath",
        "AWS's own parameters, which name machine images, and those that hold stacks' names",
        "parameter/aws/service/* parameter/tandem parameter/tandem/*",
    ),
    who=(VIEWER,),
)
