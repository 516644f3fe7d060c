"""When a stack runs: until its spend cap, its expiry or the end of its Capacity Block, and at its business hours.

Pure arithmetic on settings, prices and moments that are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

from tandem import costs, scaling
from tandem.platforms import platform_of
from tandem.settings.schema import BusinessHoursSettings, Settings
from tandem.timing import CAPACITY_BLOCK_RECLAIM, HOUR, MINUTE, SCHEDULE_PRECISION

DAYS = {"MON-FRI": range(5), "MON-SAT": range(6), "SUN-THU": (6, 0, 1, 2, 3), "*": range(7)}
"""Days of the week, Monday 0."""


@dataclass(frozen=True)
class Size:
    """Bounds of the servers' group, and how many it starts with."""

    least: int
    most: int
    wanted: int


STOPPED = Size(0, 0, 0)


def size(settings: Settings) -> Size:
    """Of the group while the stack runs; an idle stop may take it to 0."""
    least = 0 if settings.cost_guard.idle_after else settings.group_size
    return Size(least, settings.max_group_size, settings.group_size)


def leaving_time(settings: Settings) -> timedelta:
    """What hosts still cost after the schedule's minute."""
    return SCHEDULE_PRECISION + platform_of(settings).drain_time


def usd_at_most(settings: Settings, life: timedelta) -> float:
    """What a stack can spend that is stopped when it is so old.

    Counted as if maxHosts of the dearest type, and the hosts that overlap while others are replaced, had run on demand
    from the first minute, each had been replaced once and drained beside its successor, and all would take all of
    their time to leave. Each further replacement costs a drain more.
    """
    by_hour = costs.max_usd_per_hour(settings)
    return by_hour * ((life + leaving_time(settings)) / HOUR) + _replaced_once(settings)


def _replaced_once(settings: Settings) -> float:
    hosts = chain(*map(costs.dearest_hosts, settings.groups.values()))
    return costs.total(hosts) * (platform_of(settings).drain_time / HOUR)


def life_within_cap(settings: Settings) -> timedelta | None:
    """How long the stack may run before it could have spent costGuard.maxUsd, to the minute below; None uncapped."""
    cap = settings.cost_guard.max_usd
    if cap is None:
        return None
    by_hour = costs.max_usd_per_hour(settings)
    all_of_it = timedelta(hours=max(0.0, cap - _replaced_once(settings)) / by_hour)
    return max(timedelta(), (all_of_it - leaving_time(settings)) // MINUTE * MINUTE)


def planned(settings: Settings) -> timedelta | None:
    """From the first `up` to the stop, where that is known before it begins: the sooner of costGuard.expiresAfter and
    costGuard.maxUsd."""
    spans = (settings.cost_guard.expires_after, life_within_cap(settings))
    return min((span for span in spans if span is not None), default=None)


def expires_at(settings: Settings, created: datetime) -> datetime | None:
    """When the fleet goes to 0: the soonest of expiry, spend cap and the end of a Capacity Block; None for never.

    Args:
        created: when the stack was first made (UTC); it does not move with later `up`s.
    """
    guard, cap = settings.cost_guard, life_within_cap(settings)
    blocks = (group.fleet.capacity_block for group in settings.groups.values())
    limits = [
        guard.expires_at,
        created + guard.expires_after if guard.expires_after is not None else None,
        created + cap if cap is not None else None,
        *(block.ends_at - CAPACITY_BLOCK_RECLAIM - leaving_time(settings) for block in blocks if block is not None),
    ]
    soonest = min((limit for limit in limits if limit is not None), default=None)
    return None if soonest is None else soonest.astimezone(UTC).replace(second=0, microsecond=0)


def expires(settings: Settings) -> bool:
    """Whether anything stops this stack for good."""
    return expires_at(settings, datetime(2026, 1, 1, tzinfo=UTC)) is not None


def is_open(hours: BusinessHoursSettings, now: datetime) -> bool:
    """Whether a moment lies within business hours, on their own clock."""
    local = now.astimezone(ZoneInfo(hours.time_zone))
    return local.weekday() in DAYS[hours.days] and hours.start <= f"{local:%H:%M}" < hours.stop


def skipped_on(hours: BusinessHoursSettings, years: range) -> tuple[str, date] | None:
    """A start or stop that the clock jumps over when it is set forward, with the day; EventBridge skips it then
    (https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html)."""
    zone = ZoneInfo(hours.time_zone)
    for text in (hours.start, hours.stop):
        for ordinal in range(date(years.start, 1, 1).toordinal(), date(years.stop, 1, 1).toordinal()):
            there = datetime.combine(date.fromordinal(ordinal), time.fromisoformat(text), zone)
            if there.astimezone(UTC).astimezone(zone).time() != there.time():
                return text, there.date()
    return None


def why_idle(settings: Settings) -> str | None:
    """The sentence that says why the hosts are at 0 within the stack's time, and what brings them back; None where
    nothing but a person sets them to 0."""
    after = scaling.idle_after(settings)
    if after is None:
        return None
    if settings.sleeps:
        return f"asleep: no request for {after // MINUTE} min, or none yet; the next one gets 503 and starts hosts"
    return f"stopped after {after // MINUTE} min without a request, or by hand; `pulumi up --refresh` starts it again"


def why_stopped(settings: Settings, ends: datetime | None, now: datetime) -> str | None:
    """The sentence that says why the hosts are at 0 now; None where they run.

    Args:
        ends: of `expires_at`.
    """
    if ends is not None and ends <= now:
        return (
            f"the time of this stack ended at {ends:%Y-%m-%d %H:%MZ}, so its GPU hosts are at 0: to have them back, "
            "raise costGuard.expiresAfter, expiresAt or maxUsd, whichever ends it, then `pulumi up --refresh`"
        )
    hours = settings.cost_guard.business_hours
    if hours is not None and not is_open(hours, now):
        return (
            f"it is outside the business hours ({hours.start} to {hours.stop}, {hours.days}, {hours.time_zone}), "
            "so the GPU hosts are at 0 until these begin"
        )
    return None
