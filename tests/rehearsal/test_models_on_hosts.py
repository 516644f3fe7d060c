"""Three models of different shapes on hosts, on the real engine: they come, change, stop and go, each by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.operations import Operation
from pulumi_rehearsal.workspace import Workspace
from rehearsal import expiry
from tandem import type_tokens as types
from tandem.loading import load_stack_file
from tandem.ops import inventory
from tandem.ops.kinds import hosts_groups
from tandem.ops.kinds.kind import Clients
from tandem.ops.rollout.group import HostGroup
from tandem.ops.status import Fleet, look
from tests.rehearsal.watched import REGION, Watched, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = pytest.mark.engine

EMBED: dict[str, Any] = {
    "hostName": "embed.example.com",
    "inference": {
        "model": "BAAI/bge-m3",
        "task": "embed",
        "modelConfigFile": "tests/real/shapes/BAAI--bge-m3_config.json",
        "tensorParallelSize": 1,
    },
    "fleet": {"instanceTypes": ["g6.xlarge"], "hosts": 2, "maxHosts": 3, "followLoad": True},
}
LARGE: dict[str, Any] = {
    "hostName": "large.example.com",
    "inference": {"model": "Qwen/Qwen3-32B", "tensorParallelSize": 4, "maxModelLen": 8192},
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "onDemandPercentage": 0},
}


def configure(workspace: Workspace, zone: str, **models: Any) -> None:
    document = yaml.safe_load(workspace.stack_file.read_text())
    document["config"] |= {
        "tandem:loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": zone},
        "tandem:costGuard": {"expiresAfter": "4h", "maxUsd": 300},
        "tandem:models": models,
    }
    workspace.stack_file.write_text(yaml.safe_dump(document))


def hosts(clients: Clients) -> dict[str, set[str]]:
    groups = hosts_groups(clients, "dev")
    return {model: {host["InstanceId"] for host in one.facts["Instances"]} for model, one in groups.items()}


def versions(account: SimulatedAccount) -> dict[str, int]:
    found = account.client("ec2", REGION).describe_launch_templates()["LaunchTemplates"]
    return {one["LaunchTemplateName"].rsplit("-", 1)[0]: one["LatestVersionNumber"] for one in found}


def touched(operation: Operation) -> set[tuple[str, str]]:
    return {(step.operation, step.urn.rpartition("::")[2]) for step in operation.changing()}


def test_three_shapes_come_change_stop_and_go_each_by_itself(
    workspace: Workspace, account: SimulatedAccount, watched: Watched
) -> None:
    clients = account.clients(REGION)
    zones = account.client("route53", REGION)
    zone = zones.create_hosted_zone(Name="example.com", CallerReference="theirs")["HostedZone"]["Id"].rpartition("/")[2]

    configure(workspace, zone)
    done(workspace.up())
    alone = hosts(clients)
    assert {model: len(ids) for model, ids in alone.items()} == {"main": 1}

    configure(workspace, zone, embed=EMBED, large=LARGE)
    came = done(workspace.up())
    beside = hosts(clients)
    assert {model: len(ids) for model, ids in beside.items()} == {"main": 1, "embed": 2, "large": 1}
    assert beside["main"] == alone["main"], "the main model's host goes on"
    assert versions(account) == {"tandem-dev": 1, "tandem-dev-embed": 1, "tandem-dev-large": 1}
    assert not [one for one in touched(came) if one[1] == "tandem-dev"], "its template and group are as they were"
    assert done(workspace.up()).changing() == []
    types_run = {
        one.facts["InstanceType"] for one in inventory.find(clients, "dev").resources if one.type == types.INSTANCE
    }
    assert types_run == {"g6.12xlarge", "g6.xlarge", "g6e.12xlarge"}

    settings = load_stack_file(workspace.stack_file)
    found = look(clients, "dev", settings, datetime.now(UTC), probe=False).servers
    assert isinstance(found, Fleet)
    assert {model: (one.desired, one.maximum) for model, one in found.each.items()} == {
        "main": (1, 1),
        "embed": (2, 3),
        "large": (1, 1),
    }
    assert {(host.model, host.replicas) for host in found.machines} == {("main", 2), ("embed", 1), ("large", 1)}
    platform = HostGroup(clients, "dev", None, settings)
    assert [one.model for one in platform.look()] == ["main", "embed", "large"]

    configure(workspace, zone, embed=EMBED, large=LARGE | {"inference": LARGE["inference"] | {"maxModelLen": 4096}})
    changed = done(workspace.up())
    assert touched(changed) == {("update", "tandem-dev-large")}
    assert versions(account) == {"tandem-dev": 1, "tandem-dev-embed": 1, "tandem-dev-large": 2}

    renamed = LARGE | {"inference": LARGE["inference"] | {"maxModelLen": 4096}}
    configure(workspace, zone, embed=EMBED, big=renamed)
    ways = {(what, name) for what, name in touched(done(workspace.up())) if "-api-" in name or "example.com" in name}
    assert {one for one in ways if "validation" not in one[1]} == {
        ("create", "dev-api-big-1"),
        ("delete", "dev-api-large-1"),
    }, "its name in Route 53 stays, and no other model's way moves"
    assert hosts(clients)["embed"] == beside["embed"]

    configure(workspace, zone, embed=EMBED)
    done(workspace.up())
    assert hosts(clients) == {model: beside[model] for model in ("main", "embed")}
    assert {*versions(account)} == {"tandem-dev", "tandem-dev-embed"}
    assert watched.unguarded == []

    calls = [
        call for call in expiry.calls(clients, inventory.find(clients, "dev").resources) if "sns" not in call.action
    ]
    assert {call.arguments["AutoScalingGroupName"] for call in calls} == {
        one.name for one in hosts_groups(clients, "dev").values()
    }
    for call in calls:
        call.invoke(clients)
    assert hosts(clients) == {"main": set(), "embed": set()}

    done(workspace.destroy())
    assert inventory.find(clients, "dev").resources == []
