"""Universal targets of EventBridge Scheduler: an SDK's action, and a request whose members begin with a capital letter
(https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html).

That is so in every service, also where the service's own API begins them with a small one, such as EKS: CreateSchedule
refuses `clusterName` in a request of eks:updateNodegroupConfig with "missing field ClusterName, NodegroupName", as
those who tried it say (public Terraform code of three authors, July to September 2026); AWS's guide says it nowhere.

Stands for: how EventBridge Scheduler reads the request of a universal target.
Held by: tests/aws/test_universal_target.py::test_what_is_no_request_of_the_action_is_named (botocore's
    models).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.validate import ParamValidator

TARGET = re.compile(r"arn:aws:scheduler:::aws-sdk:(?P<service>\w+):(?P<action>\w+)")


class InvalidRequest(ValueError):
    """The request is not one of the action; says why."""


def arguments(service: str, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the members' names as the service's API, and boto3, has them.

    Args:
        action: with a small first letter, as in the target's ARN.

    Raises:
        LookupError: there is no such service or action.
        InvalidRequest: a member is unknown, missing or of the wrong type.
    """
    shape = operation(service, action).input_shape
    found = _renamed(request, shape)
    if wrong := ParamValidator().validate(found, shape).generate_report():
        raise InvalidRequest(wrong)
    return found


@cache
def operation(service: str, action: str) -> Any:
    """botocore's model of an action.

    Raises:
        LookupError: there is no such service or action.
    """
    try:
        model = botocore.session.get_session().get_service_model(service)
    except UnknownServiceError as error:
        raise LookupError(f"there is no service {service}") from error
    names: Any = model.operation_names
    by_name = {_decapitalized(name): name for name in names}
    if action not in by_name:
        raise LookupError(f"{service} has no action {action}")
    return model.operation_model(by_name[action])


def _renamed(value: Any, shape: Any) -> Any:
    if shape.type_name == "list" and isinstance(value, list):
        return [_renamed(item, shape.member) for item in value]
    if shape.type_name != "structure" or not isinstance(value, Mapping):
        return value
    members = {name[0].upper() + name[1:]: name for name in shape.members}
    if unknown := sorted(set(value) - set(members)):
        raise InvalidRequest(f"unknown members {', '.join(unknown)}")
    return {members[name]: _renamed(item, shape.members[members[name]]) for name, item in value.items()}


def _decapitalized(name: str) -> str:
    return name[0].lower() + name[1:]
