"""Requests of universal targets: capital letters, in every service."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_rehearsal.aws.universal_target import InvalidRequest, arguments

SIZES = {"MinSize": 0, "MaxSize": 1, "DesiredSize": 0}


def test_members_get_the_names_that_the_services_api_has() -> None:
    request = {"ClusterName": "x", "NodegroupName": "y", "ScalingConfig": SIZES}
    assert arguments("eks", "updateNodegroupConfig", request) == {
        "clusterName": "x",
        "nodegroupName": "y",
        "scalingConfig": {"minSize": 0, "maxSize": 1, "desiredSize": 0},
    }
    request = {"AutoScalingGroupName": "x", "MaxSize": 0}
    assert arguments("autoscaling", "updateAutoScalingGroup", request) == request


@pytest.mark.parametrize(
    ("service", "action", "request_", "words"),
    [
        ("eks", "updateNodegroupConfig", {"clusterName": "x", "NodegroupName": "y"}, "unknown members clusterName"),
        ("eks", "updateNodegroupConfig", {"ScalingConfig": {"minSize": 0}}, "unknown members minSize"),
        ("eks", "updateNodegroupConfig", {"ClusterName": "x"}, 'Missing required parameter in input: "nodegroupName"'),
        ("sns", "publish", {"Message": 3}, "Invalid type for parameter Message"),
    ],
)
def test_what_is_no_request_of_the_action_is_named(
    service: str, action: str, request_: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        arguments(service, action, request_)


@pytest.mark.parametrize(("service", "action"), [("eks", "UpdateNodegroupConfig"), ("nothing", "publish")])
def test_an_action_that_is_not_there_is_not_found(service: str, action: str) -> None:
    with pytest.raises(LookupError):
        arguments(service, action, {})
