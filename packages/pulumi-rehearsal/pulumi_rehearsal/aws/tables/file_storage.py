"""EFS: file systems, mount targets, access points."""

from __future__ import annotations

from pulumi_rehearsal.aws.phrases import recorded, tagged_by_arn
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Text, change

_TAGS = tagged_by_arn("ResourceId", "id")

_LIFECYCLE = (
    "inputs.lifecyclePolicies[*].{TransitionToIA: transitionToIa, TransitionToArchive: transitionToArchive, "
    "TransitionToPrimaryStorageClass: transitionToPrimaryStorageClass}"
)

_FILE_SYSTEM_ARN = "arn:{partition}:elasticfilesystem:{region}:{account}:file-system/"

FILE_SYSTEM = ResourceType(
    type="aws:efs/fileSystem:FileSystem",
    service="efs",
    create=Call("create_file_system", fill=True),
    id="result.FileSystemId",
    read=(
        Call("describe_file_systems", "{FileSystemId: id}", at="FileSystems[0]"),
        Call(
            "describe_lifecycle_configuration", "{FileSystemId: id}", at="LifecyclePolicies", into="lifecyclePolicies"
        ),
    ),
    changes=(
        change(
            "lifecyclePolicies",
            by=Call("put_lifecycle_configuration", f"{{FileSystemId: id, LifecyclePolicies: {_LIFECYCLE} || `[]`}}"),
        ),
        change(
            "throughputMode",
            "provisionedThroughputInMibps",
            by=recorded("elasticfilesystem:UpdateFileSystem"),
            on_create=False,
        ),
        change("protection", by=recorded("elasticfilesystem:UpdateFileSystemProtection")),
    ),
    delete=Call("delete_file_system", "{FileSystemId: id}"),
    tags=_TAGS,
    autoname=AutoName("creationToken"),
    outputs={"arn": "found.FileSystemArn", "dnsName": Text("{id}.efs.{region}.amazonaws.com")},
    # moto has no UpdateFileSystem, so what it describes is out of date after a change
    unread=("throughputMode", "provisionedThroughputInMibps"),
)

MOUNT_TARGET = ResourceType(
    type="aws:efs/mountTarget:MountTarget",
    service="efs",
    create=Call("create_mount_target", fill=True),
    id="result.MountTargetId",
    read=(
        Call("describe_mount_targets", "{MountTargetId: id}", at="MountTargets[0]"),
        Call("describe_mount_target_security_groups", "{MountTargetId: id}"),
    ),
    changes=(
        change(
            "securityGroups",
            by=Call(
                "modify_mount_target_security_groups", "{MountTargetId: id, SecurityGroups: inputs.securityGroups}"
            ),
            on_create=False,
        ),
    ),
    delete=Call("delete_mount_target", "{MountTargetId: id}"),
    outputs={
        "dnsName": Text("{found[FileSystemId]}.efs.{region}.amazonaws.com"),
        "fileSystemArn": Text(_FILE_SYSTEM_ARN + "{found[FileSystemId]}"),
        "mountTargetDnsName": Text("{found[AvailabilityZoneName]}.{found[FileSystemId]}.efs.{region}.amazonaws.com"),
    },
    delete_before_replace=True,  # one per zone
)

ACCESS_POINT = ResourceType(
    type="aws:efs/accessPoint:AccessPoint",
    service="efs",
    create=Call("create_access_point", fill=True),
    id="result.AccessPointId",
    read=Call("describe_access_points", "{AccessPointId: id}", at="AccessPoints[0]"),
    delete=Call("delete_access_point", "{AccessPointId: id}"),
    tags=_TAGS,
    outputs={
        "arn": "found.AccessPointArn",
        "fileSystemArn": Text(_FILE_SYSTEM_ARN + "{found[FileSystemId]}"),
    },
)

FILE_SYSTEM_POLICY = ResourceType(
    type="aws:efs/fileSystemPolicy:FileSystemPolicy",
    service="efs",
    create=Call("put_file_system_policy", fill=True),
    update=Call("put_file_system_policy", fill=True),
    id="inputs.fileSystemId",
    read=Call("describe_file_system_policy", "{FileSystemId: id}"),
    delete=recorded("elasticfilesystem:DeleteFileSystemPolicy"),
    replaces=("fileSystemId",),
)

BACKUP_POLICY = ResourceType(
    type="aws:efs/backupPolicy:BackupPolicy",
    service="efs",
    create=Call("describe_file_systems", "{FileSystemId: inputs.fileSystemId}"),
    id="inputs.fileSystemId",
    recorded=("backupPolicy",),
    in_moto=False,
)

ROWS = (FILE_SYSTEM, MOUNT_TARGET, ACCESS_POINT, FILE_SYSTEM_POLICY, BACKUP_POLICY)
