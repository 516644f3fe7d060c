"""Instance refreshes of Auto Scaling groups, and the lifecycle of the hosts that they replace; moto has neither.

Nothing here knows a clock: a host waits in its hook until somebody completes it, as hosts do by themselves, and then
the refresh takes its next step. One host is replaced at a time, whatever the percentages allow.

Stands for: instance refreshes, lifecycle actions and scaling activities of AWS Auto Scaling.
Held by: tests/rehearsal/aws/test_instance_refresh.py::test_its_answers_fit_the_sdks_models
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import Activity, AutoScalingBackend, FakeAutoScalingGroup, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

LOCKED = (
    "An active instance refresh with a desired configuration exists. All configuration options derived from the "
    "desired configuration are not available for update while the instance refresh is active."
)
"""https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html#instance-refresh-limitations"""
NO_WAY_BACK = (
    "The request isn't valid. The AutoRollback parameter cannot be set to true when the DesiredConfiguration parameter "
    "is empty. Set AutoRollback to false or specify a desired configuration and try again."
)
"""https://github.com/hashicorp/terraform-provider-aws/issues/29830"""
ALIAS = "A desired configuration is not supported with a launch template that uses a Systems Manager parameter."
"""That it is refused: https://docs.aws.amazon.com/autoscaling/ec2/userguide/using-systems-manager-parameters.html; the
words are not AWS's."""
ABANDONED = (
    "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token {} was abandoned: "
    "Lifecycle Action Completed with ABANDON Result"
)
"""https://docs.aws.amazon.com/autoscaling/ec2/userguide/tutorial-lifecycle-hook-instance-metadata.html"""
LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
ACTIVE = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")


@dataclass
class Refresh:
    """One refresh of a group.

    Attributes:
        todo: ids of the instances that it has yet to replace.
        checkpoints: percentages at which it stops. Its delay never ends here; a new refresh goes on.
    """

    group: FakeAutoScalingGroup
    preferences: dict[str, Any]
    desired: dict[str, Any]
    todo: list[str]
    strategy: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "Pending"
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None

    def __post_init__(self) -> None:
        self.total = len(self.todo)
        self.checkpoints: list[int] = list(self.preferences.get("CheckpointPercentages") or [])

    @property
    def percentage(self) -> int:
        return 100 - 100 * len(self.todo) // self.total if self.total else 100

    @property
    def held(self) -> bool:
        """Stands at a checkpoint that is not the end."""
        return bool(self.todo and self.checkpoints and self.percentage >= self.checkpoints[0])

    def advance(self) -> None:
        """Takes the next step, unless a host has to do something first."""
        moving = any(not state.lifecycle_state.startswith("InService") for state in self.group.instance_states)
        if self.status == "Cancelling" and not moving:
            self.end("Cancelled")
        if self.status == "Pending":
            self.status = "InProgress"
        there = {state.instance_id for state in self.group.instance_states}
        self.todo = [id for id in self.todo if id in there]
        if self.status != "InProgress" or moving:
            return
        spare = len(self.group.instance_states) - (self.group.desired_capacity or 0)
        launch_first = self.preferences.get("MinHealthyPercentage", 90) == 100
        if spare < (1 if launch_first and self.todo and not self.held else 0):
            launch(self.group)
        elif not self.todo and spare <= 0:
            self.end("Successful")
        elif self.todo and (spare > 0 or not self.held):
            terminate(self.group, self.todo[0])

    def end(self, status: str) -> None:
        self.status, self.ended = status, datetime.now(UTC)

    def described(self) -> dict[str, Any]:
        """In the form of DescribeInstanceRefreshes."""
        return {
            "InstanceRefreshId": self.id,
            "AutoScalingGroupName": self.group.name,
            "Status": self.status,
            "StartTime": self.started,
            "EndTime": self.ended,
            "PercentageComplete": self.percentage,
            "InstancesToUpdate": len(self.todo),
            "Preferences": self.preferences or None,
            "DesiredConfiguration": self.desired or None,
            "Strategy": self.strategy,
        }


def _refreshes(group: FakeAutoScalingGroup) -> list[Refresh]:
    """Of a group, the newest first."""
    return vars(group).setdefault("refreshes", [])


def _activities(group: FakeAutoScalingGroup) -> list[Activity]:
    return vars(group).setdefault("activities", [])


def _active(group: FakeAutoScalingGroup) -> Refresh | None:
    return next((refresh for refresh in _refreshes(group) if refresh.status in ACTIVE), None)


def is_refreshing(group: FakeAutoScalingGroup) -> bool:
    """A refresh of the group is under way."""
    return _active(group) is not None


def _hooked(group: FakeAutoScalingGroup, transition: str) -> bool:
    hooks = group.autoscaling_backend.describe_lifecycle_hooks(group.name)
    return any(hook.lifecycle_transition == transition for hook in hooks)


def _note(group: FakeAutoScalingGroup, description: str, status: str, message: str = "") -> None:
    activity = Activity(description, "an instance refresh", group, status_code=status)
    activity.__dict__["status_message"] = message or None
    _activities(group).insert(0, activity)


def launch(group: FakeAutoScalingGroup) -> None:
    """Starts a host of the version that the group has now; it waits in its hook."""
    group.replace_autoscaling_group_instances(1, group.get_propagated_tags())
    if _hooked(group, LAUNCHING):
        group.instance_states[-1].lifecycle_state = "Pending:Wait"
    else:
        _note(group, f"Launching a new EC2 instance: {group.instance_states[-1].instance_id}", "Successful")


def terminate(group: FakeAutoScalingGroup, id: str) -> None:
    """Takes a host out of service: `Terminating` while the load balancer lets go of it, then `Terminating:Wait`
    (https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html)."""
    state = next(state for state in group.instance_states if state.instance_id == id)
    if _hooked(group, TERMINATING):
        state.lifecycle_state = "Terminating"
    else:
        _gone(group, state)


def _gone(group: FakeAutoScalingGroup, state: InstanceState) -> None:
    group.instance_states.remove(state)
    group.ec2_backend.terminate_instances([state.instance_id])


def _complete(group: FakeAutoScalingGroup, id: str, result: str) -> None:
    state = next((state for state in group.instance_states if state.instance_id == id), None)
    if state is None or not state.lifecycle_state.endswith(":Wait"):
        raise ValidationError(f"No active Lifecycle Action found with instance ID {id}")
    launching = f"Launching a new EC2 instance: {id}"
    if state.lifecycle_state == "Terminating:Wait":
        _note(group, f"Terminating EC2 instance: {id}", "Successful")
        _gone(group, state)
    elif result == "CONTINUE":
        _note(group, launching, "Successful")
        state.lifecycle_state = "InService"
    else:
        message = ABANDONED.format(uuid.uuid4())
        _note(group, f"{launching}.  Status Reason: {message}", "Cancelled", message)
        _gone(group, state)


def _version_now(group: FakeAutoScalingGroup) -> str:
    """The number of the launch template's version that the group would launch."""
    template, version = group.ec2_launch_template, group.launch_template_version
    known = {"$Default": template.default_version_number, "$Latest": template.latest_version_number} if template else {}
    return str(known.get(version, version))


def _group(request: AutoScalingResponse) -> FakeAutoScalingGroup:
    name = request._get_param("AutoScalingGroupName")
    group = request.autoscaling_backend.autoscaling_groups.get(name)
    if group is None:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return group


def _step(group: FakeAutoScalingGroup) -> None:
    if refresh := _active(group):
        refresh.advance()


def start_instance_refresh(self: AutoScalingResponse) -> ActionResult:
    group = _group(self)
    preferences, desired = self._get_param("Preferences", {}), self._get_param("DesiredConfiguration", {})
    if _active(group):
        raise AutoscalingClientError(
            "InstanceRefreshInProgress",
            "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
        )
    if preferences.get("AutoRollback") and not desired:
        raise ValidationError(NO_WAY_BACK)
    if desired and group.image_id.startswith("resolve:ssm:"):
        raise ValidationError(ALIAS)
    matching = _version_now(group) if preferences.get("SkipMatching") else None
    todo = [state.instance_id for state in group.instance_states if vars(state)["version"] != matching]
    refresh = Refresh(group, preferences, desired, todo, self._get_param("Strategy", "Rolling"))
    _refreshes(group).insert(0, refresh)
    return ActionResult({"InstanceRefreshId": refresh.id})


def cancel_instance_refresh(self: AutoScalingResponse) -> ActionResult:
    group = _group(self)
    refresh = _active(group)
    if refresh is None:
        raise AutoscalingClientError(
            "ActiveInstanceRefreshNotFound",
            "No in progress, baking, pending, or cancelling Instance Refresh found for Auto Scaling group "
            f"{group.name}.",
        )
    refresh.status = "Cancelling"
    if self._get_bool_param("WaitForTransitioningInstances", True) is False:
        refresh.end("Cancelled")
    return ActionResult({"InstanceRefreshId": refresh.id})


def describe_instance_refreshes(self: AutoScalingResponse) -> ActionResult:
    group = _group(self)
    _step(group)
    return ActionResult({"InstanceRefreshes": [refresh.described() for refresh in _refreshes(group)]})


def describe_scaling_activities(self: AutoScalingResponse) -> ActionResult:
    return ActionResult({"Activities": _activities(_group(self))})


def complete_lifecycle_action(self: AutoScalingResponse) -> ActionResult:
    group = _group(self)
    _complete(group, self._get_param("InstanceId"), self._get_param("LifecycleActionResult"))
    _step(group)
    return EmptyResult()


def with_instance_refreshes() -> None:
    """Gives moto's Auto Scaling the operations above."""
    for operation in (
        start_instance_refresh,
        cancel_instance_refresh,
        describe_instance_refreshes,
        describe_scaling_activities,
        complete_lifecycle_action,
    ):
        setattr(AutoScalingResponse, operation.__name__, operation)
    _versions_of_hosts()
    _lock()
    _leaving_takes_time()


def _versions_of_hosts() -> None:
    """A host keeps the version that it was launched from; moto shows the template's default one."""
    born, shown = InstanceState.__init__, InstanceState.launch_template

    def noted(self: InstanceState, *args: Any, **named: Any) -> None:
        born(self, *args, **named)
        self.__dict__["version"] = _version_now(vars(self)["auto_scaling_group"])

    def with_version(self: InstanceState) -> dict[str, Any] | None:
        template = shown.fget(self) if shown.fget else None
        return template and {**template, "Version": vars(self)["version"]}

    InstanceState.__init__ = noted
    setattr(InstanceState, "launch_template", property(with_version))  # noqa: B010  (a property there)


def _lock() -> None:
    update = FakeAutoScalingGroup.update

    def unless_locked(self: FakeAutoScalingGroup, *args: Any, **changes: Any) -> None:
        active = _active(self)
        if active and active.desired and (changes["launch_template"] or changes["mixed_instances_policy"]):
            raise ValidationError(LOCKED)
        update(self, *args, **changes)

    FakeAutoScalingGroup.update = unless_locked


def _leaving_takes_time() -> None:
    """Whoever looks first sees `Terminating`, whoever looks again the hook's `Terminating:Wait`."""
    describe = AutoScalingBackend.describe_auto_scaling_groups

    def later(self: AutoScalingBackend, *args: Any, **named: Any) -> list[FakeAutoScalingGroup]:
        found = describe(self, *args, **named)
        for state in (state for group in found for state in group.instance_states):
            if state.lifecycle_state == "Terminating" and vars(state).setdefault("looks", 0):
                state.lifecycle_state = "Terminating:Wait"
            vars(state)["looks"] = int(state.lifecycle_state == "Terminating")
        return found

    AutoScalingBackend.describe_auto_scaling_groups = later
