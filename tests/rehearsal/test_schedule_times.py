"""The played clock of EventBridge Scheduler."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pulumi_rehearsal.schedule_times import moments
from rehearsal.expiry import Call

FRIDAY = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
WEEK = timedelta(days=7)


def told(expression: str, zone: str, start: str, days: float) -> list[str]:
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    return [f"{moment:%a %d %H:%M}" for moment in moments(expression, zone, begin, begin + timedelta(days=days))]


# The last two are AWS's words: in spring "if a cron expression falls on a non-existent date and time, your schedule
# invocation is skipped", in autumn it "runs only once".
TABLE = """
at(2026-11-20T14:30:00) | Etc/UTC          | 2026-11-20T12:00 | 7   | Fri 20 14:30
at(2026-11-20T14:30:00) | Asia/Tokyo       | 2026-11-20T12:00 | 7   |
rate(6 hours)           | Etc/UTC          | 2026-11-20T12:00 | 0.5 | Fri 20 18:00, Sat 21 00:00
cron(0 8 ? * MON-FRI *) | Etc/UTC          | 2026-11-20T12:00 | 4   | Mon 23 08:00, Tue 24 08:00
cron(0 8 ? * SUN-THU *) | Asia/Dubai       | 2026-11-20T12:00 | 3   | Sun 22 04:00, Mon 23 04:00
cron(0 20-22 ? * * *)   | Etc/UTC          | 2026-11-20T12:00 | 1   | Fri 20 20:00, Fri 20 21:00, Fri 20 22:00
cron(0 8 ? * * *)       | America/New_York | 2027-03-13T00:00 | 2   | Sat 13 13:00, Sun 14 12:00
cron(30 2 ? * * *)      | Europe/Berlin    | 2027-03-27T00:00 | 3   | Sat 27 01:30, Mon 29 00:30
cron(30 2 ? * * *)      | Europe/Berlin    | 2026-10-24T12:00 | 2   | Sun 25 00:30, Mon 26 01:30
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize(("expression", "zone", "start", "days", "expected"), ROWS)
def test_as_awss_guide_says(expression: str, zone: str, start: str, days: str, expected: str) -> None:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html, under "Daylight savings time"."""
    assert ", ".join(told(expression, zone, start, float(days))) == expected


@pytest.mark.parametrize("expression", ["cron(0 8 ? * 6L *)", "cron(0/5 8 ? * * *)", "every(3 days)"])
def test_what_it_does_not_understand_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|no expression"):
        list(moments(expression, "Etc/UTC", FRIDAY, FRIDAY + WEEK))


def test_a_schedule_calls_between_its_dates_while_it_is_enabled() -> None:
    """botocore's model: "The date, in UTC, before which the schedule can invoke its target", which one-time schedules
    ignore."""
    call = Call(when="cron(0 8 ? * * *)", service="sns", operation="publish", arguments={}, role="x")
    until = Call(**{**vars(call), "since": FRIDAY + timedelta(days=2), "until": FRIDAY + timedelta(days=4)})
    once = Call(**{**vars(until), "when": "at(2026-11-21T08:00:00)"})
    off = Call(**{**vars(call), "enabled": False})
    assert [len(list(one.moments(FRIDAY, FRIDAY + WEEK))) for one in (call, until, once, off)] == [7, 2, 1, 0]
