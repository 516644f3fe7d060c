"""A gateway for teams over its whole life, on the real engine: it comes, stays, changes and goes, and what it knew of
teams stays where the stack is not ephemeral."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.workspace import Workspace
from tandem import type_tokens as types
from tandem.ops import inventory, removal
from tandem.ops.kinds.kind import Clients
from tests.ops.account import at_once
from tests.rehearsal.watched import REGION, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

TEXT = """\
config:
  tandem:region: us-east-1
  tandem:ephemeral: {ephemeral}
  tandem:loadBalancer: {{domainName: api.example.com, hostedZoneId: ZONE, clientCidrs: [203.0.113.0/24]}}
  tandem:gateway: {{hostName: teams.example.com}}
  tandem:costGuard: {{expiresAfter: 8h}}
"""
EPHEMERAL, KEPT = TEXT.format(ephemeral="true"), TEXT.format(ephemeral="false")


def brought_up(workspace: Workspace, account: SimulatedAccount) -> Clients:
    clients = with_a_zone(workspace, account)
    done(workspace.up())
    return clients


def with_a_zone(workspace: Workspace, account: SimulatedAccount) -> Clients:
    """In the account, and in the stack's settings."""
    clients = account.clients(REGION)
    zone = clients("route53").create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    text = workspace.stack_file.read_text().replace("ZONE", zone.rpartition("/")[2])
    workspace.stack_file.write_text(text)
    return clients


def others(clients: Clients) -> dict[str, set[str]]:
    """What is like a gateway's and is somebody else's: of another program, and of another stack."""
    found: dict[str, set[str]] = {"databases": set(), "snapshots": set(), "clusters": set(), "secrets": set()}
    for name, tags in {
        "theirs": [],
        "tandem-dev-gateway": [],
        "tandem-prod-gateway-1": [{"Key": "tandem:stack", "Value": "prod"}, {"Key": "tandem:id", "Value": "1" * 16}],
    }.items():
        clients("rds").create_db_instance(
            DBInstanceIdentifier=name, DBInstanceClass="db.t4g.small", Engine="postgres", AllocatedStorage=20,
            MasterUsername="theirs", MasterUserPassword="not-a-secret-of-anybody", Tags=tags,
        )  # fmt: skip
        clients("rds").create_db_snapshot(DBInstanceIdentifier=name, DBSnapshotIdentifier=f"{name}-kept", Tags=tags)
        lower = [{"key": tag["Key"], "value": tag["Value"]} for tag in tags]
        clients("ecs").create_cluster(clusterName=name, tags=lower)
        clients("secretsmanager").create_secret(Name=f"{name}-keys", SecretString="{}", Tags=tags)
        found["databases"].add(name)
        found["snapshots"].add(f"{name}-kept")
        found["clusters"].add(name)
        found["secrets"].add(f"{name}-keys")
    return found


def there(clients: Clients) -> dict[str, set[str]]:
    """Of the same kinds, what there is."""
    rds = clients("rds")
    snapshots = rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    return {
        "databases": {one["DBInstanceIdentifier"] for one in rds.describe_db_instances()["DBInstances"]},
        "snapshots": {one["DBSnapshotIdentifier"] for one in snapshots},
        "clusters": {*clusters_of(clients)},
        "secrets": {one["Name"] for one in clients("secretsmanager").list_secrets()["SecretList"]},
    }


def clusters_of(clients: Clients) -> list[str]:
    """Names of those that are there; ECS tells of others for an hour."""
    found = clients("ecs").describe_clusters(clusters=clients("ecs").list_clusters()["clusterArns"])["clusters"]
    return [one["clusterName"] for one in found if one["status"] == "ACTIVE"]


def service(clients: Clients) -> dict[str, Any]:
    ecs = clients("ecs")
    [cluster] = clusters_of(clients)
    [arn] = ecs.list_services(cluster=cluster)["serviceArns"]
    return ecs.describe_services(cluster=cluster, services=[arn])["services"][0]


def containers(clients: Clients) -> dict[str, dict[str, Any]]:
    found = clients("ecs").describe_task_definition(taskDefinition=service(clients)["taskDefinition"])
    return {one["name"]: one for one in found["taskDefinition"]["containerDefinitions"]}


def there_with_deleted(clients: Clients) -> list[dict[str, Any]]:
    """Secrets, those that can be restored for some days yet, too."""
    return clients("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]


@pytest.mark.parametrize("workspace", [EPHEMERAL], indirect=True)
def test_it_comes_with_the_stack_stays_as_it_is_changes_in_place_and_goes_with_it(
    workspace: Workspace, account: SimulatedAccount
) -> None:
    clients = brought_up(workspace, account)
    assert workspace.outputs()["gatewayUrl"] == "https://teams.example.com"
    [database] = clients("rds").describe_db_instances()["DBInstances"]
    assert (database["PubliclyAccessible"], database["StorageEncrypted"]) == (False, True)
    copies = containers(clients)
    assert copies["gateway"]["dependsOn"] == [{"containerName": "migrate", "condition": "SUCCESS"}]
    [keys] = [one for one in clients("secretsmanager").list_secrets()["SecretList"] if "gateway" in one["Name"]]
    secret = json.loads(clients("secretsmanager").get_secret_value(SecretId=keys["ARN"])["SecretString"])
    assert database["Endpoint"]["Address"] in secret["DATABASE_URL"]
    assert done(workspace.up()).changing() == []

    text = workspace.stack_file.read_text()
    workspace.stack_file.write_text(text.replace("hostName: teams", "replicas: 3, keepPrompts: true, hostName: teams"))
    changed = {step.urn.split("::")[2].rpartition("$")[2] for step in done(workspace.up()).changing()}
    assert service(clients)["desiredCount"] == 3
    assert changed <= {types.TASK_DEFINITION, types.SERVICE}, changed
    again = clients("secretsmanager").get_secret_value(SecretId=keys["ARN"])["SecretString"]
    assert json.loads(again) == secret, "no key and no salt changes"
    assert done(workspace.up()).changing() == []

    done(workspace.destroy())
    assert inventory.find(clients, "dev").resources == []
    assert clients("rds").describe_db_snapshots()["DBSnapshots"] == []


@pytest.mark.parametrize("workspace", [KEPT], indirect=True)
def test_a_last_snapshot_stays_where_a_stack_is_not_ephemeral(workspace: Workspace, account: SimulatedAccount) -> None:
    clients = brought_up(workspace, account)
    assert not workspace.destroy().succeeded, "the database is protected"
    workspace.pulumi("state", "unprotect", "--all", "--yes")
    done(workspace.destroy())
    assert clients("rds").describe_db_instances()["DBInstances"] == []
    found = {one.type: one for one in inventory.find(clients, "dev").resources}
    assert types.DATABASE_SNAPSHOT in found
    assert found[types.DATABASE_SNAPSHOT].stack == "dev"

    [keys] = [one for one in there_with_deleted(clients) if "gateway" in one["Name"]]
    clients("secretsmanager").restore_secret(SecretId=keys["ARN"])
    left = {"snapshot": found[types.DATABASE_SNAPSHOT].id, "secretArn": keys["ARN"]}
    text = workspace.stack_file.read_text()
    restored = text.replace("hostName: teams", f"restore: {json.dumps(left)}, hostName: teams")
    workspace.stack_file.write_text(restored)
    done(workspace.up())
    calls = [operation for _, operation in account.calls]
    assert "RestoreDBInstanceFromDBSnapshot" in calls
    read = {one["name"]: one["valueFrom"] for one in containers(clients)["gateway"]["secrets"]}
    assert read["LITELLM_SALT_KEY"] == f"{keys['ARN']}:LITELLM_SALT_KEY::"
    assert done(workspace.up()).changing() == []
    [before] = clients("rds").describe_db_instances()["DBInstances"]
    workspace.stack_file.write_text(restored.replace(left["snapshot"], "another"))
    assert done(workspace.up()).changing() == [], "a database that is there is made of nothing again"
    [after] = clients("rds").describe_db_instances()["DBInstances"]
    assert after["InstanceCreateTime"] == before["InstanceCreateTime"]


@pytest.mark.parametrize("workspace", [EPHEMERAL], indirect=True)
def test_a_stack_that_was_lost_is_removed_with_it(workspace: Workspace, account: SimulatedAccount) -> None:
    kept = others(account.clients(REGION))
    clients = brought_up(workspace, account)
    found = inventory.find(clients, "dev")
    assert found.unreadable == []
    assert removal.remove_stack(clients, found.resources, sleep=at_once) == []
    assert inventory.find(clients, "dev").resources == []
    assert there(clients) == kept
