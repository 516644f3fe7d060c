"""What leaves a stack that is up: a zone with its hosts in it, and all of it at a destroy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.meanwhile import meanwhile
from rehearsal.account import simulated_account
from rehearsal.played_hosts import Hosts, play
from rehearsal.scene import Scene, set_the_scene
from tests.rehearsal.watched import done

pytestmark = [pytest.mark.engine, pytest.mark.long]

ZONES = ["us-east-1a", "us-east-1b"]


def configured(zones: list[str]) -> str:
    config: dict[str, Any] = {
        "region": "us-east-1",
        "network": {"zones": zones},
        "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2, "maxHosts": 3},
        "inference": {"model": "Qwen/Qwen3-8B"},
        "costGuard": {"expiresAfter": "30d", "alertEmails": ["ops@example.com"]},
    }
    return yaml.safe_dump({"config": {f"tandem:{key}": value for key, value in config.items()}})


@contextmanager
def a_stack(engine: Engine) -> Iterator[Scene]:
    with simulated_account() as account, set_the_scene("dev", engine, account) as scene:
        scene.workspace.stack_file.write_text(configured(ZONES))
        done(scene.workspace.up())
        yield scene


@contextmanager
def hosts_at_work(scene: Scene) -> Iterator[list[Hosts]]:
    """Hosts do what they have to, as long as the block lasts; what there was at each look."""
    [group] = scene.clients("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    looks: list[Hosts] = []
    with meanwhile(lambda: looks.extend(play(scene.clients, group["AutoScalingGroupName"])), 0.05):
        yield looks


def zones(scene: Scene) -> tuple[set[str], set[str]]:
    """Of the hosts, and of the subnets."""
    [group] = scene.clients("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    subnets = scene.clients("ec2").describe_subnets(Filters=[{"Name": "tag-key", "Values": ["tandem:stack"]}])
    hosts = {host["AvailabilityZone"] for host in group["Instances"]}
    return hosts, {subnet["AvailabilityZone"] for subnet in subnets["Subnets"]}


def test_a_zone_goes_in_one_up_while_its_hosts_move(pulumi_engine: Engine) -> None:
    """AWS keeps the subnet until its last host has left; the provider asks again meanwhile."""
    with a_stack(pulumi_engine) as scene:
        assert zones(scene)[0] == {"us-east-1a"}
        scene.workspace.stack_file.write_text(configured(["us-east-1b", "us-east-1c"]))
        with hosts_at_work(scene) as looks:
            done(scene.workspace.up())
        hosts, subnets = zones(scene)
        assert hosts <= subnets == {"us-east-1b", "us-east-1c"}
        assert min(sum(many for (_, state), many in look.items() if state == "InService") for look in looks) == 2


def test_hosts_that_move_first_serve_all_along(pulumi_engine: Engine) -> None:
    """As docs/runbook.md takes a zone out: a load balancer sends nothing to a zone that it does not have."""
    with a_stack(pulumi_engine) as scene:
        api, outputs = scene.clients("autoscaling"), scene.workspace.outputs()
        filters = {
            "tag:tandem:stack-id": outputs["stackId"],
            "tag:Name": "*-private-*",
            "availability-zone": "us-east-1b",
        }
        [stays] = scene.clients("ec2").describe_subnets(
            Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()]
        )["Subnets"]
        api.update_auto_scaling_group(AutoScalingGroupName=outputs["fleetName"], VPCZoneIdentifier=stays["SubnetId"])
        [balancer] = scene.clients("elbv2").describe_load_balancers()["LoadBalancers"]
        reached = {zone["ZoneName"] for zone in balancer["AvailabilityZones"]}
        looks = list(play(scene.clients, outputs["fleetName"]))
        assert zones(scene)[0] == {"us-east-1b"} <= reached == set(ZONES)
        assert min(sum(many for (_, state), many in look.items() if state == "InService") for look in looks) == 2
        before = api.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
        scene.workspace.stack_file.write_text(configured(["us-east-1b", "us-east-1c"]))
        done(scene.workspace.up())
        after = api.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
        assert {host["InstanceId"] for host in after} == {host["InstanceId"] for host in before}
        assert zones(scene)[1] == {"us-east-1b", "us-east-1c"}


def test_a_destroy_ends_what_lets_hosts_drain_before_the_hosts(pulumi_engine: Engine) -> None:
    """docs/runbook.md says so, and how answers end whole: a host that drains needs its hooks and its role's rights."""
    with a_stack(pulumi_engine) as scene:
        scene.workspace.pulumi("state", "unprotect", "--all", "--yes")
        operation = done(scene.workspace.destroy())
        gone = [step.type for step in operation.steps if step.operation == "delete"]
        group = gone.index("aws:autoscaling/group:Group")
        assert gone[:group].count("aws:autoscaling/lifecycleHook:LifecycleHook") == 2
        assert "aws:autoscaling/lifecycleHook:LifecycleHook" not in gone[group:]
