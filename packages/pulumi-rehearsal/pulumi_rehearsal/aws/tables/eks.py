"""EKS: clusters and what belongs to them; and events."""

from __future__ import annotations

from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.aws.phrases import filters, recorded, tagged_by_arn
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Tags, change


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


def _delete_group(cluster: Resource) -> None:
    filter = {"Name": "group-name", "Values": [_group_name(cluster)]}
    for group in cluster.region.call("ec2", "describe_security_groups", Filters=[filter])["SecurityGroups"]:
        cluster.region.call("ec2", "delete_security_group", GroupId=group["GroupId"])


def _group_name(cluster: Resource) -> str:
    return f"eks-cluster-sg-{cluster.id}"


def _tags(arn: str) -> Tags:
    return tagged_by_arn("resourceArn", arn, as_map=True, at="tags")


_LOGGING = "{clusterLogging: [{types: inputs.enabledClusterLogTypes, enabled: `true`}]}"

CLUSTER = ResourceType(
    type="aws:eks/cluster:Cluster",
    service="eks",
    create=Call("create_cluster", f"{{logging: inputs.enabledClusterLogTypes && {_LOGGING}}}", fill=True),
    id="inputs.name",
    after_create=_make_group,
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
        change("version", by=Call("update_cluster_version", "{name: id, version: inputs.version}"), on_create=False),
        change(
            *("accessConfig", "upgradePolicy", "deletionProtection"),
            by=recorded("eks:UpdateClusterConfig"),
            on_create=False,
        ),
    ),
    delete=(Call("delete_cluster", "{name: id}"), _delete_group),
    tags=_tags("result.cluster.arn || found.arn || state.arn"),
    autoname=AutoName(limit=100),
    names={"vpcConfig": "resourcesVpcConfig"},
    adds=("vpcConfig",),
    outputs={
        "enabledClusterLogTypes": "found.logging.clusterLogging[?enabled].types[]",
        "identities": "[{oidcs: [{issuer: found.identity.oidc.issuer}]}]",
        "vpcConfig": "merge(found.resourcesVpcConfig, "
        "{clusterSecurityGroupId: found.group.GroupId, vpcId: found.group.VpcId})",
    },
    unread=("accessConfig", "upgradePolicy", "deletionProtection"),
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
    tags=_tags("found.nodegroupArn || state.arn || result.nodegroup.nodegroupArn"),
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

_ADDON = "clusterName: inputs.clusterName, addonName: inputs.addonName"

ADDON = ResourceType(
    type="aws:eks/addon:Addon",
    service="eks",
    create=Call("create_addon", "{resolveConflicts: inputs.resolveConflictsOnCreate}", fill=True),
    id="join(':', [inputs.clusterName, inputs.addonName])",
    read=Call("describe_addon", f"{{{_ADDON}}}", at="addon"),
    # What is taken away is given as nothing: `updateInput.ConfigurationValues` in
    # https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/eks/addon.go
    update=Call(
        "update_addon",
        f"{{{_ADDON}, resolveConflicts: inputs.resolveConflictsOnUpdate, "
        "configurationValues: inputs.configurationValues || ''}",
        fill=True,
        only_changed=True,
    ),
    delete=Call("delete_addon", f"{{{_ADDON}, preserve: inputs.preserve}}"),
    tags=_tags("result.addon.addonArn || found.addonArn || state.arn"),
    outputs={"arn": "found.addonArn"},
    # AWS tells the associations of an add-on by their ARNs, and nobody how conflicts were to be resolved
    unread=("podIdentityAssociations", "preserve", "resolveConflictsOnCreate", "resolveConflictsOnUpdate"),
    replaces=("clusterName", "addonName"),
    import_id="{clusterName: part(id, ':', `0`), addonName: part(id, ':', `1`)}",
)

_ENTRY = "clusterName: inputs.clusterName, principalArn: inputs.principalArn"

ACCESS_ENTRY = ResourceType(
    type="aws:eks/accessEntry:AccessEntry",
    service="eks",
    create=Call("create_access_entry", fill=True),
    update=Call("update_access_entry", f"{{{_ENTRY}}}", fill=True),
    id="join(':', [inputs.clusterName, inputs.principalArn])",
    read=Call("describe_access_entry", f"{{{_ENTRY}}}", at="accessEntry"),
    delete=Call("delete_access_entry", f"{{{_ENTRY}}}"),
    tags=_tags("result.accessEntry.accessEntryArn || found.accessEntryArn || state.accessEntryArn"),
    names={"userName": "username"},
    replaces=("clusterName", "principalArn", "type"),
    defaults={"type": "STANDARD"},
)

ACCESS_POLICY_ASSOCIATION = ResourceType(
    type="aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
    service="eks",
    create=Call("associate_access_policy", fill=True),
    id="join('#', [inputs.clusterName, inputs.principalArn, inputs.policyArn])",
    read=Call(
        "list_associated_access_policies",
        f"{{{_ENTRY}}}",
        at="find(associatedAccessPolicies, {policyArn: inputs.policyArn})",
    ),
    delete=Call("disassociate_access_policy", f"{{{_ENTRY}, policyArn: inputs.policyArn}}"),
    import_id="{clusterName: part(id, '#', `0`), principalArn: part(id, '#', `1`), policyArn: part(id, '#', `2`)}",
)

_ASSOCIATION = "clusterName: inputs.clusterName, associationId: id"

POD_IDENTITY_ASSOCIATION = ResourceType(
    type="aws:eks/podIdentityAssociation:PodIdentityAssociation",
    service="eks",
    create=Call("create_pod_identity_association", fill=True),
    update=Call(
        "update_pod_identity_association",
        f"{{{_ASSOCIATION}, roleArn: inputs.roleArn, targetRoleArn: inputs.targetRoleArn, "
        "disableSessionTags: inputs.disableSessionTags, policy: inputs.policy}",
    ),
    id="result.association.associationId",
    read=Call("describe_pod_identity_association", f"{{{_ASSOCIATION}}}", at="association"),
    delete=Call("delete_pod_identity_association", f"{{{_ASSOCIATION}}}"),
    tags=_tags("result.association.associationArn || found.associationArn || state.associationArn"),
    replaces=("clusterName", "namespace", "serviceAccount"),
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
