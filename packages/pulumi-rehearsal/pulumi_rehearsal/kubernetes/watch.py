"""Looks again and again while something goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pulumi_rehearsal.kubernetes.api import Api, countdown
from pulumi_rehearsal.meanwhile import meanwhile

EVERY_SECONDS = 0.1


def available(api: Api) -> dict[str, int]:
    """Available replicas of each Deployment, by name."""
    deployments = api.list("apps/v1", "Deployment")
    return {
        deployment["metadata"]["name"]: deployment.get("status", {}).get("availableReplicas", 0)
        for deployment in deployments
    }


@contextmanager
def lowest_available(api: Api, count: Callable[[Api], dict[str, int]] = available) -> Iterator[dict[str, int]]:
    """The fewest replicas of each model that is there from the start, by name; whole after the block."""
    lowest = count(api)

    def look() -> None:
        for name, available in count(api).items():
            if name in lowest:
                lowest[name] = min(lowest[name], available)

    with meanwhile(look, EVERY_SECONDS):
        yield lowest


def seconds_until(condition: Callable[[], bool], seconds: float) -> float | None:
    """Waits for a condition; how long it took, or None when it does not hold in time."""
    started = time.monotonic()
    for _ in countdown(seconds, poll_seconds=0.3):
        if condition():
            return time.monotonic() - started
    return None
