"""Settings of a stack that is up are changed one after another, in any order, and the account ends as if made so.

Each change is one `pulumi up` on the real engine; boto3 looks at what there is, and which hosts were replaced.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from infra.settings import load_stack_file
from ops import inventory
from ops.kinds import state_key
from rehearsal import expectations, rollout
from rehearsal.engine import Engine
from rehearsal.moto import simulated_account
from rehearsal.scene import Scene, set_the_scene
from tests.rehearsal.watched import done

pytestmark = [pytest.mark.engine, pytest.mark.long]

START: dict[str, Any] = {
    "region": "us-east-1",
    "tags": {"team": "search"},
    "network": {"zones": ["us-east-1a", "us-east-1b"]},
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2, "maxHosts": 3},
    "inference": {"model": "Qwen/Qwen3-8B"},
    "costGuard": {"expiresAfter": "30d", "alertEmails": ["ops@example.com"]},
}
CHANGES: dict[str, tuple[str, Any]] = {
    "a zone more, in another order": ("network.zones", ["us-east-1c", "us-east-1b", "us-east-1a"]),
    "each zone has its own way out": ("network.egress", "natPerZone"),
    "more hosts": ("fleet.hosts", 3),
    "room for more": ("fleet.maxHosts", 5),
    "another type beside": ("fleet.instanceTypes", ["g6e.12xlarge", "g6e.48xlarge"]),
    "another team": ("tags", {"team": "answers", "cost-centre": "7"}),
    "a later end": ("costGuard.expiresAfter", "60d"),
    "business hours": ("costGuard.businessHours", {"start": "00:00", "stop": "23:59", "days": "*"}),
    "a budget": ("costGuard.monthlyBudgetUsd", 20000),
    "a larger disk": ("fleet.rootVolumeGib", 300),
    "a rate limit": ("loadBalancer.requestsPerMinutePerIp", 1200),
    "spot above the base": ("fleet.onDemandBase", 1),
}
REPLACES_HOSTS = {
    "another type beside": "what the group launches",
    "a larger disk": "the launch template",
    "spot above the base": "what the group launches",
}
"""All others replace none; docs/runbook.md says so."""
PASSING = re.compile(
    r"time|date|created|version|etag|token|used|nextinvocation|callerreference|ipaddress|publicip|privateip|roleid|"
    r"profileid",
    re.IGNORECASE,
)
"""Members of AWS's descriptions that tell when and by which number, not what."""
SCHEDULE = "aws:scheduler/schedule:Schedule"
S3_ROUTE = "DestinationPrefixListId"
"""moto's ModifyVpcEndpoint adds no such route to a table that comes later, and its UpdateSchedule drops the state."""


def configured(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump({"config": {f"tandem:{key}": value for key, value in values.items()}})


def with_change(values: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    section, _, key = path.partition(".")
    return {**values, section: {**values.get(section, {}), key: value} if key else value}


class Stack:
    """A stack on an account of its own."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.values = scene, START

    def up(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self.scene.workspace.stack_file.write_text(configured(values))
        done(self.scene.workspace.up())

    def replaced(self) -> bool:
        """Whether hosts are being replaced; they are, one after another, when this returns."""
        api = self.scene.clients("autoscaling")
        [group] = api.describe_auto_scaling_groups()["AutoScalingGroups"]
        before = {host["InstanceId"] for host in group["Instances"]}
        settings = load_stack_file(self.scene.workspace.stack_file)
        seen = rollout.roll_out(self.scene.clients, self.scene.workspace.stack, settings)
        assert expectations.replaces_hosts(seen).violations == ()
        [group] = api.describe_auto_scaling_groups()["AutoScalingGroups"]
        return not before <= {host["InstanceId"] for host in group["Instances"]}

    def account(self) -> list[str]:
        """What boto3 finds, with the engine's names in place of ids, and without what tells only when."""
        names = {id: f"<{type} {name}>" for (type, id), name in self._names().items() if len(id) > 3}
        known = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
        found = inventory.find(self.scene.clients, self.scene.workspace.stack)
        assert not found.unreadable
        lines = []
        for one in found.resources:
            if one.type.endswith(("Instance", "Volume", "NetworkInterface")):
                continue
            facts = {key: value for key, value in one.facts.items() if (one.type, key) != (SCHEDULE, "State")}
            told = json.dumps([one.type, one.id, facts, dict(one.tags)], default=str, sort_keys=True)
            lines.append(
                json.dumps(_lasting(json.loads(known.sub(lambda match: names[match[0]], told))), sort_keys=True)
            )
        return sorted(lines)

    def _names(self) -> dict[tuple[str, str], str]:
        names: dict[tuple[str, str], str] = {}
        for one in self.scene.workspace.resources():
            name = one["urn"].rpartition("::")[2]
            for id in (state_key(one)[1], one.get("id"), (one.get("outputs") or {}).get("arn")):
                if id:
                    names[one["type"], id] = name
        return names


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(inner) for key, inner in sorted(value.items()) if not PASSING.search(key)}
    if isinstance(value, list):
        return sorted((_lasting(inner) for inner in value if not _is_s3_route(inner)), key=json.dumps)
    return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.+Z-]*|[0-9a-f]{7,}", "…", value) if isinstance(value, str) else value


def _is_s3_route(value: Any) -> bool:
    return isinstance(value, dict) and S3_ROUTE in value


def in_any_order(seed: int) -> Sequence[str]:
    order = [*CHANGES]
    random.Random(seed).shuffle(order)
    return order


@contextmanager
def a_stack(engine: Engine) -> Iterator[Stack]:
    """One on an account of its own."""
    with simulated_account() as account, set_the_scene("dev", engine, account) as scene:
        yield Stack(scene)


@pytest.fixture(scope="module")
def fresh(pulumi_engine: Engine) -> list[str]:
    """The account of a stack that was made with the final settings."""
    values: Mapping[str, Any] = START
    for path, value in CHANGES.values():
        values = with_change(values, path, value)
    with a_stack(pulumi_engine) as made:
        made.up(values)
        return made.account()


@pytest.mark.parametrize("seed", range(10))
def test_in_any_order_the_account_ends_as_a_fresh_one(seed: int, pulumi_engine: Engine, fresh: list[str]) -> None:
    with a_stack(pulumi_engine) as stack:
        stack.up(START)
        assert not stack.replaced()
        replaced = []
        for what in in_any_order(seed):
            stack.up(with_change(stack.values, *CHANGES[what]))
            if stack.replaced():
                replaced.append(what)
        assert set(replaced) == set(REPLACES_HOSTS)
        different = sorted({*stack.account()} ^ {*fresh})
        assert not different, "\n".join(different)


def test_a_model_cache_that_was_left_serves_the_next_stack(pulumi_engine: Engine) -> None:
    with a_stack(pulumi_engine) as stack:
        efs, workspace = stack.scene.clients("efs"), stack.scene.workspace

        def remove() -> list[str]:
            workspace.pulumi("state", "unprotect", "--all", "--yes")
            done(workspace.destroy())
            return [one["FileSystemId"] for one in efs.describe_file_systems()["FileSystems"]]

        stack.up(START)
        [left] = remove()
        assert efs.describe_mount_targets(FileSystemId=left)["MountTargets"] == []
        stack.up(with_change(START, "modelCache.fileSystemId", left))
        assert len(efs.describe_mount_targets(FileSystemId=left)["MountTargets"]) == 2
        assert done(workspace.up()).changing() == []
        assert remove() == [left]


def test_a_zone_goes_once_its_hosts_have_left(pulumi_engine: Engine) -> None:
    """Auto Scaling moves hosts out of a zone that its group no longer has, which moto does not; until then AWS keeps
    the subnet."""
    with a_stack(pulumi_engine) as stack:
        api, workspace = stack.scene.clients("autoscaling"), stack.scene.workspace
        stack.up(START)
        workspace.stack_file.write_text(configured(with_change(START, "network.zones", ["us-east-1b", "us-east-1c"])))
        refused = workspace.up()
        assert any("DependencyViolation" in message for message in refused.messages)
        for host in api.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]:
            api.terminate_instance_in_auto_scaling_group(
                InstanceId=host["InstanceId"], ShouldDecrementDesiredCapacity=False
            )
        done(workspace.up())
        found = stack.scene.clients("ec2").describe_subnets(Filters=[{"Name": "tag-key", "Values": ["tandem:stack"]}])
        assert {subnet["AvailabilityZone"] for subnet in found["Subnets"]} == {"us-east-1b", "us-east-1c"}
