"""What an account holds after each call of a program, as far as it matters to its bill."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore import xform_name

from pulumi_rehearsal.aws.account import AwsError, Region
from pulumi_rehearsal.aws.provider import AwsProvider
from pulumi_rehearsal.aws.universal_target import TARGET, arguments, operation
from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.operations import Operation
from pulumi_rehearsal.plugin import Subject, attach
from pulumi_rehearsal.providers import random_provider, time_provider, tls_provider
from pulumi_rehearsal.wire import Properties
from pulumi_rehearsal.workspace import Workspace
from rehearsal import placeholders
from rehearsal.account import simulated_account
from rehearsal.scene import PROJECT, open_workspace, pins_of
from tests.rehearsal.kept_objects import Objects

REGION = "us-east-1"
SIZING = ("autoscaling:UpdateAutoScalingGroup", "eks:UpdateNodegroupConfig")
"""What the guard's role must be allowed."""


@dataclass(frozen=True)
class Moment:
    """After a call that changes something.

    Attributes:
        operation: of boto3, or `create Kind`, `delete Kind` of an object in the cluster.
        running: whether a GPU can run.
        guarded: whether a guard stands for each group that can.
        objects: kinds of the objects in the cluster.
    """

    operation: str
    running: bool
    guarded: bool
    objects: frozenset[str]


@dataclass
class Watched:
    """Follows the calls.

    Attributes:
        denied: operations that IAM refuses.
        after: told of each operation that changes something, when it is done.
        sizes: group to hosts that it has, or may have.
        stops: (group of schedules, schedule) to the group that it sets to 0.
        allowed: roles that may size a group.
    """

    denied: set[str] = field(default_factory=set)
    after: Callable[[str], None] = lambda _operation: None
    moments: list[Moment] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    stops: dict[tuple[str, str], str] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)
    objects: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def unguarded(self) -> list[Moment]:
        return [moment for moment in self.moments if moment.running and not moment.guarded]

    def call(self, name: str, params: Mapping[str, Any]) -> None:
        """A call of AWS was done."""
        if name.startswith(("describe_", "get_", "list_")):
            return
        with self.lock:
            self._sizes(name, params)
            self._guards(name, params)
            self._note(name)
        self.after(name)

    def object(self, verb: str, urn: str, kind: str) -> None:
        """Something came into the cluster, or went."""
        with self.lock:
            if verb == "create":
                self.objects[urn] = kind
            else:
                del self.objects[urn]
            self._note(f"{verb} {kind}")

    def _note(self, name: str) -> None:
        guarded = {*self.stops.values()} if self.allowed else set()
        running = {group for group, hosts in self.sizes.items() if hosts}
        self.moments.append(Moment(name, bool(running), running <= guarded, frozenset(self.objects.values())))

    def _sizes(self, name: str, params: Mapping[str, Any]) -> None:
        if found := sized(name, params):
            self.sizes |= dict([found])
        elif name in ("delete_auto_scaling_group", "delete_nodegroup"):
            self.sizes.pop(params.get("AutoScalingGroupName") or params["nodegroupName"], None)

    def _guards(self, name: str, params: Mapping[str, Any]) -> None:
        if name in ("create_schedule", "update_schedule"):
            self._stop(params)
        elif name == "delete_schedule":
            self.stops.pop((params["GroupName"], params["Name"]), None)
        elif name == "put_role_policy" and any(action in params["PolicyDocument"] for action in SIZING):
            self.allowed.add(params["RoleName"])
        elif name == "delete_role_policy":
            self.allowed.discard(params["RoleName"])

    def _stop(self, params: Mapping[str, Any]) -> None:
        service, action = TARGET.fullmatch(params["Target"]["Arn"]).groups()  # pyright: ignore[reportOptionalMemberAccess]
        call = arguments(service, action, json.loads(params["Target"]["Input"]))
        match sized(xform_name(operation(service, action).name), call):
            case (group, 0):
                self.stops[params["GroupName"], params["Name"]] = group
            case _:
                self.stops.pop((params["GroupName"], params["Name"]), None)


def sized(name: str, params: Mapping[str, Any]) -> tuple[str, int] | None:
    """The group of GPU hosts that a call sizes: an Auto Scaling group to as many as it may have, a node group, which
    nothing but a call changes, to as many as it has."""
    if name in ("create_auto_scaling_group", "update_auto_scaling_group") and "MaxSize" in params:
        return params["AutoScalingGroupName"], params["MaxSize"]
    if name not in ("create_nodegroup", "update_nodegroup_config") or "scalingConfig" not in params:
        return None
    if "NVIDIA" not in params.get("amiType", "NVIDIA"):
        return None
    return params["nodegroupName"], params["scalingConfig"]["desiredSize"]


class NotedCluster(Objects):
    """Notes, too, in which order the engine asks.

    Stands for: the plugin pulumi-resource-kubernetes, as far as the order goes in which the engine asks it.
    Held by: nothing, it answers with what it is given; tests/rehearsal/kubernetes has a real API server.
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.watched = watched

    def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
        self.watched.object("create", subject.urn, kind_of(subject))
        return super().create(subject, inputs)

    def delete(self, subject: Subject, id: str, inputs: Properties, state: Properties) -> None:
        self.watched.object("delete", subject.urn, kind_of(subject))
        super().delete(subject, id, inputs, state)


def kind_of(subject: Subject) -> str:
    """`NodePool`; of a chart, its name too: `Release tandem-dev-karpenter`."""
    kind = subject.type.rpartition(":")[2]
    return f"{kind} {subject.name}" if kind == "Release" else kind


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    made, call = Watched(), Region.call

    def noted(self: Region, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        if operation in made.denied:
            raise AwsError(self.label(service, operation), "AccessDeniedException", f"not authorized: {operation}")
        answer = call(self, service, operation, **params)
        made.call(operation, params)
        return answer

    monkeypatch.setattr(Region, "call", noted)
    return made


@pytest.fixture
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as account:
        yield account


@pytest.fixture
def workspace(
    account: SimulatedAccount, watched: Watched, pulumi_engine: Engine, request: pytest.FixtureRequest, tmp_path: Any
) -> Iterator[Workspace]:
    """Of the shipped stack `dev`; or of the stack file whose text a test gives."""
    project = PROJECT
    if text := getattr(request, "param", ""):
        project = tmp_path
        for name in ("Pulumi.yaml", "infra", "images"):
            (project / name).symlink_to(PROJECT / name)
        (project / "Pulumi.dev.yaml").write_text(text, encoding="utf-8")
    objects = NotedCluster(watched)
    own = (AwsProvider(account), random_provider(), tls_provider(), time_provider(), objects)
    with (
        attach(*own) as providers,
        open_workspace("dev", pulumi_engine, providers, account.environment(REGION), project) as workspace,
    ):
        placeholders.fill(pins_of(workspace))
        placeholders.unpin_charts(pins_of(workspace))
        objects.kubectl = workspace.directory / "bin" / "kubectl"
        objects.show()
        yield workspace


def done(operation: Operation) -> Operation:
    assert operation.succeeded, operation.messages
    return operation
