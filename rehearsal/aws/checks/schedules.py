"""EventBridge Scheduler: expressions, time zones and universal targets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import available_timezones

from rehearsal.aws.checks.base import Check, Refusal
from rehearsal.aws.lifecycle import Resource
from rehearsal.aws.universal_target import InvalidRequest, arguments

_SCHEDULE = "aws:scheduler/schedule:Schedule"
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
_CODE = "ValidationException"
_RATE = re.compile(r"rate\([1-9][0-9]* (minutes?|hours?|days?)\)")
_CRON = re.compile(r"cron\((\S+ ){5}\S+\)")


def _expression(schedule: Resource) -> Iterator[Refusal]:
    """Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html."""
    text = schedule.inputs["scheduleExpression"]
    if not (_is_moment(text) or _RATE.fullmatch(text) or _CRON.fullmatch(text)):
        yield Refusal(f"Invalid Schedule Expression {text}.", _CODE)


def _is_moment(text: str) -> bool:
    moment = re.fullmatch(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", text)
    if not moment:
        return False
    try:
        datetime.fromisoformat(moment[1])
    except ValueError:
        return False
    return True


def _time_zone(schedule: Resource) -> Iterator[Refusal]:
    zone = schedule.inputs.get("scheduleExpressionTimezone")
    if zone is not None and zone not in available_timezones():
        yield Refusal(f"Invalid Schedule Expression Timezone {zone}.", _CODE)


def _universal_target(schedule: Resource) -> Iterator[Refusal]:
    """Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html."""
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
        "apply",
        _expression,
    ),
    Check("schedule time zone", (_SCHEDULE,), "The time zone is one of the tz database.", "apply", _time_zone),
    Check(
        "universal target",
        (_SCHEDULE,),
        "A universal target names an SDK's service and action, and its input is that action's request.",
        "apply",
        _universal_target,
    ),
)
