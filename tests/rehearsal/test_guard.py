"""Each API call of an `up` and of a destroy, on the real engine: after each either no GPU can run or a guard exists.

A killed engine leaves the account as it was after some call, so what holds after each call holds wherever it is killed;
that their order is no luck is shown by what the program declares (tests/infra/test_guard_order.py).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from rehearsal import placeholders
from rehearsal.aws.account import AwsError, Region
from rehearsal.aws.provider import AwsProvider
from rehearsal.engine import Engine
from rehearsal.moto import SimulatedAccount, simulated_account
from rehearsal.operations import Operation
from rehearsal.plugin import attach
from rehearsal.providers import random_provider, time_provider, tls_provider
from rehearsal.workspace import Workspace, open_workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

STACK = "dev"
REGION = "us-east-1"


@dataclass
class Watched:
    """What the account holds after each call, as far as it matters here.

    Attributes:
        denied: operations that IAM refuses.
        moments: (operation, whether a GPU can run, whether a guard stands) after each call that changes something.
    """

    denied: set[str] = field(default_factory=set)
    moments: list[tuple[str, bool, bool]] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    stops: dict[tuple[str, str], str] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def call(self, service: str, operation: str, params: dict[str, Any]) -> None:
        """After a call: what it made of the account."""
        if operation.startswith(("describe_", "get_", "list_")):
            return
        with self.lock:
            self._sizes(operation, params)
            self._guards(operation, params)
            guarded = (
                {json.loads(text)["AutoScalingGroupName"] for text in self.stops.values()} if self.allowed else set()
            )
            running = {name for name, most in self.sizes.items() if most}
            self.moments.append((operation, bool(running), running <= guarded))

    def _sizes(self, operation: str, params: dict[str, Any]) -> None:
        name = params.get("AutoScalingGroupName", "")
        if operation in ("create_auto_scaling_group", "update_auto_scaling_group") and "MaxSize" in params:
            self.sizes[name] = params["MaxSize"]
        elif operation == "delete_auto_scaling_group":
            self.sizes.pop(name, None)

    def _guards(self, operation: str, params: dict[str, Any]) -> None:
        if operation == "create_schedule" and params["Target"]["Arn"].endswith(":updateAutoScalingGroup"):
            self.stops[params["GroupName"], params["Name"]] = params["Target"]["Input"]
        elif operation == "delete_schedule":
            self.stops.pop((params["GroupName"], params["Name"]), None)
        elif operation == "put_role_policy" and "autoscaling:UpdateAutoScalingGroup" in params["PolicyDocument"]:
            self.allowed.add(params["RoleName"])
        elif operation == "delete_role_policy":
            self.allowed.discard(params["RoleName"])


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    made, call = Watched(), Region.call

    def noted(self: Region, service: str, operation: str, **params: Any) -> dict[str, Any]:
        if operation in made.denied:
            raise AwsError(self.label(service, operation), "AccessDeniedException", f"not authorized: {operation}")
        answer = call(self, service, operation, **params)
        made.call(service, operation, params)
        return answer

    monkeypatch.setattr(Region, "call", noted)
    return made


@pytest.fixture
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as account:
        yield account


@pytest.fixture
def workspace(account: SimulatedAccount, watched: Watched, pulumi_engine: Engine) -> Iterator[Workspace]:
    with (
        attach(AwsProvider(account), random_provider(), tls_provider(), time_provider()) as providers,
        open_workspace(STACK, pulumi_engine, providers, account.environment(REGION)) as workspace,
    ):
        placeholders.fill(workspace.pins)
        yield workspace


def groups(account: SimulatedAccount) -> list[tuple[int, int, int]]:
    found = account.client("autoscaling", REGION).describe_auto_scaling_groups()["AutoScalingGroups"]
    return [(group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) for group in found]


def done(operation: Operation) -> Operation:
    assert operation.succeeded, operation.messages
    return operation


def test_after_each_call_no_gpu_can_run_or_a_guard_stands(workspace: Workspace, watched: Watched) -> None:
    done(workspace.up())
    assert any(running for _, running, _ in watched.moments)
    done(workspace.destroy())
    assert len(watched.moments) > 100
    assert [moment for moment in watched.moments if moment[1] and not moment[2]] == []
    assert watched.sizes == {}
    assert watched.stops == {}


def test_a_role_that_may_make_no_schedules_starts_no_gpu(
    workspace: Workspace, watched: Watched, account: SimulatedAccount
) -> None:
    watched.denied = {"create_schedule"}
    # All that does not depend on a schedule is made all the same.
    with pytest.raises(RuntimeError, match="AccessDeniedException"):
        workspace.pulumi("up", "--yes", "--skip-preview", "--continue-on-error")
    assert groups(account) == []
    watched.denied = set()
    done(workspace.up())
    assert groups(account) == [(1, 1, 1)]


def test_an_end_in_the_past_is_size_0_and_a_sentence(workspace: Workspace, account: SimulatedAccount) -> None:
    """Neither a refused schedule nor a host; and the second `up` changes nothing."""
    text = workspace.stack_file.read_text().replace("expiresAfter: 4h", 'expiresAt: "2026-06-01T00:00:00Z"')
    workspace.stack_file.write_text(text)
    up = done(workspace.up())
    assert any("the time of this stack ended at 2026-06-01 00:00Z" in message for message in up.messages)
    assert groups(account) == [(0, 0, 0)]
    assert done(workspace.up()).changing() == []
