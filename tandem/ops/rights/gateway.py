"""Rows: what a gateway for teams is made of: PostgreSQL, a cache, copies on Fargate."""

from __future__ import annotations

from tandem.ops.rights.right import DEPLOYER, REAPER, TEAMKEEPER, By, Right
from tandem.tags import TEAM_KEYS

_NAMED = "tandem-*-gateway*"
_DATABASES = f"db:{_NAMED} subgrp:{_NAMED}"
_SNAPSHOTS = f"snapshot:{_NAMED}"
_CACHES = f"replicationgroup:{_NAMED} subnetgroup:{_NAMED}"
_COPIES = f"cluster/{_NAMED} service/{_NAMED}"
_VERSIONS = f"task-definition/{_NAMED}:*"
_TEAM_KEYS = f"secret:tandem-{{stack}}-{TEAM_KEYS}/*"
_FIRST = "each carries tandem's tags from the start, and a name of tandem's"
_OWN = "sizes, passwords and settings of one's own"


def _row(sid: str, service: str, actions: str, on: str, by: By, why: str, *more: str) -> Right:
    return Right(sid=sid, service=service, actions=actions, on=on, by=by, why=why, who=(DEPLOYER, *more))


def _of_teams(sid: str, actions: str, on: str, by: By, why: str) -> Right:
    return Right(sid=sid, service="secretsmanager", actions=actions, on=on, by=by, why=why, who=(TEAMKEEPER,))


ROWS = (
    _row(
        "MakeDatabases",
        "rds",
        "AddTagsToResource CreateDBInstance CreateDBSubnetGroup RestoreDBInstanceFromDBSnapshot",
        f"{_DATABASES} {_SNAPSHOTS}",
        By.REQUEST,
        _FIRST,
    ),
    _row(
        "ChangeDatabases",
        "rds",
        "AddTagsToResource CreateDBInstance ModifyDBInstance ModifyDBSubnetGroup RemoveTagsFromResource",
        _DATABASES,
        By.TAG,
        _OWN,
    ),
    _row(
        "RemoveDatabases",
        "rds",
        "DeleteDBInstance DeleteDBSnapshot DeleteDBSubnetGroup",
        f"{_DATABASES} {_SNAPSHOTS}",
        By.TAG,
        "with what is in them",
        REAPER,
    ),
    _row(
        "KeepDatabases",
        "rds",
        "CreateDBSnapshot",
        f"db:{_NAMED} {_SNAPSHOTS}",
        By.TAG,
        "of a stack that is not ephemeral a last snapshot stays",
    ),
    Right(
        sid="LiftDatabasesProtection",
        service="rds",
        actions="ModifyDBInstance",
        on=f"db:{_NAMED}",
        by=By.TAG,
        why="of ephemeral stacks alone, which have none to begin with",
        who=(REAPER,),
    ),
    _row(
        "MakeCaches",
        "elasticache",
        "AddTagsToResource CreateCacheSubnetGroup CreateReplicationGroup",
        _CACHES,
        By.REQUEST,
        _FIRST,
    ),
    _row(
        "ChangeCaches",
        "elasticache",
        "AddTagsToResource CreateReplicationGroup ModifyCacheSubnetGroup ModifyReplicationGroup RemoveTagsFromResource",
        _CACHES,
        By.TAG,
        _OWN,
    ),
    _row(
        "RemoveCaches",
        "elasticache",
        "DeleteCacheSubnetGroup DeleteReplicationGroup",
        _CACHES,
        By.TAG,
        "it holds counters alone",
        REAPER,
    ),
    _row(
        "MakeCopies",
        "ecs",
        "CreateCluster CreateService RegisterTaskDefinition TagResource",
        f"{_COPIES} {_VERSIONS}",
        By.REQUEST,
        _FIRST,
    ),
    _row(
        "ChangeCopies",
        "ecs",
        "TagResource UntagResource UpdateService",
        f"{_COPIES} {_VERSIONS}",
        By.TAG,
        "how many copies of which version",
    ),
    _row(
        "RemoveCopies",
        "ecs",
        "DeleteCluster DeleteService",
        _COPIES,
        By.TAG,
        "teams then have the direct way",
        REAPER,
    ),
    _of_teams(
        "ReadGatewaysKey",
        "GetSecretValue",
        "secret:tandem-{stack}-gateway-*",
        By.TAG,
        "`tandem gateway apply` asks LiteLLM with its master key; the database's password is in the same secret",
    ),
    _of_teams("MakeTeamKeys", "CreateSecret TagResource", _TEAM_KEYS, By.REQUEST, "a key's value, of a team alone"),
    _of_teams(
        "KeepTeamKeys",
        "DeleteSecret GetSecretValue PutSecretValue RestoreSecret",
        _TEAM_KEYS,
        By.TAG,
        "a value that was written before a run ended is used by the next, of a life before, too; a revoked one is not",
    ),
)
