"""EKS: cluster and node groups in moto, what belongs to a cluster and moto does not have as a record; and events."""

from __future__ import annotations

from rehearsal.aws.lifecycle import Resource
from rehearsal.aws.phrases import filters, recorded, tagged_by_arn
from rehearsal.aws.row import AutoName, Call, ResourceType, Tags, Text, change


def _make_group(cluster: Resource) -> None:
    """AWS makes a security group for the cluster, which nodes are in, too; moto does not."""
    subnets = cluster.region.call("ec2", "describe_subnets", SubnetIds=cluster.inputs["vpcConfig"]["subnetIds"])
    cluster.region.call(
        "ec2",
        "create_security_group",
        GroupName=_group_name(cluster),
        Description="EKS created security group applied to ENI that is attached to EKS Control Plane",
        VpcId=subnets["Subnets"][0]["VpcId"],
    )


def _let_creator_in(cluster: Resource) -> None:
    """AWS gives who makes a cluster an access entry, unless told not to: the role, where a session of it asks
    (https://docs.aws.amazon.com/eks/latest/userguide/access-entries.html)."""
    if not (cluster.inputs.get("accessConfig") or {}).get("bootstrapClusterCreatorAdminPermissions", True):
        return
    creator = cluster.region.call("sts", "get_caller_identity")["Arn"]
    if ":assumed-role/" in creator:
        creator = cluster.region.call("iam", "get_role", RoleName=creator.split("/")[1])["Role"]["Arn"]
    cluster.register.event("eks:CreateAccessEntry", f"{cluster.id}:{creator}")


def _delete_group(cluster: Resource) -> None:
    filter = {"Name": "group-name", "Values": [_group_name(cluster)]}
    for group in cluster.region.call("ec2", "describe_security_groups", Filters=[filter])["SecurityGroups"]:
        cluster.region.call("ec2", "delete_security_group", GroupId=group["GroupId"])


def _group_name(cluster: Resource) -> str:
    return f"eks-cluster-sg-{cluster.id}"


_LOGGING = "{clusterLogging: [{types: inputs.enabledClusterLogTypes, enabled: `true`}]}"

CLUSTER = ResourceType(
    type="aws:eks/cluster:Cluster",
    service="eks",
    create=Call("create_cluster", f"{{logging: inputs.enabledClusterLogTypes && {_LOGGING}}}", fill=True),
    id="inputs.name",
    after_create=(_make_group, _let_creator_in),
    read=(
        Call("describe_cluster", "{name: id}", at="cluster"),
        Call(
            "describe_security_groups",
            filters({"group-name": "join('', ['eks-cluster-sg-', id])"}),
            service="ec2",
            at="SecurityGroups[0]",
            into="group",
        ),
    ),
    changes=(
        change(
            "vpcConfig",
            by=Call(
                "update_cluster_config",
                "{name: id, resourcesVpcConfig: inputs.vpcConfig.{subnetIds: subnetIds, "
                "securityGroupIds: securityGroupIds, endpointPublicAccess: endpointPublicAccess, "
                "endpointPrivateAccess: endpointPrivateAccess, publicAccessCidrs: publicAccessCidrs}}",
            ),
            on_create=False,
        ),
        change(
            "enabledClusterLogTypes",
            by=Call("update_cluster_config", f"{{name: id, logging: {_LOGGING}}}"),
            on_create=False,
        ),
        change("version", by=recorded("eks:UpdateClusterVersion"), on_create=False),
        change(
            *("accessConfig", "upgradePolicy", "deletionProtection"),
            by=recorded("eks:UpdateClusterConfig"),
            on_create=False,
        ),
    ),
    delete=(Call("delete_cluster", "{name: id}"), _delete_group),
    tags=tagged_by_arn("resourceArn", "result.cluster.arn || found.arn || state.arn", as_map=True, at="tags"),
    autoname=AutoName(limit=100),
    names={"vpcConfig": "resourcesVpcConfig"},
    adds=("vpcConfig",),
    outputs={
        "enabledClusterLogTypes": "found.logging.clusterLogging[?enabled].types[]",
        "identities": "[{oidcs: [{issuer: found.identity.oidc.issuer}]}]",
        "vpcConfig": "merge(found.resourcesVpcConfig, "
        "{clusterSecurityGroupId: found.group.GroupId, vpcId: found.group.VpcId})",
    },
    unread=("version", "accessConfig", "upgradePolicy", "deletionProtection"),
    import_id="{name: id}",
)

_GROUP = "clusterName: inputs.clusterName, nodegroupName: inputs.nodeGroupName"

NODE_GROUP = ResourceType(
    type="aws:eks/nodeGroup:NodeGroup",
    service="eks",
    create=Call("create_nodegroup", fill=True),
    id="join(':', [inputs.clusterName, inputs.nodeGroupName])",
    read=Call("describe_nodegroup", f"{{{_GROUP}}}", at="nodegroup"),
    changes=(
        change(
            "scalingConfig",
            by=Call("update_nodegroup_config", f"{{{_GROUP}, scalingConfig: inputs.scalingConfig}}"),
            on_create=False,
        ),
        change(
            "updateConfig",
            by=Call("update_nodegroup_config", f"{{{_GROUP}, updateConfig: inputs.updateConfig}}"),
        ),
        change("labels", "taints", "nodeRepairConfig", by=recorded("eks:UpdateNodegroupConfig"), on_create=False),
        change(
            "launchTemplate", "releaseVersion", "version", by=recorded("eks:UpdateNodegroupVersion"), on_create=False
        ),
    ),
    delete=Call("delete_nodegroup", f"{{{_GROUP}}}"),
    # moto tags clusters only: a node group keeps the tags that it was made with
    tags=Tags(
        add=Call("tag_resource", when="`false`"),
        remove=Call("untag_resource", when="`false`"),
        read=Call("describe_nodegroup", f"{{{_GROUP}}}", at="nodegroup.tags"),
        born="{tags: tags}",
    ),
    autoname=AutoName("nodeGroupName", limit=63),
    names={"nodeGroupName": "nodegroupName", "nodeRoleArn": "nodeRole", "subnetIds": "subnets"},
    outputs={
        "arn": "found.nodegroupArn",
        "resources": "[{autoscalingGroups: found.resources.autoScalingGroups}]",
    },
    provider_only=("nodeGroupNamePrefix", "forceUpdateVersion"),
    # moto keeps what a node group was made with
    unread=("labels", "taints", "nodeRepairConfig", "launchTemplate", "releaseVersion", "version"),
    import_id="{clusterName: part(id, ':', `0`), nodeGroupName: part(id, ':', `1`)}",
)

# Of what follows moto has nothing; that the cluster exists is asked all the same.
_OF_A_CLUSTER = Call("describe_cluster", "{name: inputs.clusterName}", at="cluster")

ADDON = ResourceType(
    type="aws:eks/addon:Addon",
    service="eks",
    create=_OF_A_CLUSTER,
    id="join(':', [inputs.clusterName, inputs.addonName])",
    recorded=(
        *("addonName", "addonVersion", "configurationValues", "podIdentityAssociations", "preserve"),
        *("resolveConflictsOnCreate", "resolveConflictsOnUpdate", "serviceAccountRoleArn", "tags"),
    ),
    replaces=("clusterName", "addonName"),
    outputs={"arn": Text("arn:{partition}:eks:{region}:{account}:addon/{inputs[clusterName]}/{inputs[addonName]}/0")},
    in_moto=False,
)

ACCESS_ENTRY = ResourceType(
    type="aws:eks/accessEntry:AccessEntry",
    service="eks",
    create=_OF_A_CLUSTER,
    id="join(':', [inputs.clusterName, inputs.principalArn])",
    recorded=("principalArn", "kubernetesGroups", "type", "userName", "tags"),
    replaces=("clusterName", "principalArn", "type"),
    defaults={"type": "STANDARD"},
    outputs={
        "accessEntryArn": Text("arn:{partition}:eks:{region}:{account}:access-entry/{inputs[clusterName]}/role/0/0"),
        "userName": "inputs.userName || inputs.principalArn",
    },
    in_moto=False,
)

ACCESS_POLICY_ASSOCIATION = ResourceType(
    type="aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
    service="eks",
    create=_OF_A_CLUSTER,
    id="join('#', [inputs.clusterName, inputs.principalArn, inputs.policyArn])",
    recorded=("principalArn", "policyArn", "accessScope"),
    replaces=("clusterName", "principalArn", "policyArn", "accessScope"),
    in_moto=False,
)

POD_IDENTITY_ASSOCIATION = ResourceType(
    type="aws:eks/podIdentityAssociation:PodIdentityAssociation",
    service="eks",
    create=_OF_A_CLUSTER,
    id="join('/', [inputs.clusterName, inputs.namespace, inputs.serviceAccount])",
    recorded=("namespace", "serviceAccount", "roleArn", "targetRoleArn", "disableSessionTags", "policy", "tags"),
    replaces=("clusterName", "namespace", "serviceAccount"),
    outputs={"associationId": Text("a-{inputs[namespace]}-{inputs[serviceAccount]}")},
    in_moto=False,
)

EVENT_RULE = ResourceType(
    type="aws:cloudwatch/eventRule:EventRule",
    service="events",
    create=Call("put_rule", fill=True),
    update=Call("put_rule", fill=True),
    id="inputs.name",
    read=Call("describe_rule", "{Name: id, EventBusName: inputs.eventBusName}"),
    delete=Call("delete_rule", "{Name: id, EventBusName: inputs.eventBusName}"),
    tags=tagged_by_arn("ResourceARN", "result.RuleArn || found.Arn || state.arn"),
    autoname=AutoName(limit=64),
    defaults={"eventBusName": "default"},
    provider_only=("namePrefix", "forceDestroy", "isEnabled"),
    replaces=("name", "eventBusName"),
    import_id="{name: id, eventBusName: 'default'}",
)

EVENT_TARGET = ResourceType(
    type="aws:cloudwatch/eventTarget:EventTarget",
    service="events",
    create=Call(
        "put_targets",
        "{Rule: inputs.rule, EventBusName: inputs.eventBusName, Targets: [{Id: inputs.targetId, Arn: inputs.arn, "
        "RoleArn: inputs.roleArn, Input: inputs.input, InputPath: inputs.inputPath}]}",
    ),
    id="join('-', [inputs.rule, inputs.targetId])",
    read=Call(
        "list_targets_by_rule",
        "{Rule: inputs.rule, EventBusName: inputs.eventBusName}",
        at="find(Targets, {Id: inputs.targetId})",
    ),
    delete=Call("remove_targets", "{Rule: inputs.rule, EventBusName: inputs.eventBusName, Ids: [inputs.targetId]}"),
    autoname=AutoName("targetId", limit=64),
    defaults={"eventBusName": "default"},
    outputs={"targetId": "found.Id", "rule": "inputs.rule"},
    provider_only=("forceDestroy",),
)

QUEUE_POLICY = ResourceType(
    type="aws:sqs/queuePolicy:QueuePolicy",
    service="sqs",
    create=Call("set_queue_attributes", "{QueueUrl: inputs.queueUrl, Attributes: {Policy: inputs.policy}}"),
    update=Call("set_queue_attributes", "{QueueUrl: inputs.queueUrl, Attributes: {Policy: inputs.policy}}"),
    id="inputs.queueUrl",
    read=Call("get_queue_attributes", "{QueueUrl: id, AttributeNames: ['Policy']}", at="[Attributes][?Policy] | [0]"),
    delete=Call("set_queue_attributes", "{QueueUrl: id, Attributes: {Policy: ''}}"),
    outputs={"queueUrl": "id"},
    replaces=("queueUrl",),
    import_id="{queueUrl: id}",
)

ROWS = (
    *(CLUSTER, NODE_GROUP, ADDON, ACCESS_ENTRY, ACCESS_POLICY_ASSOCIATION, POD_IDENTITY_ASSOCIATION),
    *(EVENT_RULE, EVENT_TARGET, QUEUE_POLICY),
)
