"""What must hold of hosts that follow the load."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.errors import Problem
from tandem.rollout import refresh_percentages
from tandem.rules.batch import queue_can_reach_the_autoscaler
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import Settings

KEY = "fleet.followLoad"
OF_HOSTS = frozenset({"waiting_requests_per_replica", "running_requests_per_replica", "cooldown_seconds"})
"""Of `scaling`; the others are about pods, and the fleet has its bounds itself."""
INSTEAD = {
    "min_replicas": "fleet.hosts and fleet.spareHosts say how many hosts there are at least",
    "max_replicas": "fleet.maxHosts says how many hosts there are at most",
    "fallback_replicas": "without figures no host comes and none goes",
    "min_available": "fleet.rollout says how hosts are replaced, and one goes at a time",
    "spread": "Auto Scaling spreads hosts over the zones",
}
"""What says the same of hosts."""


def scaling_is_of_hosts(settings: Settings) -> Iterator[Problem]:
    """On hosts three of its settings have an effect, and those only where hosts follow the load."""
    fields = type(settings.scaling).model_fields
    for name, value in settings.scaling:
        if value == fields[name].default or (name in OF_HOSTS and settings.fleet.follow_load):
            continue
        key = f"scaling.{fields[name].alias}"
        fix = f"{set_to('platform', 'eks')}, or {removed(key)}"
        if name in OF_HOSTS:
            allowed, fix = (
                f"on platform ec2 with {KEY}, or with platform: eks",
                f"{set_to(KEY, True)}, or {removed(key)}",
            )
        else:
            allowed = "with platform: eks" + (f"; {INSTEAD[name]}" if name in INSTEAD else "")
        yield Problem(key=key, wrong="has no effect on platform ec2", value=value, allowed=allowed, fix=fix)


def hosts_can_follow(settings: Settings) -> Iterator[Problem]:
    """There is something to look at, and somewhere to go."""
    fleet = settings.fleet
    if not fleet.follow_load:
        return

    def problem(key: str, wrong: str, value: object, allowed: str, fix: str) -> Problem:
        return Problem(key=key, wrong=wrong, value=value, allowed=allowed, fix=fix)

    if settings.max_group_size <= settings.group_size:
        least = settings.group_size
        yield problem(
            "fleet.maxHosts",
            f"leaves nothing between itself and hosts + spareHosts ({least}), and fleet.followLoad is on",
            fleet.max_hosts,
            f"{least + 1} or more with {KEY}",
            f"{set_to('fleet.maxHosts', least + 1)}, or {removed(KEY)}",
        )
    if not settings.metrics.cloudwatch:
        yield problem(
            KEY,
            "hosts tell nobody of their load",
            True,
            "with metrics.cloudwatch",
            f"{set_to('metrics.cloudwatch', True)}, or {removed(KEY)}",
        )
    waits = fleet.capacity_reservations is not None and fleet.capacity_reservations.when_full == "wait"
    if fleet.capacity_block is not None or waits:
        yield problem(
            KEY,
            "what is reserved is paid for as a whole, whether or not its hosts run, and no host starts beside it",
            True,
            "without fleet.capacityBlock, or with fleet.capacityReservations.whenFull: onDemand",
            f"{removed(KEY)}, and fleet.hosts as many as were reserved",
        )
    if fleet.rollout == "terminateFirst" and (at_once := _replaced_at_once(settings)) > 1:
        yield problem(
            "fleet.rollout",
            f"ends a share of the hosts that there are at the time: one of the fewest, {at_once} of fleet.maxHosts",
            fleet.rollout,
            f"launchFirst with {KEY}, where the share is more than one host",
            f"{set_to('fleet.rollout', 'launchFirst')}, or {removed(KEY)}",
        )
    yield from queue_can_reach_the_autoscaler(settings)
    if settings.sleeps:
        yield from _can_sleep(settings)


def _can_sleep(settings: Settings) -> Iterator[Problem]:
    """Hosts go to 0 when nobody asks, which somebody may do always; and come one by one."""
    name = settings.global_name
    if name is not None and name.outside_check and settings.cost_guard.idle_after is None:
        yield Problem(
            key=KEY,
            wrong="Route 53 asks for the stack's health from outside: with fleet.hosts 0 that wakes and keeps hosts",
            value=True,
            allowed="without globalName.outsideCheck while fleet.hosts is 0",
            fix=f"{set_to('globalName.outsideCheck', False)}, or {set_to('fleet.hosts', 1)}",
        )


def _replaced_at_once(settings: Settings) -> int:
    """Hosts of the largest group that a rollout may end before others come: Auto Scaling rounds the healthy ones up
    (https://docs.aws.amazon.com/autoscaling/ec2/userguide/understand-instance-refresh-default-values.html)."""
    least, most = max(1, settings.group_size), settings.max_group_size
    healthy, _ = refresh_percentages("terminateFirst", least, most)
    return most * (100 - healthy) // 100
