"""What serves on platform ec2: the Auto Scaling group's hosts, and what their user data tells them to run."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import yaml

from tandem import type_tokens as types
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.ops.kinds import hosts_groups, ours
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.status.report import Absent, Fleet, Host, Unknown
from tandem.settings import Settings
from tandem.tags import MAIN_MODEL

HOST_FILE = "/etc/tandem/host.json"
"""Where user data puts what a host runs."""

POLICY_ACTED = re.compile(r"At \S+ a monitor alarm .*?changing the desired capacity from \d+ to \d+")
"""https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-verify-scaling-activity.html"""


def servers(clients: Clients, stack: str, settings: Settings, stack_id: str | None) -> Fleet | Unknown:
    """Each model's group and its hosts, as the main one's with the others beside it.

    Raises:
        botocore's errors.
    """
    found, declared = hosts_groups(clients, stack, stack_id), settings.groups
    if not found:
        return Absent("the stack has no Auto Scaling group in this account and region")
    instances = {one.id: one.facts for one in ours(clients, stack, types.INSTANCE, stack_id)}
    missing = {model: _missing(own) for model, own in declared.items() if model not in found}
    # One that the settings have no more is there until `up`.
    fleets = missing | {
        model: _fleet(clients, one, declared.get(model, settings), model, instances) for model, one in found.items()
    }
    main = fleets.pop(MAIN_MODEL)
    return replace(main, further=fleets)


def _missing(own: Settings) -> Fleet:
    return Fleet(name="no group", minimum=0, desired=own.group_size, maximum=own.max_group_size, hosts=())


def _fleet(
    clients: Clients, found: Found, own: Settings, model: str, instances: Mapping[str, Mapping[str, Any]]
) -> Fleet:
    group = found.facts
    wanted = str((template_of(group) or {}).get("Version", ""))
    targets, gpus = _target_states(clients, group.get("TargetGroupARNs", ())), own.inference.tensor_parallel_size
    hosts = [
        _host(item, instances.get(id := item["InstanceId"], {}), targets.get(id, "not registered"), wanted, gpus, model)
        for item in group.get("Instances", ())
    ]
    return Fleet(
        name=found.name,
        minimum=group["MinSize"],
        desired=group["DesiredCapacity"],
        maximum=group["MaxSize"],
        hosts=tuple(sorted(hosts, key=lambda host: (host.zone, host.id))),
        scaled=scaled(clients, found.name) if own.follows_load else "",
    )


def scaled(clients: Clients, name: str) -> str:
    """Of the newest activity that a policy began, the sentence that says so; AWS keeps six weeks of them."""
    activities = clients("autoscaling").describe_scaling_activities(AutoScalingGroupName=name)["Activities"]
    causes = (activity["Cause"] for activity in activities)
    return next((found[0] for cause in causes if (found := POLICY_ACTED.search(cause))), "")


def _host(
    item: Mapping[str, Any], instance: Mapping[str, Any], target: str, wanted: str, gpus: int, model: str
) -> Host:
    """Args:
    gpus: of each of its servers.
    """
    kind = item.get("InstanceType") or instance.get("InstanceType", "")
    version = str((item.get("LaunchTemplate") or {}).get("Version", ""))
    known = INSTANCE_TYPES.get(kind)
    return Host(
        id=item["InstanceId"],
        model=model,
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
    """Image and model from the user data of the version that the main model's group wants.

    Raises:
        botocore's errors.
    """
    found = hosts_groups(clients, stack, stack_id).get(MAIN_MODEL)
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
