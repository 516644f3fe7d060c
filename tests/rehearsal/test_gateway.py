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
    clients = account.clients(REGION)
    zone = clients("route53").create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    text = workspace.stack_file.read_text().replace("ZONE", zone.rpartition("/")[2])
    workspace.stack_file.write_text(text)
    done(workspace.up())
    return clients


def service(clients: Clients) -> dict[str, Any]:
    ecs = clients("ecs")
    [cluster] = ecs.list_clusters()["clusterArns"]
    [arn] = ecs.list_services(cluster=cluster)["serviceArns"]
    return ecs.describe_services(cluster=cluster, services=[arn])["services"][0]


def containers(clients: Clients) -> dict[str, dict[str, Any]]:
    found = clients("ecs").describe_task_definition(taskDefinition=service(clients)["taskDefinition"])
    return {one["name"]: one for one in found["taskDefinition"]["containerDefinitions"]}


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


@pytest.mark.parametrize("workspace", [EPHEMERAL], indirect=True)
def test_a_stack_that_was_lost_is_removed_with_it(workspace: Workspace, account: SimulatedAccount) -> None:
    clients = brought_up(workspace, account)
    found = inventory.find(clients, "dev")
    assert found.unreadable == []
    assert removal.remove_stack(clients, found.resources, sleep=at_once) == []
    assert inventory.find(clients, "dev").resources == []
