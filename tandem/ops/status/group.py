"""What serves on platform ec2: the Auto Scaling group's hosts, and what their user data tells them to run."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from tandem import type_tokens as types
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.ops.kinds import hosts_group, ours
from tandem.ops.kinds.kind import Clients
from tandem.ops.status.report import Absent, Fleet, Host, Unknown
from tandem.settings import Settings

HOST_FILE = "/etc/tandem/host.json"
"""Where user data puts what a host runs."""

POLICY_ACTED = re.compile(r"At \S+ a monitor alarm .*?changing the desired capacity from \d+ to \d+")
"""https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-verify-scaling-activity.html"""


def servers(clients: Clients, stack: str, settings: Settings, stack_id: str | None) -> Fleet | Unknown:
    """The group and its hosts.

    Raises:
        botocore's errors.
    """
    found = hosts_group(clients, stack, stack_id)
    if found is None:
        return Absent("the stack has no Auto Scaling group in this account and region")
    group = found.facts
    wanted = str((template_of(group) or {}).get("Version", ""))
    instances = {one.id: one.facts for one in ours(clients, stack, types.INSTANCE, stack_id)}
    targets, gpus = _target_states(clients, group.get("TargetGroupARNs", ())), settings.inference.tensor_parallel_size
    hosts = [
        _host(item, instances.get(id := item["InstanceId"], {}), targets.get(id, "not registered"), wanted, gpus)
        for item in group.get("Instances", ())
    ]
    return Fleet(
        name=found.name,
        minimum=group["MinSize"],
        desired=group["DesiredCapacity"],
        maximum=group["MaxSize"],
        hosts=tuple(sorted(hosts, key=lambda host: (host.zone, host.id))),
        scaled=scaled(clients, found.name) if settings.follows_load else "",
    )


def scaled(clients: Clients, name: str) -> str:
    """Of the newest activity that a policy began, the sentence that says so; AWS keeps six weeks of them."""
    activities = clients("autoscaling").describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
    causes = (activity["Cause"] for activity in activities)
    return next((found[0] for cause in causes if (found := POLICY_ACTED.search(cause))), "")


def _host(item: Mapping[str, Any], instance: Mapping[str, Any], target: str, wanted: str, gpus: int) -> Host:
    """Args:
    gpus: of each of its servers.
    """
    kind = item.get("InstanceType") or instance.get("InstanceType", "")
    version = str((item.get("LaunchTemplate") or {}).get("Version", ""))
    known = INSTANCE_TYPES.get(kind)
    return Host(
        id=item["InstanceId"],
        type=kind,
        zone=item["AvailabilityZone"],
        purchase=instance.get("InstanceLifecycle", "on demand"),
        state=item["LifecycleState"],
        target=target,
        version=version,
        current=version == wanted,
        since=instance.get("LaunchTime"),
        replicas=known.servers(gpus) if known else None,
    )


def template_of(group: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The launch template, and its version, that a group starts hosts from."""
    mixed = group.get("MixedInstancesPolicy")
    return mixed["LaunchTemplate"]["LaunchTemplateSpecification"] if mixed else group.get("LaunchTemplate")


def _target_states(clients: Clients, target_groups: Any) -> dict[str, str]:
    return {
        item["Target"]["Id"]: item["TargetHealth"]["State"]
        for arn in target_groups
        for item in clients("elbv2").describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    }


def running(clients: Clients, stack: str, stack_id: str | None) -> Mapping[str, str] | Unknown:
    """Image and model from the user data of the version that the group wants.

    Raises:
        botocore's errors.
    """
    found = hosts_group(clients, stack, stack_id)
    template = template_of(found.facts) if found else None
    if not template:
        return Absent("there is no launch template")
    number = str(template.get("Version") or "$Default")
    runs = versions_run(clients, template["LaunchTemplateId"], [number])
    return next(iter(runs.values()), {}) or Unknown("the launch template's user data is not tandem's")


def versions_run(clients: Clients, template_id: str, numbers: Iterable[str]) -> dict[str, dict[str, str]]:
    """What each version of a launch template starts, by its number; empty for one whose user data is not tandem's.

    Raises:
        botocore's errors.
    """
    found = clients("ec2").describe_launch_template_versions(LaunchTemplateId=template_id, Versions=[*numbers])
    return {str(one["VersionNumber"]): _runs(one) for one in found["LaunchTemplateVersions"]}


def _runs(version: Mapping[str, Any]) -> dict[str, str]:
    data = version["LaunchTemplateData"]
    engine = host_file(data.get("UserData", "")).get("engine")
    if not engine:
        return {}
    return {
        "image": engine["image"],
        "model": engine["model"],
        "revision": engine.get("revision") or "not pinned",
        "machineImage": data.get("ImageId", ""),
        "launchTemplateVersion": str(version["VersionNumber"]),
    }


def host_file(user_data: str) -> dict[str, Any]:
    """What user data (base64 of gzip'd cloud-config) tells a host; empty where it is something else."""
    try:
        text = gzip.decompress(base64.b64decode(user_data)).decode()
        files = (yaml.safe_load(text) or {}).get("write_files", ())
        return next((json.loads(file["content"]) for file in files if file["path"] == HOST_FILE), {})
    except (ValueError, OSError, EOFError, AttributeError, yaml.YAMLError):
        return {}
