"""RDS and ElastiCache: instances, replication groups, and the subnets that they may be in."""

from __future__ import annotations

from typing import Any

from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.aws.phrases import BORN_WITH, recorded
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Tags, change


def _tags(which: str, at: str) -> Tags:
    return Tags(
        add=Call("add_tags_to_resource", f"{{ResourceName: {which}, Tags: pairs(tags)}}"),
        remove=Call("remove_tags_from_resource", f"{{ResourceName: {which}, TagKeys: removed}}"),
        read=Call("list_tags_for_resource", f"{{ResourceName: {which}}}", at=at),
        born=BORN_WITH,
    )


_SUBNETS_ARN = "join('', ['arn:', partition, ':rds:', region, ':', account, ':subgrp:', id])"

DATABASE_SUBNETS = ResourceType(
    type="aws:rds/subnetGroup:SubnetGroup",
    service="rds",
    create=Call("create_db_subnet_group", fill=True),
    update=Call("modify_db_subnet_group", fill=True),
    id="inputs.name",
    read=Call("describe_db_subnet_groups", "{DBSubnetGroupName: id}", at="DBSubnetGroups[0]"),
    delete=Call("delete_db_subnet_group", "{DBSubnetGroupName: id}"),
    tags=_tags(_SUBNETS_ARN, "TagList"),
    autoname=AutoName(lower=True),
    names={"name": "DBSubnetGroupName", "description": "DBSubnetGroupDescription"},
    outputs={"arn": "found.DBSubnetGroupArn", "subnetIds": "found.Subnets[*].SubnetIdentifier"},
    replaces=("name",),
    import_id="{name: id}",
)

_CHANGED = (
    "DBInstanceIdentifier: inputs.identifier, ApplyImmediately: inputs.applyImmediately, "
    "DBInstanceClass: inputs.instanceClass, MaxAllocatedStorage: inputs.maxAllocatedStorage, "
    "MultiAZ: inputs.multiAz, BackupRetentionPeriod: inputs.backupRetentionPeriod, "
    "DeletionProtection: inputs.deletionProtection, VpcSecurityGroupIds: inputs.vpcSecurityGroupIds, "
    "MasterUserPassword: inputs.password, EngineVersion: inputs.engineVersion, "
    "CopyTagsToSnapshot: inputs.copyTagsToSnapshot, AutoMinorVersionUpgrade: inputs.autoMinorVersionUpgrade, "
    "PubliclyAccessible: inputs.publiclyAccessible, StorageType: inputs.storageType"
)

_RESTORED = (
    "DBInstanceIdentifier: inputs.identifier, DBSnapshotIdentifier: inputs.snapshotIdentifier, "
    "DBInstanceClass: inputs.instanceClass, DBSubnetGroupName: inputs.dbSubnetGroupName, MultiAZ: inputs.multiAz, "
    "DeletionProtection: inputs.deletionProtection, VpcSecurityGroupIds: inputs.vpcSecurityGroupIds, "
    "CopyTagsToSnapshot: inputs.copyTagsToSnapshot, AutoMinorVersionUpgrade: inputs.autoMinorVersionUpgrade, "
    "PubliclyAccessible: inputs.publiclyAccessible, StorageType: inputs.storageType, Tags: pairs(every_tag)"
)


def _of_snapshot(database: Resource) -> Any:
    """Restored, and then changed to what the snapshot's had otherwise
    (https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/rds/instance.go)."""
    if not database.inputs.get("snapshotIdentifier"):
        return None
    made = database.call(Call("restore_db_instance_from_db_snapshot", f"{{{_RESTORED}}}"))
    database.call(Call("modify_db_instance", f"{{{_CHANGED}}}"))
    return made


DATABASE = ResourceType(
    type="aws:rds/instance:Instance",
    service="rds",
    create=(Call("create_db_instance", fill=True, when="!(inputs.snapshotIdentifier)"), _of_snapshot),
    update=Call("modify_db_instance", f"{{{_CHANGED}}}"),
    # The provider has AWS's own id here since its version 5, which moto gives to all alike.
    id="result.DBInstance.DbiResourceId",
    read=Call("describe_db_instances", "{DBInstanceIdentifier: inputs.identifier}", at="DBInstances[0]"),
    delete=Call(
        "delete_db_instance",
        "{DBInstanceIdentifier: inputs.identifier, SkipFinalSnapshot: inputs.skipFinalSnapshot, "
        "FinalDBSnapshotIdentifier: inputs.finalSnapshotIdentifier, "
        "DeleteAutomatedBackups: inputs.deleteAutomatedBackups}",
    ),
    tags=_tags("result.DBInstance.DBInstanceArn || found.DBInstanceArn || state.arn", "TagList"),
    autoname=AutoName("identifier", limit=63, lower=True),
    names={
        "identifier": "DBInstanceIdentifier",
        "instanceClass": "DBInstanceClass",
        "username": "MasterUsername",
        "password": "MasterUserPassword",
    },
    outputs={
        "arn": "found.DBInstanceArn",
        "address": "found.Endpoint.Address",
        "port": "found.Endpoint.Port",
        "endpoint": "join(':', [found.Endpoint.Address, text(found.Endpoint.Port)])",
        "dbSubnetGroupName": "found.DBSubnetGroup.DBSubnetGroupName",
        "vpcSecurityGroupIds": "found.VpcSecurityGroups[*].VpcSecurityGroupId",
    },
    defaults={"skipFinalSnapshot": False, "applyImmediately": False, "deleteAutomatedBackups": True},
    provider_only=("skipFinalSnapshot", "finalSnapshotIdentifier", "deleteAutomatedBackups", "snapshotIdentifier"),
    unread=("password", "engineVersion", "storageType", "maxAllocatedStorage"),
    replaces=(
        *("dbName", "engine", "identifier", "snapshotIdentifier", "storageEncrypted", "username"),
        "dbSubnetGroupName",  # of another VPC, the provider replaces by
    ),
    secrets=("password",),
    import_id="{identifier: id}",
)

CACHE_SUBNETS = ResourceType(
    type="aws:elasticache/subnetGroup:SubnetGroup",
    service="elasticache",
    create=Call("create_cache_subnet_group", fill=True),
    id="inputs.name",
    read=Call("describe_cache_subnet_groups", "{CacheSubnetGroupName: id}", at="CacheSubnetGroups[0]"),
    changes=(change("subnetIds", "description", by=recorded("elasticache:ModifyCacheSubnetGroup"), on_create=False),),
    delete=Call("delete_cache_subnet_group", "{CacheSubnetGroupName: id}"),
    patient=True,
    tags=_tags("result.CacheSubnetGroup.ARN || found.ARN || state.arn", "TagList"),
    autoname=AutoName(lower=True),
    names={"name": "CacheSubnetGroupName", "description": "CacheSubnetGroupDescription"},
    outputs={"arn": "found.ARN", "subnetIds": "found.Subnets[*].SubnetIdentifier"},
    replaces=("name",),
    import_id="{name: id}",
)

CACHE = ResourceType(
    type="aws:elasticache/replicationGroup:ReplicationGroup",
    service="elasticache",
    create=Call("create_replication_group", fill=True),
    id="inputs.replicationGroupId",
    read=Call(
        "describe_replication_groups", "{ReplicationGroupId: id}", at="ReplicationGroups[?Status != 'deleting'] | [0]"
    ),
    changes=(
        change(
            "description",
            "nodeType",
            by=Call(
                "modify_replication_group",
                "{ReplicationGroupId: id, ApplyImmediately: inputs.applyImmediately, CacheNodeType: inputs.nodeType, "
                "ReplicationGroupDescription: inputs.description}",
            ),
            on_create=False,
        ),
        change(
            "authToken",
            "engineVersion",
            "securityGroupIds",
            by=recorded("elasticache:ModifyReplicationGroup"),
            on_create=False,
        ),
    ),
    delete=Call("delete_replication_group", "{ReplicationGroupId: id}"),
    tags=_tags("result.ReplicationGroup.ARN || found.ARN || state.arn", "TagList"),
    autoname=AutoName("replicationGroupId", limit=40, lower=True),
    names={
        "description": "ReplicationGroupDescription",
        "nodeType": "CacheNodeType",
        "subnetGroupName": "CacheSubnetGroupName",
    },
    outputs={"arn": "found.ARN", "primaryEndpointAddress": "found.NodeGroups[0].PrimaryEndpoint.Address"},
    defaults={"applyImmediately": False},
    provider_only=("applyImmediately",),
    unread=(
        *("authToken", "engine", "engineVersion", "numCacheClusters", "port", "securityGroupIds", "subnetGroupName"),
        *("description", "nodeType"),
    ),
    secrets=("authToken",),
    import_id="{replicationGroupId: id}",
)

ROWS = (DATABASE_SUBNETS, DATABASE, CACHE_SUBNETS, CACHE)
