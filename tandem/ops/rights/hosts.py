"""Rows: the group of hosts, and what it launches."""

from __future__ import annotations

from tandem.ops.rights.right import DEPLOYER, REAPER, By, Right

GROUP = "autoScalingGroup:*:autoScalingGroupName/tandem-{stack}-*"
DASHBOARD = "dashboard/tandem-{stack}-*"
ALARM = "alarm:tandem-{stack}-*"

ROWS = (
    Right(
        sid="MakeGroups",
        service="autoscaling",
        actions="CreateAutoScalingGroup CreateOrUpdateTags",
        on=GROUP,
        by=By.REQUEST,
        platform="ec2",
        why="each carries tandem's tags from the start, and a name of tandem's",
    ),
    Right(
        sid="ChangeGroups",
        service="autoscaling",
        actions="AttachLoadBalancerTargetGroups CancelInstanceRefresh CompleteLifecycleAction CreateOrUpdateTags "
        "DeleteLifecycleHook DeleteTags DetachLoadBalancerTargetGroups PutLifecycleHook "
        "ResumeProcesses StartInstanceRefresh SuspendProcesses UpdateAutoScalingGroup",
        on=GROUP,
        by=By.TAG,
        platform="ec2",
        why="sizes, hooks and rollouts of one's own",
    ),
    Right(
        sid="RemoveGroups",
        service="autoscaling",
        actions="DeleteAutoScalingGroup",
        on=GROUP,
        by=By.TAG,
        platform="ec2",
        why="with the instances in it",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="ScaleGroups",
        service="autoscaling",
        actions="DeletePolicy DisableMetricsCollection EnableMetricsCollection PutScalingPolicy SetDesiredCapacity",
        on=GROUP,
        by=By.TAG,
        platform="ec2",
        why="fleet.followLoad and costGuard.idleAfter: policies that alarms call, a metric that they look at, and the "
        "way back from 0",
    ),
    Right(
        sid="EndBatches",
        service="autoscaling",
        actions="PutScheduledUpdateGroupAction",
        on=GROUP,
        by=By.TAG,
        platform="ec2",
        why="`tandem batch`: what ends its machines when its money could be spent is there before they are",
    ),
    Right(
        sid="MakeAlarms",
        service="cloudwatch",
        actions="PutMetricAlarm TagResource",
        on=ALARM,
        by=By.REQUEST,
        why="each carries tandem's tags from the start, and a name of tandem's",
    ),
    Right(
        sid="ChangeAlarms",
        service="cloudwatch",
        actions="PutMetricAlarm TagResource UntagResource",
        on=ALARM,
        by=By.TAG,
        why="another objective, another time",
    ),
    Right(
        sid="MakeAlarmsOfAlarms",
        service="cloudwatch",
        actions="PutCompositeAlarm",
        on="*",
        by=By.NOTHING,
        why="CloudWatch takes this action on all alarms only: its rule may name any of them",
    ),
    Right(
        sid="RemoveAlarms",
        service="cloudwatch",
        actions="DeleteAlarms",
        on=ALARM,
        by=By.TAG,
        why="of one's own",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="MakeDashboards",
        service="cloudwatch",
        actions="PutDashboard",
        on=DASHBOARD,
        by=By.NAME,
        why="the provider gives a dashboard no tags; ephemeral stacks, which the reaper removes by theirs, have none",
    ),
    Right(
        sid="RemoveDashboards",
        service="cloudwatch",
        actions="DeleteDashboards",
        on=DASHBOARD,
        by=By.NAME,
        why="likewise; it holds nothing that `up` does not write again",
    ),
    Right(
        sid="RemovePolicies",
        service="autoscaling",
        actions="DeletePolicy",
        on=GROUP,
        by=By.TAG,
        platform="ec2",
        why="of one's own",
        who=(REAPER,),
    ),
    Right(
        sid="LaunchOwn",
        service="ec2",
        actions="RunInstances",
        on="launch-template/* security-group/*",
        by=By.TAG,
        platform="ec2",
        why="Auto Scaling asks whether the caller might launch what a group's template says",
    ),
    Right(
        sid="LaunchTagged",
        service="ec2",
        actions="RunInstances",
        on="instance/* volume/*",
        by=By.REQUEST,
        platform="ec2",
        why="the same; hosts and their volumes carry tandem's tags",
    ),
    Right(
        sid="LaunchFrom",
        service="ec2",
        actions="RunInstances",
        on="image/* network-interface/* snapshot/* capacity-reservation/* subnet/*",
        by=By.NOTHING,
        platform="ec2",
        why="the same; images are Ubuntu's or one's own, interfaces carry no tags, and subnets may be of others",
    ),
    Right(
        sid="RemoveInstances",
        service="ec2",
        actions="DeleteNetworkInterface DeleteSnapshot DeleteVolume DeregisterImage TerminateInstances",
        on="image/* instance/* network-interface/* snapshot/* volume/*",
        by=By.TAG,
        why="`tandem recover` and `tandem reap` end what nothing in a state does",
        who=(DEPLOYER, REAPER),
    ),
)
