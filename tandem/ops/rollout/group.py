"""Rollouts on platform ec2: an instance refresh of each model's Auto Scaling group, how far it is, and the way back.

The group is given its version first and is then refreshed, with no desired configuration: so nothing is locked, and a
refresh can be cancelled and another one started at any time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tandem.errors import UserError
from tandem.ops.kinds import hosts_groups
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.status.group import template_of, versions_run
from tandem.rollout import LAUNCH_HOOK, Rollout, State, Version, refresh_percentages
from tandem.settings import Settings

ACTIVE = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")
CANCEL_SECONDS = 60
"""AWS is told not to wait for hosts on their way, so that it is done in seconds."""
GAVE_UP = "was abandoned"
"""In AWS's words for a host whose launch hook ended in ABANDON, its own or that of the hook's timeout."""
SERVES = "InService"


@dataclass(frozen=True)
class HostGroup:
    """The hosts of one stack, as `Platform`.

    Attributes:
        stack_id: the life that is meant; None for any of the name.
    """

    clients: Clients
    stack: str
    stack_id: str | None
    settings: Settings
    sleep: Callable[[float], None] = time.sleep

    def look(self) -> Sequence[Rollout]:
        return [self._look(model, found.facts) for model, found in self._groups().items()]

    def _look(self, model: str, group: Mapping[str, Any]) -> Rollout:
        name, wanted, size = group["AutoScalingGroupName"], self._wanted(group), group["DesiredCapacity"]
        hosts = [(_version(host), host["LifecycleState"]) for host in group["Instances"]]
        numbers = sorted({wanted, *(number for number, _ in hosts)}, key=int, reverse=True)
        runs = versions_run(self.clients, _template_id(group), numbers)
        versions = tuple(
            Version(
                name=number,
                runs=runs.get(number, {}),
                wanted=number == wanted,
                serving=hosts.count((number, SERVES)),
                moving=sum(one == number and state != SERVES for one, state in hosts),
            )
            for number in numbers
        )
        refresh = self._refresh(name)
        failures = self._failures(name, refresh)
        return Rollout(
            name=name,
            model=model,
            unit="hosts",
            state=_state(refresh, versions, size, failures),
            size=size,
            versions=versions,
            before=self._before(group, wanted, versions),
            reason=(refresh or {}).get("StatusReason", ""),
            failures=failures,
            hold_ends=True,
            began=(refresh or {}).get("StartTime"),
        )

    def cancel(self, rollout: Rollout) -> None:
        deadline = time.monotonic() + CANCEL_SECONDS
        while (refresh := self._refresh(rollout.name)) and refresh["Status"] in ACTIVE:
            if time.monotonic() > deadline:
                wrong, fix = "its instance refresh is not cancelled yet", "wait a minute, and run the command again"
                raise UserError.of(key=rollout.name, wrong=wrong, value=refresh["Status"], fix=fix)
            if refresh["Status"] != "Cancelling":
                # Otherwise it waits for hosts on their way, and a bad one takes an hour to give up.
                self._api.cancel_instance_refresh(
                    AutoScalingGroupName=rollout.name, WaitForTransitioningInstances=False
                )
            self.sleep(1)

    def runs(self, rollout: Rollout, version: str) -> Mapping[str, str]:
        group = self._group(rollout)
        known = [str(one["VersionNumber"]) for one in self._versions(group)]
        if version not in known:
            wrong, allowed = f"the launch template of {rollout.name} has no such version", ", ".join(known)
            raise UserError.of(key="--to", wrong=wrong, value=version, allowed=allowed)
        return versions_run(self.clients, _template_id(group), [version])[version]

    def take(self, rollout: Rollout, version: str) -> None:
        self.runs(rollout, version)
        group = self._group(rollout)
        self.cancel(rollout)
        self._api.update_auto_scaling_group(AutoScalingGroupName=rollout.name, **_with_version(group, version))
        for host in self._group(rollout)["Instances"]:
            if host["LifecycleState"] == "Pending:Wait" and _version(host) != version:
                self._api.complete_lifecycle_action(
                    AutoScalingGroupName=rollout.name,
                    LifecycleHookName=LAUNCH_HOOK,
                    InstanceId=host["InstanceId"],
                    LifecycleActionResult="ABANDON",
                )
        self.go_on(rollout)

    def go_on(self, rollout: Rollout) -> None:
        """Replaces the hosts that are not of the group's version, one at a time; nothing where there are none."""
        self.cancel(rollout)
        group = self._group(rollout)
        wanted = self._wanted(group)
        if all(_version(host) == wanted for host in group["Instances"]):
            return
        settings = self.settings.groups.get(rollout.model, self.settings)
        low, high = refresh_percentages(settings.fleet.rollout, settings.group_size, settings.max_group_size)
        preferences = {"MinHealthyPercentage": low, "MaxHealthyPercentage": high, "InstanceWarmup": 0}
        self._api.start_instance_refresh(
            AutoScalingGroupName=rollout.name, Preferences={**preferences, "SkipMatching": True}
        )

    @property
    def _api(self) -> Any:
        return self.clients("autoscaling")

    def _group(self, rollout: Rollout) -> Mapping[str, Any]:
        return self._groups()[rollout.model].facts

    def _groups(self) -> Mapping[str, Found]:
        if found := hosts_groups(self.clients, self.stack, self.stack_id):
            return found
        wrong, allowed = "the stack has no Auto Scaling group in this account and region", "a stack that is up"
        fix = "`pulumi up`, or name another --region or --profile"
        raise UserError.of(key=self.stack, wrong=wrong, allowed=allowed, fix=fix)

    def _refresh(self, name: str) -> Mapping[str, Any] | None:
        """The latest one."""
        found = self._api.describe_instance_refreshes(AutoScalingGroupName=name, MaxRecords=1)["InstanceRefreshes"]
        return next(iter(found), None)

    def _failures(self, name: str, refresh: Mapping[str, Any] | None) -> tuple[str, ...]:
        """Hosts that have given up since the refresh began."""
        if refresh is None:
            return ()
        found = []
        pages = self._api.get_paginator("describe_scaling_activities").paginate(AutoScalingGroupName=name)
        for activity in (activity for page in pages for activity in page["Activities"]):
            if activity["StartTime"] < refresh["StartTime"]:  # the newest come first
                break
            if GAVE_UP in activity.get("StatusMessage", ""):
                found.append(activity["Description"])
        return tuple(found)

    def _versions(self, group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """All versions of the launch template."""
        pages = self.clients("ec2").get_paginator("describe_launch_template_versions")
        return list(pages.paginate(LaunchTemplateId=_template_id(group)).search("LaunchTemplateVersions"))

    def _wanted(self, group: Mapping[str, Any]) -> str:
        """The number of the version that new hosts get, also where somebody has set `$Latest` by hand."""
        version = str((template_of(group) or {})["Version"])
        if not version.startswith("$"):
            return version
        return next(iter(versions_run(self.clients, _template_id(group), [version])))

    def _before(self, group: Mapping[str, Any], wanted: str, versions: Sequence[Version]) -> str | None:
        """Another version that still serves, else the one before the wanted one.

        `up` makes each version that it brings the template's default. A group that wants an earlier one was taken back
        to it: back is where it goes already.
        """
        known = self._versions(group)
        if any(one["DefaultVersion"] and one["VersionNumber"] > int(wanted) for one in known):
            return wanted
        earlier = {str(one["VersionNumber"]) for one in known if one["VersionNumber"] < int(wanted)}
        others = [version for version in versions if version.serving and version.name in earlier]
        if others:
            return max(others, key=lambda version: version.serving).name
        return max(earlier, key=int, default=None)


def _template_id(group: Mapping[str, Any]) -> str:
    return (template_of(group) or {})["LaunchTemplateId"]


def _version(host: Mapping[str, Any]) -> str:
    """Of the launch template; 0 for a host that somebody has attached by hand."""
    return str((host.get("LaunchTemplate") or {}).get("Version", "0"))


def _with_version(group: Mapping[str, Any], version: str) -> dict[str, Any]:
    """What an update of the group is told, to start hosts of that version; the rest stays as it is."""
    given = {"LaunchTemplateId": _template_id(group), "Version": version}
    policy = group.get("MixedInstancesPolicy")
    if not policy:
        return {"LaunchTemplate": given}
    launch = {**policy["LaunchTemplate"], "LaunchTemplateSpecification": given}
    return {"MixedInstancesPolicy": {**policy, "LaunchTemplate": launch}}


def _state(refresh: Mapping[str, Any] | None, versions: Sequence[Version], size: int, failures: Sequence[str]) -> State:
    if not (refresh and refresh["Status"] in ACTIVE):
        new = sum(version.serving for version in versions if version.wanted)
        old = sum(version.serving + version.moving for version in versions if not version.wanted)
        return "done" if new >= size and not old else "stopped"
    if failures:
        return "failing"
    checkpoints = refresh.get("Preferences", {}).get("CheckpointPercentages") or []
    reached = bool(checkpoints) and checkpoints[0] <= refresh.get("PercentageComplete", 0) < 100
    return "held" if reached and not any(version.moving for version in versions) else "running"
