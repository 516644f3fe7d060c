"""Rows: workspaces of Amazon Managed Prometheus and Amazon Managed Grafana."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tandem import type_tokens as types
from tandem.catalog.regions import GRAFANA_REGIONS
from tandem.ops.kinds.kind import Item, ResourceType, Scope, listed, named


def _grafana(grafana: Any, arn: str) -> Item:
    return {**grafana.describe_workspace(workspaceId=arn.rpartition("/")[2])["workspace"], "arn": arn}


def _grafanas(grafana: Any, scope: Scope) -> Iterator[Item]:
    """There is nobody to ask in most regions."""
    for one in listed("list_workspaces", "workspaces")(grafana, scope) if scope.region in GRAFANA_REGIONS else ():
        yield {**one, "arn": f"arn:aws:grafana:{scope.region}:{scope.account}:/workspaces/{one['id']}"}


ROWS = (
    ResourceType(
        type=types.PROMETHEUS,
        service="amp",
        tagging_type="aps:workspace",
        listing=listed("list_workspaces", "workspaces"),
        id="workspaceId",
        arn="arn",
        name="alias",
        created="createdAt",
        tags=lambda _amp, item: item.get("tags") or {},
        after=(types.ALERT_RULES, types.GROUP, types.INSTANCE),
        delete=lambda amp, workspace: amp.delete_workspace(workspaceId=workspace.id),
        holds_data=True,
    ),
    ResourceType(
        type=types.ALERT_RULES,
        service="amp",
        tagging_type="aps:rulegroupsnamespace",
        listing=listed(
            "list_rule_groups_namespaces",
            "ruleGroupsNamespaces",
            lambda scope: {"workspaceId": scope.parent_id},
        ),
        id="arn",
        arn="arn",
        name="name",
        created="createdAt",
        tags=None,
        parent=types.PROMETHEUS,
        delete=lambda amp, rules: amp.delete_rule_groups_namespace(workspaceId=rules.parent_id, name=rules.name),
    ),
    ResourceType(
        type=types.GRAFANA,
        service="grafana",
        tagging_type="grafana:",  # of arn:aws:grafana:REGION:ACCOUNT:/workspaces/ID
        listing=named("grafana", _grafana, _grafanas),
        id="id",
        arn="arn",
        name="name",
        created="created",
        tags=lambda _grafana, item: item.get("tags") or {},
        delete=lambda grafana, workspace: grafana.delete_workspace(workspaceId=workspace.id),
    ),
)
