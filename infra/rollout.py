"""How a new version reaches hosts: what holds each of them, and how many are replaced at once."""

from __future__ import annotations

from typing import Literal

LAUNCH_HOOK, TERMINATE_HOOK = "first-token", "drain"
"""Names of the lifecycle hooks that hold a host until it has made a token, and until it has drained."""


def refresh_percentages(rollout: Literal["launchFirst", "terminateFirst"], least: int, most: int) -> tuple[int, int]:
    """(min, max) healthy percentage that replaces one host at a time, in a group of so many.

    launchFirst needs room for a host more than the group has; with terminateFirst one host goes before its successor
    comes, and a group of one is without a host meanwhile.
    """
    if rollout == "launchFirst":
        # By the largest group: a smaller one gets a host on top all the same, to the letter of the API.
        return 100, min(200, 100 + _one_of(most))
    return max(0, 100 - _one_of(least)), 100


def _one_of(hosts: int) -> int:
    return max(1, -(-100 // max(hosts, 1)))
