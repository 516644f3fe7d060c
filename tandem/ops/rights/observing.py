"""Rows: workspaces of Amazon Managed Prometheus and Amazon Managed Grafana."""

from __future__ import annotations

from tandem.ops.rights.right import REMOVERS, alike, by_request, by_tag

_WORKSPACES, _RULES, _GRAFANAS = "workspace/*", "rulegroupsnamespace/*/*", "/workspaces/*"
_FIRST = "each carries tandem's tags from the start; AWS makes its id, so that no name can bind it"


ROWS = alike(
    by_request("MakeWorkspaces", "aps: CreateWorkspace", "*", _FIRST),
    by_request("MakeRules", "aps: CreateRuleGroupsNamespace TagResource", f"{_RULES} {_WORKSPACES}", _FIRST),
    by_tag(
        "ChangeWorkspaces",
        "aps: CreateAlertManagerDefinition DeleteAlertManagerDefinition PutAlertManagerDefinition "
        "PutRuleGroupsNamespace TagResource UntagResource UpdateWorkspaceAlias",
        f"{_RULES} {_WORKSPACES}",
        "rules of a workspace, and whom they call",
    ),
    by_tag(
        "RemoveWorkspaces",
        "aps: DeleteRuleGroupsNamespace DeleteWorkspace",
        f"{_RULES} {_WORKSPACES}",
        "a stack that is not ephemeral keeps its workspace in any case",
        who=REMOVERS,
    ),
    by_request("MakeGrafanas", "grafana: CreateWorkspace", "*", _FIRST),
    by_request("TagGrafanas", "grafana: TagResource", _GRAFANAS, _FIRST),
    by_tag(
        "ChangeGrafanas",
        "grafana: TagResource UntagResource UpdateWorkspace",
        _GRAFANAS,
        "what a workspace is called, and by which role it asks",
    ),
    by_tag("RemoveGrafanas", "grafana: DeleteWorkspace", _GRAFANAS, "with the dashboards in it", who=REMOVERS),
    platform="ec2",
)
