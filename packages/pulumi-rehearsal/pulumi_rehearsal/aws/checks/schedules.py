"""EventBridge Scheduler: expressions, time zones and universal targets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from pulumi_rehearsal.aws.checks.base import Check, Refusal, api
from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.aws.universal_target import InvalidRequest, arguments

_SCHEDULE = "aws:scheduler/schedule:Schedule"
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
_CODE = "ValidationException"
_LATE = timedelta(minutes=5)
_RATE = re.compile(r"rate\([1-9][0-9]* (minutes?|hours?|days?)\)")
_CRON = re.compile(r"cron\((\S+ ){5}\S+\)")


def _expression(schedule: Resource) -> Iterator[Refusal]:
    text = schedule.inputs["scheduleExpression"]
    if not (_is_moment(text) or _RATE.fullmatch(text) or _CRON.fullmatch(text)):
        yield Refusal(f"Invalid Schedule Expression {text}.", _CODE)


def _is_moment(text: str) -> bool:
    return _moment(text) is not None


def _moment(text: str) -> datetime | None:
    moment = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", text)
    try:
        return datetime.fromisoformat(moment[1]) if moment else None
    except ValueError:
        return None


def _moment_to_come(schedule: Resource) -> Iterator[Refusal]:
    """A one-time schedule whose moment has passed is refused, or else never calls. Source:
    https://github.com/DefangLabs/pulumi-defang/pull/425; AWS's own words are not known.
    """
    text = schedule.inputs["scheduleExpression"]
    moment = _moment(text)
    zone = ZoneInfo(schedule.inputs.get("scheduleExpressionTimezone") or "UTC")
    if moment and moment.replace(tzinfo=zone) < datetime.now(UTC):
        yield Refusal(f"The schedule expression {text} lies in the past.", _CODE)


def _dates_to_come(schedule: Resource) -> Iterator[Refusal]:
    """Source: https://github.com/getmoto/moto/pull/8172, where AWS's refusal of a start is quoted; moto itself looks
    only at new schedules with an asterisk. An end that is over leaves nothing to call: a schedule calls "before" it
    (https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html).
    """
    start, end = (_date(schedule.inputs.get(name)) for name in ("startDate", "endDate"))
    now = datetime.now(UTC)
    if start and start < now - _LATE:
        yield Refusal("The StartDate you specify cannot be earlier than 5 minutes ago.", _CODE)
    if end and end < now:
        yield Refusal("The EndDate you specify cannot be in the past.", _CODE)


def _date(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _time_zone(schedule: Resource) -> Iterator[Refusal]:
    zone = schedule.inputs.get("scheduleExpressionTimezone")
    if zone is not None and zone not in available_timezones():
        yield Refusal(f"Invalid Schedule Expression Timezone {zone}.", _CODE)


def _universal_target(schedule: Resource) -> Iterator[Refusal]:
    target = schedule.inputs["target"]
    if not target["arn"].startswith(_UNIVERSAL):
        return
    service, _, action = target["arn"].removeprefix(_UNIVERSAL).partition(":")
    try:
        arguments(service, action, json.loads(target.get("input") or "{}"))
    except LookupError:
        yield Refusal(f"Provided Arn is not in correct format: {target['arn']}", _CODE)
    except InvalidRequest as error:
        yield Refusal(f"Invalid RequestJson provided for {service}:{action}: {error}", _CODE)
    except ValueError:
        yield Refusal("Invalid RequestJson provided: it is no JSON", _CODE)


CHECKS = (
    Check(
        "schedule expression",
        (_SCHEDULE,),
        "An expression is at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(six fields).",
        "https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html",
        "apply",
        _expression,
    ),
    Check(
        "schedule time zone",
        (_SCHEDULE,),
        "The time zone is one of the tz database.",
        api("scheduler", "CreateSchedule"),
        "apply",
        _time_zone,
    ),
    Check(
        "schedule moment",
        (_SCHEDULE,),
        "A one-time schedule lies ahead.",
        "https://github.com/DefangLabs/pulumi-defang/pull/425",
        "apply",
        _moment_to_come,
    ),
    Check(
        "schedule dates",
        (_SCHEDULE,),
        "A recurring schedule starts no more than five minutes ago, and ends later than now.",
        "https://github.com/getmoto/moto/pull/8172",
        "apply",
        _dates_to_come,
    ),
    Check(
        "universal target",
        (_SCHEDULE,),
        "A universal target names an SDK's service and action, and its input is that action's request.",
        "https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html",
        "apply",
        _universal_target,
    ),
)
