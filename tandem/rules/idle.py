"""What must hold of a stack that stops when nobody asks."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.errors import Problem
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import Settings
from tandem.timing import ALARM_LONGEST, ALARM_LONGEST_BY_MINUTES, HOUR, MINUTE


def idle_stop_can_work(settings: Settings) -> Iterator[Problem]:
    """An alarm can look back so far, sees no requests but clients', and is not all that stops the stack."""
    guard, after = settings.cost_guard, settings.cost_guard.idle_after
    if after is None:
        return

    def problem(wrong: str, allowed: str, fix: str) -> Problem:
        return Problem(key="costGuard.idleAfter", wrong=wrong, value=f"{after // MINUTE}m", allowed=allowed, fix=fix)

    if after > ALARM_LONGEST or (after > ALARM_LONGEST_BY_MINUTES and after % HOUR):
        yield problem(
            "a CloudWatch alarm cannot look back so",
            "from 10m to 1d by the minute, and to 7d by the hour",
            f"{set_to('costGuard.idleAfter', '1d')}, or 7d or less in whole hours",
        )
    if not (guard.expires_after or guard.expires_at or guard.max_usd):
        yield problem(
            "a host that never serves is not idle, and a stack that is asked all night does not stop",
            "beside an end that comes in any case",
            f"{set_to('costGuard.expiresAfter', 'TIME')}, or costGuard.maxUsd, too",
        )
    if settings.global_name is not None and settings.global_name.outside_check:
        yield problem(
            "Route 53 asks for the stack's health from outside, and each of these counts as a request",
            "without globalName.outsideCheck",
            f"{set_to('globalName.outsideCheck', False)}, or {removed('costGuard.idleAfter')}",
        )
