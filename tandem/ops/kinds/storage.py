"""Rows: file systems, buckets and secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from tandem import type_tokens as types
from tandem.ops.kinds.kind import Found, Item, ResourceType, Scope, listed, named, tag_map
from tandem.tags import PROJECT, PROJECT_TAG

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


ROWS = (
    ResourceType(
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
    ResourceType(
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
    ResourceType(
        type=types.MOUNT_TARGET,
        service="efs",
        listing=listed("describe_mount_targets", "MountTargets[?LifeCycleState!='deleted']", _of_file_system),
        id="MountTargetId",
        name="AvailabilityZoneName",
        tags=None,
        parent=types.FILE_SYSTEM,
        delete=lambda efs, target: efs.delete_mount_target(MountTargetId=target.id),
    ),
    ResourceType(
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
    ResourceType(
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
)
