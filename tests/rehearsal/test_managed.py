"""A workspace of Amazon Managed Prometheus and one of Amazon Managed Grafana of the stack's own, on the real engine."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.workspace import Workspace
from tandem.loading import load_stack_file
from tandem.observing.rules import rules_file
from tandem.ops import figures, inventory, removal
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
  tandem:metrics: {{managedPrometheus: true, managedGrafana: true}}
  tandem:alarms: {{enabled: true}}
  tandem:costGuard: {{expiresAfter: 8h, alertEmails: [a@example.com]}}
"""
EPHEMERAL, KEPT = TEXT.format(ephemeral="true"), TEXT.format(ephemeral="false")


def clients_of(account: SimulatedAccount) -> Clients:
    return account.clients(REGION)


def there(clients: Clients) -> tuple[list[Any], list[Any]]:
    return clients("amp").list_workspaces()["workspaces"], clients("grafana").list_workspaces()["workspaces"]


@pytest.mark.parametrize("workspace", [EPHEMERAL], indirect=True)
def test_both_come_with_the_stack_stay_as_they_are_and_go_with_it(
    workspace: Workspace, account: SimulatedAccount
) -> None:
    clients = clients_of(account)
    done(workspace.up())
    [prometheus], [grafana] = there(clients)
    amp, id = clients("amp"), prometheus["workspaceId"]
    [rules] = amp.list_rule_groups_namespaces(workspaceId=id)["ruleGroupsNamespaces"]
    text = amp.describe_rule_groups_namespace(workspaceId=id, name=rules["name"])["ruleGroupsNamespace"]["data"]
    settings = load_stack_file(workspace.stack_file)
    assert text.decode() == rules_file(figures.models(settings, "dev"))
    definition = amp.describe_alert_manager_definition(workspaceId=id)["alertManagerDefinition"]["data"]
    [receiver] = yaml.safe_load(yaml.safe_load(definition)["alertmanager_config"])["receivers"]
    topics = [one["TopicArn"] for one in clients("sns").list_topics()["Topics"]]
    assert [one["topic_arn"] for one in receiver["sns_configs"]] == topics
    outputs = workspace.outputs()
    assert outputs["prometheusUrl"] == f"https://aps-workspaces.{REGION}.amazonaws.com/workspaces/{id}/"
    assert outputs["grafanaUrl"] == f"https://{grafana['endpoint']}"
    assert writes_to(clients) == {prometheus["arn"]}
    assert done(workspace.up()).changing() == []
    done(workspace.destroy())
    assert there(clients) == ([], [])


def writes_to(clients: Clients) -> set[str]:
    """Workspaces into which any role may write."""
    iam = clients("iam")
    pages = [
        iam.get_role_policy(RoleName=role["RoleName"], PolicyName=name)["PolicyDocument"]["Statement"]
        for role in iam.list_roles()["Roles"]
        for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]
    ]
    return {arn for page in pages for one in page if "aps:RemoteWrite" in one["Action"] for arn in one["Resource"]}


@pytest.mark.parametrize("workspace", [KEPT], indirect=True)
def test_what_was_measured_stays_where_a_stack_is_not_ephemeral(
    workspace: Workspace, account: SimulatedAccount
) -> None:
    clients = clients_of(account)
    done(workspace.up())
    workspace.pulumi("state", "unprotect", "--all", "--yes")
    done(workspace.destroy())
    [kept], grafanas = there(clients)
    assert grafanas == []
    assert clients("amp").list_rule_groups_namespaces(workspaceId=kept["workspaceId"])["ruleGroupsNamespaces"] == []


@pytest.mark.parametrize("workspace", [EPHEMERAL], indirect=True)
def test_a_stack_that_was_lost_is_removed_with_both(workspace: Workspace, account: SimulatedAccount) -> None:
    clients = clients_of(account)
    done(workspace.up())
    found = inventory.find(clients, "dev")
    assert found.unreadable == []
    assert removal.remove_stack(clients, found.resources, sleep=at_once) == []
    assert there(clients) == ([], [])
    assert inventory.find(clients, "dev").resources == []
