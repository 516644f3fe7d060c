"""Rows: workspaces of Amazon Managed Prometheus and Amazon Managed Grafana."""

from __future__ import annotations

from tandem.ops.rights.right import DEPLOYER, REAPER, By, Right

_WORKSPACES, _RULES, _GRAFANAS = "workspace/*", "rulegroupsnamespace/*/*", "/workspaces/*"
_FIRST = "each carries tandem's tags from the start; AWS makes its id, so that no name can bind it"


def _made(sid: str, service: str, actions: str, on: str = "*", why: str = _FIRST) -> Right:
    return Right(sid=sid, service=service, actions=actions, on=on, by=By.REQUEST, why=why, platform="ec2")


def _own(sid: str, service: str, actions: str, on: str, why: str, *more: str) -> Right:
    who = (DEPLOYER, *more)
    return Right(sid=sid, service=service, actions=actions, on=on, by=By.TAG, why=why, who=who, platform="ec2")


ROWS = (
    _made("MakeWorkspaces", "aps", "CreateWorkspace"),
    _made("MakeRules", "aps", "CreateRuleGroupsNamespace TagResource", f"{_RULES} {_WORKSPACES}"),
    _own(
        "ChangeWorkspaces",
        "aps",
        "CreateAlertManagerDefinition DeleteAlertManagerDefinition PutAlertManagerDefinition PutRuleGroupsNamespace "
        "TagResource UntagResource UpdateWorkspaceAlias",
        f"{_RULES} {_WORKSPACES}",
        "rules of a workspace, and whom they call",
    ),
    _own(
        "RemoveWorkspaces",
        "aps",
        "DeleteRuleGroupsNamespace DeleteWorkspace",
        f"{_RULES} {_WORKSPACES}",
        "a stack that is not ephemeral keeps its workspace in any case",
        REAPER,
    ),
    _made("MakeGrafanas", "grafana", "CreateWorkspace"),
    _made("TagGrafanas", "grafana", "TagResource", _GRAFANAS),
    _own(
        "ChangeGrafanas",
        "grafana",
        "TagResource UntagResource UpdateWorkspace",
        _GRAFANAS,
        "what a workspace is called, and by which role it asks",
    ),
    _own("RemoveGrafanas", "grafana", "DeleteWorkspace", _GRAFANAS, "with the dashboards in it", REAPER),
)
