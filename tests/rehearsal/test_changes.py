"""Settings of a stack that is up are changed one after another, in any order, and the account ends as if made so.

Each change is one `pulumi up` on the real engine; boto3 looks at what there is, and which hosts were replaced.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.rehearsal.changes import (
    CERTIFICATE,
    DOMAIN,
    HEAD,
    ZONE,
    Change,
    Open,
    Stack,
    changed,
    differences,
    final,
    in_any_order,
    open_hours,
)
from tests.rehearsal.changes import account as account
from tests.rehearsal.changes import open_stack as open_stack
from tests.rehearsal.watched import done

pytestmark = [pytest.mark.engine, pytest.mark.long]

START: dict[str, Any] = {
    "region": "us-east-1",
    "tags": {"team": "search"},
    "network": {"zones": ["us-east-1a", "us-east-1b"], "egress": "singleNat"},
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2, "maxHosts": 3},
    "inference": {"model": "Qwen/Qwen3-8B"},
    "costGuard": {"expiresAfter": "30d", "alertEmails": ["ops@example.com"]},
}
CHANGES: dict[str, Change] = {
    "a zone more, in another order": [{"network.zones": ["us-east-1c", "us-east-1b", "us-east-1a"]}],
    "each zone has its own way out": [{"network.egress": "natPerZone"}],
    "more hosts, then fewer": [{"fleet.hosts": 3}, {"fleet.hosts": 1}],
    "room for more": [{"fleet.maxHosts": 5}],
    "another type beside": [{"fleet.instanceTypes": ["g6e.12xlarge", "g6e.48xlarge"]}],
    "another team": [{"tags": {"team": "answers", "cost-centre": "7"}}],
    "no end, then a later one": [{"costGuard.expiresAfter": None}, {"costGuard.expiresAfter": "60d"}],
    "business hours, on and off": [{"costGuard.businessHours": open_hours()}, {"costGuard.businessHours": None}],
    "a budget": [{"costGuard.monthlyBudgetUsd": 20000}],
    "a larger disk": [{"fleet.rootVolumeGib": 300}],
    "a declared client": [{"clients.alice": {"sha256": ["0" * 64]}}, {"clients.alice.streams": 4}],
    "no way in without TLS, then one again": [
        {"loadBalancer.redirectHttp": False},
        {"loadBalancer.redirectHttp": True},
    ],
    "an internal load balancer": [{"loadBalancer.scheme": "internal"}],
    "a rate limit": [{"loadBalancer.requestsPerMinutePerIp": 1200}],
    "spot above the base": [{"fleet.onDemandBase": 1, "fleet.onDemandPercentage": 0}],
    "requests that begin alike meet, of one session then": [
        {"inference.routing": {}},
        {"inference.routing": {"by": "session"}},
    ],
    "guesses, then a head's": [
        {"inference.speculation": {}},
        {"inference.speculation": {"method": "eagle3", "model": HEAD}},
    ],
    "a domain, with a certificate from elsewhere, then proven here": [
        {"loadBalancer.domainName": DOMAIN, "loadBalancer.certificateArn": CERTIFICATE},
        {"loadBalancer.certificateArn": None, "loadBalancer.hostedZoneId": ZONE},
    ],
}
REPLACES_HOSTS = {
    "another type beside": "what the group launches",
    "a larger disk": "the launch template",
    "spot above the base": "what the group launches",
    "an internal load balancer": "where hosts register",
    "requests that begin alike meet, of one session then": "what the edge is",
    "guesses, then a head's": "what servers are told",
}
"""All others replace none; docs/runbook.md says so."""


@pytest.fixture(scope="module")
def fresh(open_stack: Open) -> list[str]:
    """The account of a stack that was made with the final settings."""
    with open_stack() as made:
        made.up(final(START, CHANGES))
        return made.end()


@pytest.mark.parametrize("seed", range(10))
def test_in_any_order_the_account_ends_as_a_fresh_one(seed: int, open_stack: Open, fresh: list[str]) -> None:
    with open_stack() as stack:
        stack.up(START)
        assert not stack.replaces_hosts()
        replaced = set()
        for what, change in in_any_order(CHANGES, seed):
            stack.up(changed(stack.values, change))
            if stack.replaces_hosts():
                replaced.add(what)
        assert replaced == set(REPLACES_HOSTS)
        different = differences(stack.end(), fresh)
        assert not different, different


def test_hosts_move_into_reservations_and_out_again_and_nobody_changes_these(open_stack: Open) -> None:
    reserved = {"fleet.capacityReservations": {"byZone": {"us-east-1b": "cr-" + "1" * 17}}}
    with open_stack() as stack:
        stack.up(START)
        balanced = _group(stack)
        assert len(balanced["AvailabilityZones"]) == 2
        stack.up(changed(START, reserved))
        assert stack.replaces_hosts()
        there = _group(stack)
        assert there["AvailabilityZones"] == ["us-east-1b"]
        assert "MixedInstancesPolicy" not in there
        assert done(stack.workspace.up()).changing() == []
        stack.up(changed(START, reserved | {"fleet.capacityReservations.whenFull": "wait"}))
        assert not stack.replaces_hosts()
        stack.up(START)
        assert stack.replaces_hosts()
        assert "MixedInstancesPolicy" in _group(stack)
        stack.workspace.pulumi("state", "unprotect", "--all", "--yes")
        done(stack.workspace.destroy())
        assert not [operation for _, operation in stack.account.calls if "CapacityReservation" in operation]


def _group(stack: Stack) -> dict[str, Any]:
    [group] = stack.clients("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return group


def test_a_model_cache_that_was_left_serves_the_next_stack(open_stack: Open) -> None:
    with open_stack() as stack:
        efs, workspace = stack.clients("efs"), stack.workspace

        def remove() -> list[str]:
            workspace.pulumi("state", "unprotect", "--all", "--yes")
            done(workspace.destroy())
            return [one["FileSystemId"] for one in efs.describe_file_systems()["FileSystems"]]

        stack.up(START)
        [left] = remove()
        assert efs.describe_mount_targets(FileSystemId=left)["MountTargets"] == []
        stack.up(changed(START, {"modelCache.fileSystemId": left}))
        assert len(efs.describe_mount_targets(FileSystemId=left)["MountTargets"]) == 2
        assert done(workspace.up()).changing() == []
        assert remove() == [left]


def test_a_zone_goes_once_its_hosts_have_left(open_stack: Open) -> None:
    """Auto Scaling moves hosts out of a zone that its group no longer has, as the simulator does once
    hosts end their hooks. None plays here, so that they are taken out by hand; until then AWS keeps the subnet."""
    with open_stack() as stack:
        api, workspace = stack.clients("autoscaling"), stack.workspace
        stack.up(START)
        stack.write(changed(START, {"network.zones": ["us-east-1b", "us-east-1c"]}))
        refused = workspace.up()
        assert any("DependencyViolation" in message for message in refused.messages)
        for host in api.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]:
            api.terminate_instance_in_auto_scaling_group(
                InstanceId=host["InstanceId"], ShouldDecrementDesiredCapacity=False
            )
        done(workspace.up())
        found = stack.clients("ec2").describe_subnets(Filters=[{"Name": "tag-key", "Values": ["tandem:stack"]}])
        assert {subnet["AvailabilityZone"] for subnet in found["Subnets"]} == {"us-east-1b", "us-east-1c"}
