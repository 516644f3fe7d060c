"""Rows: what a gateway for teams is made of: PostgreSQL, a cache, copies on Fargate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tandem import type_tokens as types
from tandem.ops.kinds.kind import Found, Item, ResourceType, Scope, listed, tag_map


def _tagged(key: str) -> Any:
    """How RDS and ElastiCache tell the tags of one resource, by its ARN under this key."""
    return lambda client, item: tag_map(client.list_tags_for_resource(ResourceName=item[key])["TagList"])


def _ecs_tags(_ecs: Any, item: Item) -> Mapping[str, str]:
    return {tag["key"]: tag["value"] for tag in item.get("tags") or ()}


def _clusters(ecs: Any, scope: Scope) -> Iterator[Item]:
    arns = listed("list_clusters", "clusterArns")(ecs, scope)
    for some in _chunks(arns, 100):
        found = ecs.describe_clusters(clusters=some, include=["TAGS"])["clusters"]
        yield from (one for one in found if one["status"] == "ACTIVE")


def _services(ecs: Any, scope: Scope) -> Iterator[Item]:
    arns = listed("list_services", "serviceArns", lambda scope: {"cluster": scope.parent_id})(ecs, scope)
    for some in _chunks(arns, 10):
        found = ecs.describe_services(cluster=scope.parent_id, services=some)["services"]
        yield from (one for one in found if one["status"] == "ACTIVE")


def _chunks(arns: Any, size: int) -> Iterator[list[str]]:
    found = [*arns]
    return (found[start : start + size] for start in range(0, len(found), size))


def _delete_service(ecs: Any, service: Found) -> None:
    ecs.delete_service(cluster=service.parent_id, service=service.id, force=True)


def _unprotect_database(rds: Any, database: Found) -> None:
    rds.modify_db_instance(DBInstanceIdentifier=database.id, DeletionProtection=False, ApplyImmediately=True)


ROWS = (
    ResourceType(
        type=types.SERVICES,
        service="ecs",
        tagging_type="ecs:cluster",
        listing=_clusters,
        id="clusterArn",
        arn="clusterArn",
        name="clusterName",
        tags=_ecs_tags,
        after=(types.SERVICE,),
        delete=lambda ecs, cluster: ecs.delete_cluster(cluster=cluster.id),
    ),
    ResourceType(
        type=types.SERVICE,
        service="ecs",
        tagging_type="ecs:service",
        listing=_services,
        id="serviceArn",
        arn="serviceArn",
        name="serviceName",
        created="createdAt",
        tags=None,
        parent=types.SERVICES,
        delete=_delete_service,
    ),
    ResourceType(
        type=types.DATABASE,
        service="rds",
        tagging_type="rds:db",
        listing=listed("describe_db_instances", "DBInstances[?DBInstanceStatus!='deleting']"),
        id="DBInstanceIdentifier",
        arn="DBInstanceArn",
        name="DBInstanceIdentifier",
        created="InstanceCreateTime",
        tags=lambda _rds, item: tag_map(item.get("TagList")),
        after=(types.SERVICE,),
        # Without a last snapshot: it is asked for by name, as data are.
        delete=lambda rds, database: rds.delete_db_instance(DBInstanceIdentifier=database.id, SkipFinalSnapshot=True),
        unprotect=_unprotect_database,
        state_id="outputs.identifier",
        holds_data=True,
    ),
    ResourceType(
        type=types.DATABASE_SUBNETS,
        service="rds",
        tagging_type="rds:subgrp",
        listing=listed("describe_db_subnet_groups", "DBSubnetGroups"),
        id="DBSubnetGroupName",
        arn="DBSubnetGroupArn",
        name="DBSubnetGroupName",
        tags=_tagged("DBSubnetGroupArn"),
        after=(types.DATABASE,),
        delete=lambda rds, group: rds.delete_db_subnet_group(DBSubnetGroupName=group.id),
    ),
    ResourceType(
        type=types.DATABASE_SNAPSHOT,
        service="rds",
        tagging_type="rds:snapshot",
        listing=listed("describe_db_snapshots", "DBSnapshots", lambda _scope: {"SnapshotType": "manual"}),
        id="DBSnapshotIdentifier",
        arn="DBSnapshotArn",
        name="DBSnapshotIdentifier",
        created="SnapshotCreateTime",
        tags=lambda _rds, item: tag_map(item.get("TagList")),
        after=(types.DATABASE,),
        delete=lambda rds, snapshot: rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot.id),
        program=False,
        holds_data=True,
    ),
    ResourceType(
        type=types.CACHE,
        service="elasticache",
        tagging_type="elasticache:replicationgroup",
        listing=listed("describe_replication_groups", "ReplicationGroups[?Status!='deleting']"),
        id="ReplicationGroupId",
        arn="ARN",
        name="ReplicationGroupId",
        created="ReplicationGroupCreateTime",
        tags=_tagged("ARN"),
        after=(types.SERVICE,),
        delete=lambda cache, group: cache.delete_replication_group(ReplicationGroupId=group.id),
    ),
    ResourceType(
        type=types.CACHE_SUBNETS,
        service="elasticache",
        tagging_type="elasticache:subnetgroup",
        # Without tags of its own, and AWS's, is `default`, whose tags AWS does not tell.
        listing=listed("describe_cache_subnet_groups", "CacheSubnetGroups[?CacheSubnetGroupName!='default']"),
        id="CacheSubnetGroupName",
        arn="ARN",
        name="CacheSubnetGroupName",
        tags=_tagged("ARN"),
        after=(types.CACHE,),
        delete=lambda cache, group: cache.delete_cache_subnet_group(CacheSubnetGroupName=group.id),
    ),
)
