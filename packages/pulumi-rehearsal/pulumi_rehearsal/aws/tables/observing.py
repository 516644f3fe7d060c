"""Observing: workspaces of Amazon Managed Prometheus and Amazon Managed Grafana."""

from __future__ import annotations

from pulumi_rehearsal.aws.phrases import tagged_by_arn
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Text, change

WORKSPACE = ResourceType(
    type="aws:amp/workspace:Workspace",
    service="amp",
    create=Call("create_workspace", fill=True),
    id="result.workspaceId",
    read=Call("describe_workspace", "{workspaceId: id}", at="workspace"),
    changes=(
        change(
            "alias",
            by=Call("update_workspace_alias", "{workspaceId: id, alias: inputs.alias}"),
            on_create=False,
        ),
    ),
    delete=Call("delete_workspace", "{workspaceId: id}"),
    tags=tagged_by_arn("resourceArn", "result.arn || found.arn || state.arn", as_map=True, at="tags"),
)

_DEFINITION = Call("put_alert_manager_definition", "{workspaceId: inputs.workspaceId, data: inputs.definition}")

ALERT_MANAGER_DEFINITION = ResourceType(
    type="aws:amp/alertManagerDefinition:AlertManagerDefinition",
    service="amp",
    create=Call("create_alert_manager_definition", _DEFINITION.params),
    update=_DEFINITION,
    id="inputs.workspaceId",
    read=Call("describe_alert_manager_definition", "{workspaceId: id}", at="alertManagerDefinition"),
    delete=Call("delete_alert_manager_definition", "{workspaceId: id}"),
    names={"definition": "data"},
    outputs={"workspaceId": "id"},
    replaces=("workspaceId",),
    import_id="{workspaceId: id}",
)

_RULES = "workspaceId: inputs.workspaceId, name: inputs.name"

RULE_GROUP_NAMESPACE = ResourceType(
    type="aws:amp/ruleGroupNamespace:RuleGroupNamespace",
    service="amp",
    create=Call("create_rule_groups_namespace", fill=True),
    update=Call("put_rule_groups_namespace", fill=True),
    id="result.arn",
    read=Call("describe_rule_groups_namespace", f"{{{_RULES}}}", at="ruleGroupsNamespace"),
    delete=Call("delete_rule_groups_namespace", f"{{{_RULES}}}"),
    tags=tagged_by_arn("resourceArn", "id", as_map=True, at="tags"),
    autoname=AutoName(),
    replaces=("workspaceId", "name"),
    import_id="{workspaceId: part(id, '/', `1`), name: part(id, '/', `2`)}",
)

_GRAFANA = (
    "workspaceName: inputs.name, workspaceDescription: inputs.description, workspaceRoleArn: inputs.roleArn, "
    "workspaceDataSources: inputs.dataSources, workspaceNotificationDestinations: inputs.notificationDestinations, "
    "accountAccessType: inputs.accountAccessType, permissionType: inputs.permissionType"
)

GRAFANA = ResourceType(
    type="aws:grafana/workspace:Workspace",
    service="grafana",
    create=Call(
        "create_workspace",
        f"{{{_GRAFANA}, authenticationProviders: inputs.authenticationProviders, "
        "grafanaVersion: inputs.grafanaVersion}",
    ),
    update=Call("update_workspace", f"{{workspaceId: id, {_GRAFANA}}}"),
    id="result.workspace.id",
    read=Call("describe_workspace", "{workspaceId: id}", at="workspace"),
    delete=Call("delete_workspace", "{workspaceId: id}"),
    tags=tagged_by_arn(
        "resourceArn",
        "join('', ['arn:aws:grafana:', region, ':', account, ':/workspaces/', id])",
        as_map=True,
        at="tags",
    ),
    autoname=AutoName(),
    names={"roleArn": "workspaceRoleArn"},
    outputs={
        "arn": Text("arn:{partition}:grafana:{region}:{account}:/workspaces/{id}"),
        "authenticationProviders": "found.authentication.providers",
    },
)

ROWS = (WORKSPACE, ALERT_MANAGER_DEFINITION, RULE_GROUP_NAMESPACE, GRAFANA)
