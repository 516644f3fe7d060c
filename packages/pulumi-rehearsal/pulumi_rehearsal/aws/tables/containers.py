"""ECS: clusters, task definitions and services. No task runs in moto: a service is steady at once."""

from __future__ import annotations

from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Tags

_PAIRS = "tags: pairs(tags)[*].{key: Key, value: Value}"


def _tags(which: str) -> Tags:
    return Tags(
        add=Call("tag_resource", f"{{resourceArn: {which}, {_PAIRS}}}"),
        remove=Call("untag_resource", f"{{resourceArn: {which}, tagKeys: removed}}"),
        read=Call("list_tags_for_resource", f"{{resourceArn: {which}}}", at="tags[*].{Key: key, Value: value}"),
        born=f"{{{_PAIRS}}}",
    )


CLUSTER = ResourceType(
    type="aws:ecs/cluster:Cluster",
    service="ecs",
    create=Call("create_cluster", fill=True),
    id="result.cluster.clusterArn",
    read=Call("describe_clusters", "{clusters: [id]}", at="clusters[?status != 'INACTIVE'] | [0]"),
    delete=Call("delete_cluster", "{cluster: id}"),
    patient=True,  # of services that drain
    tags=_tags("id"),
    autoname=AutoName(),
    names={"name": "clusterName"},
    outputs={"arn": "id"},
    import_id="{name: part(id, '/', `1`)}",
)

TASK_DEFINITION = ResourceType(
    type="aws:ecs/taskDefinition:TaskDefinition",
    service="ecs",
    create=Call(
        "register_task_definition", "{containerDefinitions: from_json(inputs.containerDefinitions)}", fill=True
    ),
    id="inputs.family",
    read=Call(
        "describe_task_definition",
        "{taskDefinition: result.taskDefinition.taskDefinitionArn || state.arn || id}",
        at="[taskDefinition][?status != 'INACTIVE'] | [0]",
    ),
    delete=Call("deregister_task_definition", "{taskDefinition: state.arn}", when="!(inputs.skipDestroy)"),
    tags=_tags("result.taskDefinition.taskDefinitionArn || state.arn"),
    outputs={"arn": "found.taskDefinitionArn"},
    defaults={"skipDestroy": False, "trackLatest": False},
    provider_only=("skipDestroy", "trackLatest"),
    # the provider compares definitions as it orders and fills them
    unread=("containerDefinitions",),
    import_id="{family: id}",
)

_SETTINGS = (
    "deploymentConfiguration: {maximumPercent: inputs.deploymentMaximumPercent, minimumHealthyPercent: "
    "inputs.deploymentMinimumHealthyPercent, deploymentCircuitBreaker: inputs.deploymentCircuitBreaker}, "
    "networkConfiguration: {awsvpcConfiguration: {subnets: inputs.networkConfiguration.subnets, securityGroups: "
    "inputs.networkConfiguration.securityGroups, assignPublicIp: inputs.networkConfiguration.assignPublicIp && "
    "'ENABLED' || 'DISABLED'}}, healthCheckGracePeriodSeconds: inputs.healthCheckGracePeriodSeconds, "
    "enableExecuteCommand: inputs.enableExecuteCommand, desiredCount: inputs.desiredCount, "
    "taskDefinition: inputs.taskDefinition, propagateTags: inputs.propagateTags, loadBalancers: "
    "inputs.loadBalancers[*].{targetGroupArn: targetGroupArn, containerName: containerName, "
    "containerPort: containerPort}"
)

SERVICE = ResourceType(
    type="aws:ecs/service:Service",
    service="ecs",
    create=Call(
        "create_service",
        f"{{cluster: inputs.cluster, serviceName: inputs.name, launchType: inputs.launchType, {_SETTINGS}}}",
    ),
    update=Call("update_service", f"{{cluster: inputs.cluster, service: inputs.name, {_SETTINGS}}}"),
    id="result.service.serviceArn",
    read=Call(
        "describe_services",
        "{cluster: inputs.cluster, services: [id]}",
        at="services[?status != 'INACTIVE'] | [0]",
    ),
    delete=(
        Call("update_service", "{cluster: inputs.cluster, service: id, desiredCount: `0`}"),
        Call("delete_service", "{cluster: inputs.cluster, service: id, force: `true`}"),
    ),
    tags=_tags("id"),
    autoname=AutoName(),
    names={"name": "serviceName", "cluster": "clusterArn"},
    outputs={"arn": "id"},
    defaults={"waitForSteadyState": False},
    provider_only=("waitForSteadyState", "forceDelete"),
    # moto keeps neither, or not in the shape of the request
    unread=(
        "deploymentMaximumPercent",
        "deploymentMinimumHealthyPercent",
        "deploymentCircuitBreaker",
        "healthCheckGracePeriodSeconds",
        "enableExecuteCommand",
        "networkConfiguration",
        "loadBalancers",
        "propagateTags",
        "taskDefinition",
    ),
    replaces=("name", "cluster", "launchType"),
    import_id="{cluster: join('/', ['cluster', part(id, '/', `1`)]), name: part(id, '/', `2`)}",
)

ROWS = (CLUSTER, TASK_DEFINITION, SERVICE)
