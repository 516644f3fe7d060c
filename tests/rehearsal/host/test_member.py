"""The played life of an instance in its group: what waits for what."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_rehearsal.aws_wire import Refused
from rehearsal.host.member import Member


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def member(**changes: Any) -> tuple[Member, Clock]:
    clock = Clock()
    return Member(clock=clock, **changes), clock


def in_service(**changes: Any) -> tuple[Member, Clock]:
    found, clock = member(**changes)
    found.complete("i-1", "CONTINUE")
    return found, clock


def test_a_launch_that_is_completed_serves_and_is_registered() -> None:
    found, _ = in_service()
    assert (found.settle(), found.target) == ("InService", "healthy")


def test_a_leaving_target_drains_before_the_hook_waits() -> None:
    found, clock = in_service(drain_seconds=300)
    found.terminate()
    assert (found.settle(), found.target) == ("Terminating", "draining")
    with pytest.raises(Refused, match="No active Lifecycle Action found with instance ID i-1"):
        found.complete("i-1", "CONTINUE")
    found.deregister()
    clock.now = 300
    assert (found.settle(), found.target) == ("Terminating:Wait", "unused")
    found.complete("i-1", "CONTINUE")
    assert found.transitions == ["InService", "Terminating", "Terminating:Wait", "Terminating:Proceed"]


def test_an_abandoned_launch_goes_the_way_of_the_terminate_hook() -> None:
    found, _ = member()
    found.complete("i-1", "ABANDON")
    assert found.settle() == "Terminating:Wait"


def test_a_hook_that_hears_nothing_ends_with_its_default_result() -> None:
    found, clock = member(heartbeat_seconds=600)
    clock.now = 599
    found.heartbeat("i-1")
    clock.now = 1198
    assert found.settle() == "Pending:Wait"
    clock.now = 1199
    assert found.settle() == "Terminating:Wait"
    clock.now = 1799
    assert found.settle() == "Terminating:Proceed"
    with pytest.raises(Refused):
        found.heartbeat("i-1")


def test_an_unhealthy_instance_is_replaced() -> None:
    found, _ = in_service(drain_seconds=1)
    found.unhealthy()
    assert found.settle() == "Terminating"
