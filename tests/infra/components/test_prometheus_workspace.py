"""A workspace of Amazon Managed Prometheus, and the Grafana that asks it."""

from __future__ import annotations

import json

import yaml

from infra.components.grafana_workspace import GrafanaWorkspace, GrafanaWorkspaceArgs
from infra.components.prometheus_workspace import PrometheusWorkspace, PrometheusWorkspaceArgs
from tests.infra.declared import ACCOUNT, Declared, declared

TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:t"
ARN = f"arn:aws:aps:us-east-1:{ACCOUNT}:workspace/ws-0"


def workspace(topic: str | None = TOPIC, *, keep: bool = True) -> Declared:
    args = PrometheusWorkspaceArgs(region="us-east-1", rules="groups: []\n", topic_arn=topic, keep_on_destroy=keep)
    return declared(lambda: PrometheusWorkspace("w", args))


def test_exact_resources_with_and_without_somebody_to_call() -> None:
    shared = {
        "tandem:index:PrometheusWorkspace": 1,
        "aws:amp/workspace:Workspace": 1,
        "aws:amp/ruleGroupNamespace:RuleGroupNamespace": 1,
    }
    assert workspace().counts() == {**shared, "aws:amp/alertManagerDefinition:AlertManagerDefinition": 1}
    assert workspace(None).counts() == shared


def test_rules_and_their_calls_are_of_this_workspace() -> None:
    found = workspace()
    rules, alerts = found.one("RuleGroupNamespace"), found.one("AlertManagerDefinition")
    assert (rules["workspaceId"], rules["data"]) == ("w-Workspace-id", "groups: []\n")
    assert alerts["workspaceId"] == "w-Workspace-id"


def test_alerts_go_to_the_topic_signed_and_with_a_subject_that_sns_takes() -> None:
    """It is YAML in YAML, and what Amazon's does not allow is not in it: api_url and http_config."""
    definition = yaml.safe_load(workspace().one("AlertManagerDefinition")["definition"])
    config = yaml.safe_load(definition["alertmanager_config"])
    [receiver] = config["receivers"]
    assert config["route"] == {"receiver": receiver["name"], "group_by": ["stack", "model", "alertname"]}
    [topic] = receiver["sns_configs"]
    assert (topic["topic_arn"], topic["sigv4"], topic["send_resolved"]) == (TOPIC, {"region": "us-east-1"}, True)
    assert topic.keys() == {"topic_arn", "sigv4", "send_resolved", "subject"}
    assert {name for name in ("stack", "model", "alertname") if f".GroupLabels.{name} " in topic["subject"]} == {
        *config["route"]["group_by"]
    }


def test_what_was_measured_outlives_the_stack_and_rules_do_not() -> None:
    assert workspace().retained() == {"Workspace"}
    assert not workspace(keep=False).retained()


def test_a_grafana_asks_one_workspace_and_figures_of_one_region_by_a_role_of_its_own() -> None:
    args = GrafanaWorkspaceArgs(region="us-east-1", account_id=ACCOUNT, prometheus_arn=ARN)
    found = declared(lambda: GrafanaWorkspace("g", args))
    assert found.counts() == {
        "tandem:index:GrafanaWorkspace": 1,
        "aws:iam/role:Role": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
        "aws:grafana/workspace:Workspace": 1,
    }
    made = found.one("grafana/workspace:Workspace")
    assert (made["accountAccessType"], made["permissionType"]) == ("CURRENT_ACCOUNT", "CUSTOMER_MANAGED")
    assert (made["authenticationProviders"], made["dataSources"]) == (["AWS_SSO"], ["PROMETHEUS", "CLOUDWATCH"])
    assert made["roleArn"].endswith("Role/g-grafana")
    own, figures = json.loads(found.one("RolePolicy")["policy"])["Statement"]
    assert own["Resource"] == [ARN]
    assert "aps:QueryMetrics" in own["Action"]
    assert "aps:RemoteWrite" not in own["Action"]
    assert figures["Condition"] == {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}
