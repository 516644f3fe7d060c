"""Plays the hosts of an Auto Scaling group: each makes its first token, or gives up, and drains when it is told to go.

Stands for: what tandem's scripts on a host ask of the group's lifecycle hooks.
Held by: tests/real/test_boot.py::test_the_group_and_the_load_balancer_get_the_host_after_its_first_token (a real boot),
    tests/real/test_boot_way_out.py::test_a_spot_notice_during_a_streamed_answer_ends_it_whole (a real way out)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

from tandem.ops.kinds.kind import Clients
from tandem.rollout import LAUNCH_HOOK, TERMINATE_HOOK

LOOKS = 200
Hosts = Counter[tuple[str, str]]
"""How many there are of each version and state."""


def play(clients: Clients, group: str, bad: Collection[str] = ()) -> Iterator[Hosts]:
    """What the group has at each look, while hosts do what they have to; ends when nothing is left to do.

    Args:
        bad: versions of the launch template that make no token.

    Raises:
        RuntimeError: it never ends.
    """
    api = clients("autoscaling")
    for _ in range(LOOKS):
        api.describe_instance_refreshes(
            AutoScalingGroupName=group
        )  # the simulated account goes on when it is looked at
        hosts = api.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"][0]["Instances"]
        yield Counter((host["LaunchTemplate"]["Version"], host["LifecycleState"]) for host in hosts)
        if all(host["LifecycleState"] == "InService" for host in hosts):
            return
        for host in hosts:
            _do(api, group, host, bad)
    raise RuntimeError(f"{group}: hosts come and go for ever")


def _do(api: Any, group: str, host: dict[str, Any], bad: Collection[str]) -> None:
    told: dict[str, tuple[str, Callable[[], str]]] = {
        "Pending:Wait": (LAUNCH_HOOK, lambda: "ABANDON" if host["LaunchTemplate"]["Version"] in bad else "CONTINUE"),
        "Terminating:Wait": (TERMINATE_HOOK, lambda: "CONTINUE"),
    }
    if host["LifecycleState"] in told:
        hook, result = told[host["LifecycleState"]]
        api.complete_lifecycle_action(
            AutoScalingGroupName=group,
            LifecycleHookName=hook,
            InstanceId=host["InstanceId"],
            LifecycleActionResult=result(),
        )
