"""Rows: storage, secrets, messages, schedules, budgets and identities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError

from infra.tags import PARAMETER_PATH, PROJECT, PROJECT_TAG
from ops.kinds import types
from ops.kinds.kind import LEFT_BY, Found, Item, Kind, Scope, listed, named, tag_map

SECRET_RECOVERY_DAYS = 7
"""The shortest that Secrets Manager allows: a deleted secret costs nothing meanwhile and can be restored."""
OUR_SECRETS: Mapping[str, Any] = {
    "Filters": [{"Key": "tag-key", "Values": [PROJECT_TAG]}, {"Key": "tag-value", "Values": [PROJECT]}]
}
"""Those that have both words somewhere in their tags' keys and values, as Secrets Manager searches them."""


def _of_file_system(scope: Scope) -> dict[str, str]:
    return {"FileSystemId": scope.parent_id}


def _file_system(efs: Any, arn: str) -> Item | None:
    return _there(efs.describe_file_systems(FileSystemId=arn.rpartition("/")[2])["FileSystems"])


def _access_point(efs: Any, arn: str) -> Item | None:
    return _there(efs.describe_access_points(AccessPointId=arn.rpartition("/")[2])["AccessPoints"])


def _there(found: Iterable[Item]) -> Item | None:
    """EFS still tells for a while of what is deleted."""
    return next((one for one in found if one["LifeCycleState"] != "deleted"), None)


def _bucket_tags(s3: Any, item: Item) -> dict[str, str]:
    try:
        return tag_map(s3.get_bucket_tagging(Bucket=item["Name"])["TagSet"])
    except ClientError as error:
        # Untagged, gone meanwhile, or somebody's with a policy of its own: not ours in any case.
        if error.response["Error"]["Code"] in ("NoSuchTagSet", "NoSuchBucket", "AccessDenied"):
            return {}
        raise


def _delete_bucket(s3: Any, bucket: Found) -> None:
    versions = s3.get_paginator("list_object_versions").paginate(Bucket=bucket.id)
    for page in versions:
        objects = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if objects:
            s3.delete_objects(Bucket=bucket.id, Delete={"Objects": objects, "Quiet": True})
    s3.delete_bucket(Bucket=bucket.id)


def _log_groups(logs: Any, scope: Scope) -> Iterator[Item]:
    """Of the thousands that an account may have, those with our names; others come from the tagging API."""
    for prefix in ("/tandem/", "tandem-"):
        yield from _log_groups_from(logs, scope, prefix)
    for left in (one for one in scope.known if one.left_by):
        known = {LEFT_BY: left.left_by, "tags": left.tags}
        found = _log_groups_from(logs, scope, left.id)
        yield from ({**item, **known} for item in found if item["logGroupName"] == left.id)


def _log_groups_from(logs: Any, scope: Scope, prefix: str) -> Iterable[Item]:
    return listed("describe_log_groups", "logGroups", lambda _scope: {"logGroupNamePrefix": prefix})(logs, scope)


def _log_tags(logs: Any, item: Item) -> Mapping[str, str]:
    if LEFT_BY in item:
        return item["tags"]
    return logs.list_tags_for_resource(resourceArn=item["arn"].removesuffix(":*"))["tags"]


def _parameter_tags(ssm: Any, item: Item) -> dict[str, str]:
    return tag_map(ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=item["Name"])["TagList"])


def _roles(iam: Any, scope: Scope) -> Iterator[Item]:
    """By name first: an account's roles are many, and each answers with its tags to a call of its own."""
    roles = listed("list_roles", "Roles", page_size=1000)(iam, scope)
    return (item for item in roles if item["RoleName"].startswith("tandem-"))


def _profiles(iam: Any, scope: Scope) -> Iterator[Item]:
    profiles = listed("list_instance_profiles", "InstanceProfiles", page_size=1000)(iam, scope)
    return (item for item in profiles if item["InstanceProfileName"].startswith("tandem-"))


def _profile_tags(iam: Any, item: Item) -> dict[str, str]:
    answer = iam.get_instance_profile(InstanceProfileName=item["InstanceProfileName"])
    return tag_map(answer["InstanceProfile"].get("Tags"))


def _delete_role(iam: Any, role: Found) -> None:
    for policy in (
        iam.get_paginator("list_attached_role_policies").paginate(RoleName=role.id).search("AttachedPolicies")
    ):
        iam.detach_role_policy(RoleName=role.id, PolicyArn=policy["PolicyArn"])
    for name in iam.get_paginator("list_role_policies").paginate(RoleName=role.id).search("PolicyNames"):
        iam.delete_role_policy(RoleName=role.id, PolicyName=name)
    iam.delete_role(RoleName=role.id)


def _delete_profile(iam: Any, profile: Found) -> None:
    for role in profile.facts["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=profile.id, RoleName=role["RoleName"])
    iam.delete_instance_profile(InstanceProfileName=profile.id)


def _budgets(budgets: Any, scope: Scope) -> Iterator[Item]:
    account = {"AccountId": scope.account}
    found = listed("describe_budgets", "Budgets", lambda _scope: account, page_size=1000)(budgets, scope)
    return ({**item, **account} for item in found if item["BudgetName"].startswith("tandem-"))


def _budget_tags(budgets: Any, item: Item) -> dict[str, str]:
    arn = f"arn:{budgets.meta.partition}:budgets::{item['AccountId']}:budget/{item['BudgetName']}"
    return tag_map(budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"])


ROWS = (
    Kind(
        type=types.FILE_SYSTEM,
        service="efs",
        tagging_type="elasticfilesystem:file-system",
        listing=named(
            "elasticfilesystem:file-system",
            _file_system,
            listed("describe_file_systems", "FileSystems[?LifeCycleState!='deleted']", page_size=100),
        ),
        id="FileSystemId",
        arn="FileSystemArn",
        name="Name",
        created="CreationTime",
        after=(types.ACCESS_POINT, types.MOUNT_TARGET),
        delete=lambda efs, file_system: efs.delete_file_system(FileSystemId=file_system.id),
        holds_data=True,
    ),
    Kind(
        type=types.ACCESS_POINT,
        service="efs",
        tagging_type="elasticfilesystem:access-point",
        listing=named(
            "elasticfilesystem:access-point",
            _access_point,
            listed("describe_access_points", "AccessPoints[?LifeCycleState!='deleted']", page_size=100),
        ),
        id="AccessPointId",
        arn="AccessPointArn",
        name="Name",
        delete=lambda efs, point: efs.delete_access_point(AccessPointId=point.id),
    ),
    Kind(
        type=types.MOUNT_TARGET,
        service="efs",
        listing=listed("describe_mount_targets", "MountTargets[?LifeCycleState!='deleted']", _of_file_system),
        id="MountTargetId",
        name="AvailabilityZoneName",
        tags=None,
        parent=types.FILE_SYSTEM,
        delete=lambda efs, target: efs.delete_mount_target(MountTargetId=target.id),
    ),
    Kind(
        type=types.BUCKET,
        service="s3",
        tagging_type="s3",
        # By name first: each tells its tags to a call of its own.
        listing=listed(
            "list_buckets",
            "Buckets[?contains(Name, '-access-logs') || starts_with(Name, 'tandem-')]",
            page_size=10_000,
        ),
        id="Name",
        name="Name",
        created="CreationDate",
        tags=_bucket_tags,
        after=(types.LOAD_BALANCER,),
        delete=_delete_bucket,
        holds_data=True,
    ),
    Kind(
        type=types.SECRET,
        service="secretsmanager",
        tagging_type="secretsmanager:secret",
        listing=listed("list_secrets", "SecretList[?!DeletedDate]", lambda _scope: OUR_SECRETS, page_size=100),
        id="ARN",
        arn="ARN",
        name="Name",
        created="CreatedDate",
        delete=lambda secrets, secret: secrets.delete_secret(
            SecretId=secret.id, RecoveryWindowInDays=SECRET_RECOVERY_DAYS
        ),
    ),
    Kind(
        type=types.PARAMETER,
        service="ssm",
        tagging_type="ssm:parameter",
        listing=listed(
            "get_parameters_by_path", "Parameters", lambda _scope: {"Path": PARAMETER_PATH, "Recursive": True}
        ),
        id="Name",
        arn="ARN",
        name="Name",
        created="LastModifiedDate",
        tags=_parameter_tags,
        delete=lambda ssm, parameter: ssm.delete_parameter(Name=parameter.id),
    ),
    Kind(
        type=types.TOPIC,
        service="sns",
        tagging_type="sns",
        listing=named(
            "sns",
            lambda _sns, arn: {"TopicArn": arn},
            listed("list_topics", "Topics[?contains(TopicArn, ':tandem-')]"),
        ),
        id="TopicArn",
        arn="TopicArn",
        name="TopicArn",
        tags=lambda sns, item: tag_map(sns.list_tags_for_resource(ResourceArn=item["TopicArn"])["Tags"]),
        after=(types.BUDGET, types.SCHEDULE_GROUP),
        delete=lambda sns, topic: sns.delete_topic(TopicArn=topic.id),
    ),
    Kind(
        type=types.LOG_GROUP,
        service="logs",
        tagging_type="logs:log-group",
        partial=True,
        listing=_log_groups,
        id="logGroupName",
        arn="logGroupArn || arn",
        name="logGroupName",
        tags=_log_tags,
        # What still writes would make it anew, without tags and retention.
        after=(types.FLOW_LOG, types.INSTANCE),
        delete=lambda logs, group: logs.delete_log_group(logGroupName=group.id),
    ),
    Kind(
        type=types.SCHEDULE_GROUP,
        service="scheduler",
        tagging_type="scheduler:schedule-group",
        listing=listed("list_schedule_groups", "ScheduleGroups", lambda _scope: {"NamePrefix": "tandem-"}),
        id="Name",
        name="Name",
        created="CreationDate",
        tags=lambda scheduler, item: tag_map(scheduler.list_tags_for_resource(ResourceArn=item["Arn"])["Tags"]),
        after=(types.SCHEDULE,),
        delete=lambda scheduler, group: scheduler.delete_schedule_group(Name=group.id),
    ),
    Kind(
        type=types.SCHEDULE,
        service="scheduler",
        listing=listed("list_schedules", "Schedules", lambda scope: {"GroupName": scope.parent_id}),
        id="join('/', [GroupName, Name])",
        name="Name",
        created="CreationDate",
        tags=None,
        parent=types.SCHEDULE_GROUP,
        # Until then they are what stops the fleet if this is interrupted.
        after=(types.GROUP, types.NODE_GROUP, types.INSTANCE),
        delete=lambda scheduler, schedule: scheduler.delete_schedule(GroupName=schedule.parent_id, Name=schedule.name),
    ),
    Kind(
        type=types.BUDGET,
        service="budgets",
        tagging_type="budgets:budget",
        listing=_budgets,
        id="join(':', [AccountId, BudgetName])",
        name="BudgetName",
        tags=_budget_tags,
        delete=lambda budgets, budget: budgets.delete_budget(
            AccountId=budget.facts["AccountId"], BudgetName=budget.name
        ),
    ),
    Kind(
        type=types.INSTANCE_PROFILE,
        service="iam",
        tagging_type="iam:instance-profile",
        partial=True,
        listing=_profiles,
        id="InstanceProfileName",
        name="InstanceProfileName",
        created="CreateDate",
        tags=_profile_tags,
        after=(types.INSTANCE, types.LAUNCH_TEMPLATE),
        delete=_delete_profile,
    ),
    Kind(
        type=types.ROLE,
        service="iam",
        listing=_roles,
        id="RoleName",
        name="RoleName",
        created="CreateDate",
        tags=lambda iam, item: tag_map(iam.list_role_tags(RoleName=item["RoleName"])["Tags"]),
        after=(types.INSTANCE_PROFILE, types.SCHEDULE_GROUP, types.FLOW_LOG),
        delete=_delete_role,
    ),
    Kind(
        type=types.ROLE_POLICY,
        service="iam",
        listing=listed("list_role_policies", "PolicyNames[].{Name: @}", lambda scope: {"RoleName": scope.parent_id}),
        id="join(':', [parent, Name])",
        name="Name",
        tags=None,
        parent=types.ROLE,
        delete=lambda iam, policy: iam.delete_role_policy(RoleName=policy.parent_id, PolicyName=policy.name),
    ),
)
