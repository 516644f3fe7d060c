"""Rows: what a gateway for teams is made of: PostgreSQL, a cache, copies on Fargate."""

from __future__ import annotations

from tandem.ops.rights.right import FIRST, REAPER, REMOVERS, TEAMKEEPER, by_request, by_tag
from tandem.tags import TEAM_KEYS

_NAMED = "tandem-*-gateway*"
_DATABASES = f"db:{_NAMED} subgrp:{_NAMED}"
_SNAPSHOTS = f"snapshot:{_NAMED}"
_CACHES = f"replicationgroup:{_NAMED} subnetgroup:{_NAMED}"
_COPIES = f"cluster/{_NAMED} service/{_NAMED}"
_VERSIONS = f"task-definition/{_NAMED}:*"
_TEAM_KEYS = f"secret:tandem-{{stack}}-{TEAM_KEYS}/*"
_OWN = "sizes, passwords and settings of one's own"


ROWS = (
    by_request(
        "MakeDatabases",
        "rds: AddTagsToResource CreateDBInstance CreateDBSubnetGroup RestoreDBInstanceFromDBSnapshot",
        f"{_DATABASES} {_SNAPSHOTS}",
        FIRST,
    ),
    by_tag(
        "ChangeDatabases",
        "rds: AddTagsToResource CreateDBInstance ModifyDBInstance ModifyDBSubnetGroup RemoveTagsFromResource",
        _DATABASES,
        _OWN,
    ),
    by_tag(
        "RemoveDatabases",
        "rds: DeleteDBInstance DeleteDBSnapshot DeleteDBSubnetGroup",
        f"{_DATABASES} {_SNAPSHOTS}",
        "with what is in them",
        who=REMOVERS,
    ),
    by_tag(
        "KeepDatabases",
        "rds: CreateDBSnapshot",
        f"db:{_NAMED} {_SNAPSHOTS}",
        "of a stack that is not ephemeral a last snapshot stays",
    ),
    by_tag(
        "LiftDatabasesProtection",
        "rds: ModifyDBInstance",
        f"db:{_NAMED}",
        "of ephemeral stacks alone, which have none to begin with",
        who=(REAPER,),
    ),
    by_request(
        "MakeCaches", "elasticache: AddTagsToResource CreateCacheSubnetGroup CreateReplicationGroup", _CACHES, FIRST
    ),
    by_tag(
        "ChangeCaches",
        "elasticache: AddTagsToResource CreateReplicationGroup ModifyCacheSubnetGroup ModifyReplicationGroup "
        "RemoveTagsFromResource",
        _CACHES,
        _OWN,
    ),
    by_tag(
        "RemoveCaches",
        "elasticache: DeleteCacheSubnetGroup DeleteReplicationGroup",
        _CACHES,
        "it holds counters alone",
        who=REMOVERS,
    ),
    by_request(
        "MakeCopies",
        "ecs: CreateCluster CreateService RegisterTaskDefinition TagResource",
        f"{_COPIES} {_VERSIONS}",
        FIRST,
    ),
    by_tag(
        "ChangeCopies",
        "ecs: TagResource UntagResource UpdateService",
        f"{_COPIES} {_VERSIONS}",
        "how many copies of which version",
    ),
    by_tag("RemoveCopies", "ecs: DeleteCluster DeleteService", _COPIES, "teams then have the direct way", who=REMOVERS),
    by_tag(
        "ReadGatewaysKey",
        "secretsmanager: GetSecretValue",
        "secret:tandem-{stack}-gateway-*",
        "`tandem gateway apply` asks LiteLLM with its master key; the database's password is in the same secret",
        who=(TEAMKEEPER,),
    ),
    by_request(
        "MakeTeamKeys",
        "secretsmanager: CreateSecret TagResource",
        _TEAM_KEYS,
        "a key's value, of a team alone",
        who=(TEAMKEEPER,),
    ),
    by_tag(
        "KeepTeamKeys",
        "secretsmanager: DeleteSecret GetSecretValue PutSecretValue RestoreSecret",
        _TEAM_KEYS,
        "a value that was written before a run ended is used by the next, of a life before, too; a revoked one is not",
        who=(TEAMKEEPER,),
    ),
)
