"""EventBridge Scheduler: expressions, time zones and universal targets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.validate import ParamValidator

from rehearsal.aws.checks.base import Check, Refusal
from rehearsal.aws.lifecycle import Resource

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
    arn = target["arn"]
    if not arn.startswith(_UNIVERSAL):
        return
    service, _, action = arn.removeprefix(_UNIVERSAL).partition(":")
    shape: Any = _input_shape(service, action)
    if shape is None:
        yield Refusal(f"Provided Arn is not in correct format: {arn}", _CODE)
        return
    try:
        request = json.loads(target.get("input") or "{}")
    except ValueError:
        yield Refusal("Invalid RequestJson provided: it is no JSON", _CODE)
        return
    unknown = sorted(set(request) - set(shape.members))
    wrong = ParamValidator().validate(request, shape).generate_report()
    if unknown or wrong:
        detail = f"unknown members {', '.join(unknown)}" if unknown else wrong
        yield Refusal(f"Invalid RequestJson provided for {service}:{action}: {detail}", _CODE)


@cache
def _input_shape(service: str, action: str):
    """The parameters of an SDK action written as `autoscaling:updateAutoScalingGroup`; None when there is none."""
    try:
        model = botocore.session.get_session().get_service_model(service)
    except UnknownServiceError:
        return None
    names: Any = model.operation_names
    by_name = {name[0].lower() + name[1:]: name for name in names}
    if action not in by_name:
        return None
    return model.operation_model(by_name[action]).input_shape


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
