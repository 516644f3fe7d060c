"""How hosts follow the load: what CloudWatch looks at, and what Auto Scaling then does. Pure.

One figure says it: load in parts of what the settings want. `Load` (requests of a replica that run or wait, averaged
over replicas) by scaling.runningRequestsPerReplica, or `Waiting` by scaling.waitingRequestsPerReplica, whichever is
more: at 1 the fleet is right. A host comes when it was more for most of a minute. One goes when, for minutes, the hosts
that would be left had less than ROOM of it each: what a host would leave behind counts, not that nobody waits.
"""

from __future__ import annotations

import itertools
from datetime import timedelta

from tandem import capacity
from tandem.settings.cluster import ScalingSettings
from tandem.settings.schema import Settings

FAST_FIGURES = ("Load", "Waiting")
"""That hosts which follow the load report at each look, every ten seconds, for alarms of a high resolution."""
FAST_PERIOD_SECONDS, SLOW_PERIOD_SECONDS = 10, 60
"""Periods of an alarm: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html"""
FAST_PERIODS, FAST_BREACHES = 6, 5
"""Five of the last six: a burst of 40 s moves nothing, and a queue that stays has its host within 90 s."""
ROOM = 0.8
"""Of the target; between it and 1 nothing happens, so that what a host leaves behind brings none back."""
STEPS = ((0.25, 25), (0.5, 50), (None, 100))
"""(up to so much above the target, percent of the hosts more, one at least): at most as many again, as on Kubernetes.
Without a lower bound: a call whose average lies below the target, since one look of six did, is a call."""
LEAVING_PERCENT = 10
"""Of the hosts, one at least: a large fleet is small again within the hour or two that its load takes."""
WARM_UP_SECONDS = 120
"""A host in service has made its token; so long until what it takes off the others is in the averages. It counts as
none until then: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-default-instance-warmup.html"""


def fullness(scaling: ScalingSettings, load: str = "load") -> str:
    """Metric math of `load` and `waiting`: 1 is what the settings want."""
    running = f"{load} / {scaling.running_requests_per_replica}"
    waiting = f"waiting / {scaling.waiting_requests_per_replica}"
    return f"IF({running} > {waiting}, {running}, {waiting})"


def fullness_without(settings: Settings) -> str:
    """Metric math of `load`, `waiting` and `servers`: the same, had those gone already that the policy lets go: a tenth
    of the hosts, one at least, and of a fleet of several types the largest.

    1 where it would be the last. Of a fleet that sleeps `on`, the hosts in service, says that it would not be below its
    least: the group's own bound is 0 there. What may have no figures stands where IF is false: where it is true, AWS
    takes none for 0 (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html).
    """
    servers = capacity.servers_per_host(settings)
    fewest, each, tenth = min(servers), max(servers), LEAVING_PERCENT / 100
    more = f"servers / (servers - {each})"
    if settings.max_group_size * tenth > 1:
        more = f"IF(servers > {fewest / tenth:g}, {1 / (1 - tenth * each / fewest):g}, {more})"
    expression = f"IF(servers <= {each}, 1, {fullness(settings.scaling, f'load * {more}')})"
    return f"IF(on < {_may_leave(woken_hosts(settings))}, 1, {expression})" if settings.sleeps else expression


def _may_leave(least: int) -> int:
    """The fewest hosts of which those that go leave as many as that."""
    return next(hosts for hosts in itertools.count(least) if hosts - max(1, hosts * LEAVING_PERCENT // 100) >= least)


WAKE = "IF(FILL(servers, 0) > 0, 0, refused)"
"""Requests for which the load balancer had no server at all, which it answers with 503, while no server tells of
itself. Nothing is put in place of what it has not told yet, which would be what the newest minutes seem to say:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html"""
WAKE_PERIODS, WAKE_WARM_UP_SECONDS = 3, 600
"""One such minute of the last three: the load balancer's figures come late. Longer than all this takes, what was woken
counts as not yet there, so that it is woken once."""


def slow_periods(scaling: ScalingSettings) -> int:
    """Minutes for which the load must have been lower before a host goes."""
    return -(-scaling.cooldown_seconds // SLOW_PERIOD_SECONDS)


def woken_hosts(settings: Settings) -> int:
    """Hosts that the first request starts, and that stay until none comes any more."""
    return max(1, settings.group_size)


def idle_after(settings: Settings) -> timedelta | None:
    """How long without a request until the hosts go to 0; None for never.

    Unset, a fleet of 0 hosts waits for the cooldown and for what a start may take, as on Kubernetes: what may have
    taken an hour to come does not go after five minutes.
    """
    if settings.cost_guard.idle_after is not None or not settings.sleeps:
        return settings.cost_guard.idle_after
    seconds = settings.scaling.cooldown_seconds + settings.fleet.launch_timeout_seconds
    return timedelta(minutes=-(-seconds // 60))


def alarm_metrics(settings: Settings) -> tuple[int, int]:
    """(of a high resolution, others) that the alarms look at, each of which is paid for."""
    if not settings.follows_load:
        return 0, 0
    return len(FAST_FIGURES), 3 + 3 * settings.sleeps  # load, waiting, servers; on, servers, refused
