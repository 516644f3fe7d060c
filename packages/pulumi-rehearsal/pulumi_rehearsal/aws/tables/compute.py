"""Launch templates, Auto Scaling groups and what belongs to them."""

from __future__ import annotations

from functools import partial

from pulumi_rehearsal.aws.account import AwsError
from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.aws.phrases import ec2_tags
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Text, change
from pulumi_rehearsal.aws.shapes import to_params
from pulumi_rehearsal.plugin import ProviderError
from pulumi_rehearsal.wire import Properties

LAUNCH_TEMPLATE = ResourceType(
    type="aws:ec2/launchTemplate:LaunchTemplate",
    service="ec2",
    create=Call(
        "create_launch_template",
        "{LaunchTemplateName: inputs.name, VersionDescription: inputs.description}",
        fill=True,
        within="LaunchTemplateData",
    ),
    id="result.LaunchTemplate.LaunchTemplateId",
    read=(
        Call("describe_launch_templates", "{LaunchTemplateIds: [id]}", at="LaunchTemplates[0]"),
        Call(
            "describe_launch_template_versions",
            "{LaunchTemplateId: id, Versions: ['$Latest']}",
            at="LaunchTemplateVersions[0].LaunchTemplateData",
        ),
    ),
    # a change is a new version
    update=Call(
        "create_launch_template_version",
        "{LaunchTemplateId: id, VersionDescription: inputs.description}",
        fill=True,
        within="LaunchTemplateData",
    ),
    after_update=Call(
        "modify_launch_template",
        "{LaunchTemplateId: id, DefaultVersion: text(result.LaunchTemplateVersion.VersionNumber)}",
        when="inputs.updateDefaultVersion",
    ),
    changes=(
        change(
            "defaultVersion",
            by=Call("modify_launch_template", "{LaunchTemplateId: id, DefaultVersion: text(inputs.defaultVersion)}"),
        ),
    ),
    delete=Call("delete_launch_template", "{LaunchTemplateId: id}"),
    tags=ec2_tags("launch-template"),
    autoname=AutoName(),
    outputs={
        "arn": Text("arn:{partition}:ec2:{region}:{account}:launch-template/{id}"),
        "latestVersion": "found.LatestVersionNumber",
        "defaultVersion": "found.DefaultVersionNumber",
        "name": "found.LaunchTemplateName",
    },
    names={
        "vpcSecurityGroupIds": "SecurityGroupIds",
        "securityGroupNames": "SecurityGroups",
        "networkInterfaces.securityGroups": "Groups",
    },
    unread=("tagSpecifications",),  # moto adds the template's own tags to them
    provider_only=("namePrefix", "updateDefaultVersion"),
    computed_on_update=("latestVersion", "defaultVersion"),
)

_REFRESH_TRIGGERS = ("launchTemplate", "launchConfiguration", "mixedInstancesPolicy")


def _start_instance_refresh(group: Resource) -> None:
    """Replaces the hosts when what the group launches has changed, as the provider does: the group has it already.

    One that is under way is cancelled first, which takes until the hosts that are starting or leaving have done so; for
    a way back, or to skip what matches, the new configuration goes along, and locks the group's
    (`startInstanceRefresh` in https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/autoscaling/group.go).
    """
    refresh = group.inputs.get("instanceRefresh")
    triggers = {*_REFRESH_TRIGGERS, *((refresh or {}).get("triggers") or [])}
    if not (refresh and any(group.old.get(name) != group.inputs.get(name) for name in triggers)):
        return
    shape = group.region.shape("autoscaling", "start_instance_refresh").members
    preferences = to_params(shape["Preferences"], refresh.get("preferences") or {}, group.row.names)
    given: Properties = {}
    if preferences.get("AutoRollback") or preferences.get("SkipMatching"):
        launched = {name: group.inputs[name] for name in _REFRESH_TRIGGERS if group.inputs.get(name)}
        given["DesiredConfiguration"] = to_params(shape["DesiredConfiguration"], launched, group.row.names)
    start = partial(
        group.region.call,
        "autoscaling",
        "start_instance_refresh",
        AutoScalingGroupName=group.id,
        Strategy=refresh.get("strategy"),
        Preferences=preferences,
        **given,
    )
    try:
        start()
    except AwsError as error:
        if error.code != "InstanceRefreshInProgress":
            raise
        _cancel_instance_refresh(group)
        start()


def _cancel_instance_refresh(group: Resource) -> None:
    """Raises:
    ProviderError: hosts are starting or leaving. The provider waits for a quarter of an hour; nobody completes their
        hooks meanwhile here, so that nothing would come of waiting.
    """
    asked = {"AutoScalingGroupName": group.id}
    group.region.call("autoscaling", "cancel_instance_refresh", **asked)
    found = group.region.call("autoscaling", "describe_instance_refreshes", **asked)["InstanceRefreshes"][0]
    if found["Status"] == "Cancelling":
        raise ProviderError(
            f"starting Auto Scaling Group ({group.id}) instance refresh: waiting for Auto Scaling Group ({group.id}) "
            "instance refresh cancel: timeout while waiting for state to become 'Cancelled' (last state: 'Cancelling', "
            "timeout: 15m0s)"
        )


AUTO_SCALING_GROUP = ResourceType(
    type="aws:autoscaling/group:Group",
    service="autoscaling",
    # With hooks of its own a group is born at 0, gets them, and then its size. So does the provider:
    # https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/autoscaling/group.go (`twoPhases`)
    create=Call(
        "create_auto_scaling_group",
        "inputs.initialLifecycleHooks && {MinSize: `0`, MaxSize: `0`, DesiredCapacity: `0`} || `{}`",
        fill=True,
    ),
    id="inputs.name",
    after_create=(
        Call(
            "put_lifecycle_hook",
            "{AutoScalingGroupName: id, LifecycleHookName: item.name, LifecycleTransition: item.lifecycleTransition, "
            "HeartbeatTimeout: item.heartbeatTimeout, DefaultResult: item.defaultResult, "
            "NotificationMetadata: item.notificationMetadata, NotificationTargetARN: item.notificationTargetArn, "
            "RoleARN: item.roleArn}",
            each="inputs.initialLifecycleHooks",
        ),
        Call(
            "update_auto_scaling_group",
            "{AutoScalingGroupName: id, MinSize: inputs.minSize, MaxSize: inputs.maxSize, "
            "DesiredCapacity: inputs.desiredCapacity}",
            when="inputs.initialLifecycleHooks",
        ),
    ),
    read=Call(
        "describe_auto_scaling_groups",
        "{AutoScalingGroupNames: [id]}",
        at="AutoScalingGroups[?Status == null] | [0]",
    ),
    # `HasChange` in the same file
    update=Call("update_auto_scaling_group", "{AutoScalingGroupName: id}", fill=True, only_changed=True),
    after_update=_start_instance_refresh,
    changes=(
        # they only ever work for a new group
        change("initialLifecycleHooks", by=(), on_create=False),
        change(
            "targetGroupArns",
            by=(
                Call(
                    "attach_load_balancer_target_groups",
                    "{AutoScalingGroupName: id, TargetGroupARNs: minus(inputs.targetGroupArns, old.targetGroupArns)}",
                    when="minus(inputs.targetGroupArns, old.targetGroupArns)",
                ),
                Call(
                    "detach_load_balancer_target_groups",
                    "{AutoScalingGroupName: id, TargetGroupARNs: minus(old.targetGroupArns, inputs.targetGroupArns)}",
                    when="minus(old.targetGroupArns, inputs.targetGroupArns)",
                ),
            ),
            on_create=False,
        ),
        change(
            "tags",
            by=(
                Call(
                    "delete_tags",
                    "{Tags: [{ResourceId: id, ResourceType: 'auto-scaling-group', Key: item.key}]}",
                    each="minus(old.tags, inputs.tags)",
                ),
                Call(
                    "create_or_update_tags",
                    "{Tags: [{ResourceId: id, ResourceType: 'auto-scaling-group', Key: item.key, "
                    "Value: item.value, PropagateAtLaunch: item.propagateAtLaunch}]}",
                    each="minus(inputs.tags, old.tags)",
                ),
            ),
            on_create=False,
        ),
        change(
            "suspendedProcesses",
            by=(
                Call(
                    "resume_processes",
                    "{AutoScalingGroupName: id, ScalingProcesses: "
                    "minus(old.suspendedProcesses, inputs.suspendedProcesses)}",
                    when="minus(old.suspendedProcesses, inputs.suspendedProcesses)",
                ),
                Call(
                    "suspend_processes",
                    "{AutoScalingGroupName: id, ScalingProcesses: inputs.suspendedProcesses}",
                    when="inputs.suspendedProcesses",
                ),
            ),
        ),
        change(
            "enabledMetrics",
            by=Call(
                "enable_metrics_collection",
                "{AutoScalingGroupName: id, Metrics: inputs.enabledMetrics, "
                "Granularity: inputs.metricsGranularity || '1Minute'}",
                when="inputs.enabledMetrics",
            ),
        ),
    ),
    delete=(
        # without forceDelete the provider first lets the group shrink to nothing
        Call(
            "update_auto_scaling_group",
            "{AutoScalingGroupName: id, MinSize: `0`, MaxSize: `0`, DesiredCapacity: `0`}",
            when="!(inputs.forceDelete)",
        ),
        Call("delete_auto_scaling_group", "{AutoScalingGroupName: id, ForceDelete: `true`}"),
    ),
    autoname=AutoName(),
    outputs={"arn": "found.AutoScalingGroupARN", "enabledMetrics": "found.EnabledMetrics[*].Metric"},
    names={
        "name": "AutoScalingGroupName",
        "launchTemplate.id": "LaunchTemplateId",
        "launchTemplate.name": "LaunchTemplateName",
        "protectFromScaleIn": "NewInstancesProtectedFromScaleIn",
        "initialLifecycleHooks": "LifecycleHookSpecificationList",
        "initialLifecycleHooks.name": "LifecycleHookName",
    },
    provider_only=(
        "namePrefix",
        "forceDelete",
        "forceDeleteWarmPool",
        "ignoreFailedScalingActivities",
        "metricsGranularity",
        "minElbCapacity",
        "waitForCapacityTimeout",
        "waitForElbCapacity",
    ),
    recorded=("instanceRefresh",),
    unread=(
        "initialLifecycleHooks",  # they are not the group's when it is described
        "healthCheckGracePeriod",  # moto says 300 where 0 was asked for
        # moto's UpdateAutoScalingGroup leaves these as they were
        "capacityRebalance",
        "defaultCooldown",
        "placementGroup",
        "terminationPolicies",
    ),
    replaces=("name",),
    import_id="{name: id}",
)

LIFECYCLE_HOOK = ResourceType(
    type="aws:autoscaling/lifecycleHook:LifecycleHook",
    service="autoscaling",
    create=Call("put_lifecycle_hook", fill=True),
    update=Call("put_lifecycle_hook", fill=True),
    id="inputs.name",
    read=Call(
        "describe_lifecycle_hooks",
        "{AutoScalingGroupName: inputs.autoscalingGroupName, LifecycleHookNames: [inputs.name]}",
        at="LifecycleHooks[0]",
    ),
    delete=Call(
        "delete_lifecycle_hook", "{AutoScalingGroupName: inputs.autoscalingGroupName, LifecycleHookName: inputs.name}"
    ),
    autoname=AutoName(),
    names={"name": "LifecycleHookName"},
    replaces=("name", "autoscalingGroupName"),
    import_id="{autoscalingGroupName: part(id, '/', `0`), name: part(id, '/', `1`)}",
)

POLICY = ResourceType(
    type="aws:autoscaling/policy:Policy",
    service="autoscaling",
    create=Call("put_scaling_policy", fill=True),
    update=Call("put_scaling_policy", fill=True),
    id="inputs.name",
    read=Call(
        "describe_policies",
        "{AutoScalingGroupName: inputs.autoscalingGroupName, PolicyNames: [inputs.name]}",
        at="ScalingPolicies[0]",
    ),
    delete=Call("delete_policy", "{AutoScalingGroupName: inputs.autoscalingGroupName, PolicyName: inputs.name}"),
    autoname=AutoName(),
    outputs={"arn": "found.PolicyARN"},
    names={"name": "PolicyName"},
    replaces=("name", "autoscalingGroupName"),
    import_id="{autoscalingGroupName: part(id, '/', `0`), name: part(id, '/', `1`)}",
)

ROWS = (LAUNCH_TEMPLATE, AUTO_SCALING_GROUP, LIFECYCLE_HOOK, POLICY)
