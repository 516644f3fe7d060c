"""Watches rollouts to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from tandem.ops.rollout.report import Platform
from tandem.rollout import Rollout

LOOK_SECONDS = 15


def follow(
    platform: Platform,
    seconds: float,
    until: Callable[[Rollout], object] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Sequence[Rollout]]:
    """What there is, again whenever it has changed, until time alone brings none of it further, or its time is over.

    Args:
        seconds: 0 looks once.
        until: ends it earlier, when it is true of one of them.
    """
    deadline, before = time.monotonic() + seconds, None
    while True:
        found = platform.look()
        if found != before:
            yield found
            before = found
        if not any(one.moves for one in found) or any(map(until, found) if until else ()):
            return
        if time.monotonic() >= deadline:
            return
        sleep(LOOK_SECONDS)
