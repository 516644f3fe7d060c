"""How a new version reaches hosts: what holds each of them, and how many are replaced at once."""

from __future__ import annotations

LAUNCH_HOOK, TERMINATE_HOOK = "first-token", "drain"
"""Names of the lifecycle hooks that hold a host until it has made a token, and until it has drained."""


def refresh_percentages(launch_first: bool, hosts: int) -> tuple[int, int]:
    """(min, max) healthy percentage that replaces one host at a time.

    launch_first needs room for a host more than the group has; otherwise one host goes before its successor comes,
    and a group of one is without a host meanwhile.
    """
    one = max(1, -(-100 // max(hosts, 1)))
    return (100, min(200, 100 + one)) if launch_first else (max(0, 100 - one), 100)
