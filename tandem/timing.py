"""Spans that a stack cannot choose: AWS's own, and those on which several parts must agree. The settings have the rest.

Seconds where a manifest or a host reads them, `timedelta` where moments are counted with.
"""

from __future__ import annotations

from datetime import timedelta

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)

# -- hosts -------------------------------------------------------------------------------------------------------------

HEARTBEAT_SECONDS = 600
"""A host reports to its lifecycle hook while it works; one that falls silent is given up after this long."""
HOOK_SECONDS = 7200
"""The longest that a lifecycle hook waits for one heartbeat:
https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html"""
HOOK_MARGIN_SECONDS = 60
SPOT_NOTICE_SECONDS = 120
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""

# -- pods and their nodes ----------------------------------------------------------------------------------------------

DEREGISTRATION_SECONDS = 30
"""From the end of a pod to the moment the load balancer sends it nothing more, with room."""
STOP_MARGIN_SECONDS = 30
"""For a server to end once its last answer has."""
NODE_HOOK = timedelta(seconds=1800)
"""EKS holds a node that leaves in a hook of its own (`Terminate-LC-Hook`) for as long as this, until it is drained."""
LEAST_DRAIN_SECONDS = 3 * 3600
MANAGED_DRAIN_SECONDS = 900
"""EKS gives a node of a managed group so long at an update, then ends the update with PodEvictionFailure
(https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html)."""

# -- the account's clocks ----------------------------------------------------------------------------------------------

SCHEDULE_PRECISION = MINUTE
"""EventBridge Scheduler calls within the minute: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html"""
CAPACITY_BLOCK_RECLAIM = timedelta(minutes=30)
"""AWS begins to end the hosts of a Capacity Block half an hour before its end:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/capacity-blocks-using.html"""
ALARM_LONGEST_BY_MINUTES, ALARM_LONGEST = timedelta(days=1), timedelta(days=7)
"""An alarm looks back a day by periods under an hour, and 7 days by longer ones:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"""
