"""When schedules call: expressions of EventBridge Scheduler on the clock of their time zone.

As https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html has them: what falls into the hour that a
clock skips in spring is not called, and what falls into the hour that it repeats in autumn is called once.

Stands for: the clock of EventBridge Scheduler.
Held by: tests/rehearsal/test_schedule_times.py::test_as_awss_guide_says
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


def moments(expression: str, time_zone: str, start: datetime, end: datetime) -> Iterator[datetime]:
    """When a schedule calls after `start` and no later than `end`, in order and in UTC.

    Args:
        expression: at(...), rate(...), counted from `start`, or cron(...) of numbers, days, ranges, `*`, `?`.

    Raises:
        ValueError: it is another.
    """
    kind, _, inside = expression.removesuffix(")").partition("(")
    zone = ZoneInfo(time_zone)
    if kind == "at":
        found = iter([datetime.fromisoformat(inside).replace(tzinfo=zone).astimezone(UTC)])
    elif kind == "rate":
        found = _every(inside, start, end)
    elif kind == "cron":
        found = _cron(inside, zone, start, end)
    else:
        raise ValueError(f"no expression of EventBridge Scheduler: {expression}")
    return (moment for moment in found if start < moment <= end)


def _every(inside: str, start: datetime, end: datetime) -> Iterator[datetime]:
    number, unit = inside.split()
    step = int(number) * _UNITS[unit.removesuffix("s")]
    return (start + step * count for count in range(1, (end - start) // step + 1))


def _cron(inside: str, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    minutes, hours, days, months, weekdays, years = inside.split()
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    for day in map(date.fromordinal, range(first.toordinal(), last.toordinal() + 1)):
        fitting = (
            (years, day.year, 1970, 2199),
            (months, day.month, 1, 12),
            (days, day.day, 1, 31),
            (weekdays, day.isoweekday() % 7 + 1, 1, 7),
        )
        if not all(value in _field(text, low, high) for text, value, low, high in fitting):
            continue
        for hour in sorted(_field(hours, 0, 23)):
            for minute in sorted(_field(minutes, 0, 59)):
                local = datetime.combine(day, time(hour, minute), zone)
                if local.astimezone(UTC).astimezone(zone).time() == local.time():
                    yield local.astimezone(UTC)


def _field(text: str, low: int, high: int) -> set[int]:
    """The values of a field; a range of days may go over the end of the week."""
    if text in ("*", "?"):
        return set(range(low, high + 1))
    if not re.fullmatch(r"(\d+|[A-Z]{3})(-(\d+|[A-Z]{3}))?", text):
        raise ValueError(f"not understood in a cron expression: {text}")
    first, _, last = text.partition("-")
    begin, end = (_DAYS.index(part) + 1 if part in _DAYS else int(part) for part in (first, last or first))
    return set(range(begin, end + 1)) if begin <= end else {*range(begin, high + 1), *range(low, end + 1)}
