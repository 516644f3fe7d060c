"""Rows: the group of hosts, and what it launches."""

from __future__ import annotations

from tandem.ops.rights.right import FIRST, REAPER, REMOVERS, by_name, by_nothing, by_request, by_tag

GROUP = "autoScalingGroup:*:autoScalingGroupName/tandem-{stack}-*"
DASHBOARD = "dashboard/tandem-{stack}-*"
ALARM = "alarm:tandem-{stack}-*"

ROWS = (
    by_request("MakeGroups", "autoscaling: CreateAutoScalingGroup CreateOrUpdateTags", GROUP, FIRST, platform="ec2"),
    by_tag(
        "ChangeGroups",
        "autoscaling: AttachLoadBalancerTargetGroups CancelInstanceRefresh CompleteLifecycleAction CreateOrUpdateTags "
        "DeleteLifecycleHook DeleteTags DetachLoadBalancerTargetGroups PutLifecycleHook "
        "ResumeProcesses StartInstanceRefresh SuspendProcesses UpdateAutoScalingGroup",
        GROUP,
        "sizes, hooks and rollouts of one's own",
        platform="ec2",
    ),
    by_tag(
        "RemoveGroups",
        "autoscaling: DeleteAutoScalingGroup",
        GROUP,
        "with the instances in it",
        platform="ec2",
        who=REMOVERS,
    ),
    by_tag(
        "ScaleGroups",
        "autoscaling: DeletePolicy DisableMetricsCollection EnableMetricsCollection PutScalingPolicy "
        "SetDesiredCapacity",
        GROUP,
        "fleet.followLoad and costGuard.idleAfter: policies that alarms call, a metric that they look at, and the "
        "way back from 0",
        platform="ec2",
    ),
    by_tag(
        "EndBatches",
        "autoscaling: PutScheduledUpdateGroupAction",
        GROUP,
        "`tandem batch`: what ends its machines when its money could be spent is there before they are",
        platform="ec2",
    ),
    by_request("MakeAlarms", "cloudwatch: PutMetricAlarm TagResource", ALARM, FIRST),
    by_tag(
        "ChangeAlarms", "cloudwatch: PutMetricAlarm TagResource UntagResource", ALARM, "another objective, another time"
    ),
    by_nothing(
        "MakeAlarmsOfAlarms",
        "cloudwatch: PutCompositeAlarm",
        "*",
        "CloudWatch takes this action on all alarms only: its rule may name any of them",
    ),
    by_tag("RemoveAlarms", "cloudwatch: DeleteAlarms", ALARM, "of one's own", who=REMOVERS),
    by_name(
        "MakeDashboards",
        "cloudwatch: PutDashboard",
        DASHBOARD,
        "the provider gives a dashboard no tags; ephemeral stacks, which the reaper removes by theirs, have none",
    ),
    by_name(
        "RemoveDashboards",
        "cloudwatch: DeleteDashboards",
        DASHBOARD,
        "likewise; it holds nothing that `up` does not write again",
    ),
    by_tag("RemovePolicies", "autoscaling: DeletePolicy", GROUP, "of one's own", platform="ec2", who=(REAPER,)),
    by_tag(
        "LaunchOwn",
        "ec2: RunInstances",
        "launch-template/* security-group/*",
        "Auto Scaling asks whether the caller might launch what a group's template says",
        platform="ec2",
    ),
    by_request(
        "LaunchTagged",
        "ec2: RunInstances",
        "instance/* volume/*",
        "the same; hosts and their volumes carry tandem's tags",
        platform="ec2",
    ),
    by_nothing(
        "LaunchFrom",
        "ec2: RunInstances",
        "image/* network-interface/* snapshot/* capacity-reservation/* subnet/*",
        "the same; images are Ubuntu's or one's own, interfaces carry no tags, and subnets may be of others",
        platform="ec2",
    ),
    by_tag(
        "RemoveInstances",
        "ec2: DeleteNetworkInterface DeleteSnapshot DeleteVolume DeregisterImage TerminateInstances",
        "image/* instance/* network-interface/* snapshot/* volume/*",
        "`tandem recover` and `tandem reap` end what nothing in a state does",
        who=REMOVERS,
    ),
)
