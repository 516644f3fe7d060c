"""Changes that are no matter of order: of the platform, of zones on eks, and of a node group that stands at 0."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rehearsal import expiry
from tandem.ops import inventory
from tests.rehearsal.changes import SCHEDULE, Open, Stack, changed, differences, open_hours
from tests.rehearsal.changes import account as account
from tests.rehearsal.changes import open_stack as open_stack
from tests.rehearsal.test_guard import nodes
from tests.rehearsal.watched import done

pytestmark = [pytest.mark.engine, pytest.mark.long]

HOSTS: dict[str, Any] = {
    "region": "us-east-1",
    "platform": "ec2",
    "network": {"zones": ["us-east-1a", "us-east-1b"], "egress": "singleNat"},
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2},
    "inference": {"model": "Qwen/Qwen3-8B"},
}
PODS = HOSTS | {"platform": "eks"}
MANAGED = PODS | {"nodePool": {"provisioner": "managed"}}
CLOSED = {**open_hours(), "start": "20:00", "stop": "21:00"}
"""On the clock of the open hours, which shows about noon."""


def account_of(stack: Stack, values: dict[str, Any]) -> list[str]:
    stack.up(values)
    return stack.end()


def test_a_platform_changes_and_back_and_the_account_is_that_of_a_fresh_one(open_stack: Open) -> None:
    fresh = []
    for values in (PODS, HOSTS):
        with open_stack() as stack:
            fresh.append(account_of(stack, values))
    with open_stack() as stack:
        stack.up(HOSTS)
        for values, alike in zip((PODS, HOSTS), fresh, strict=True):
            different = differences(account_of(stack, values), alike)
            assert not different, different
        assert done(stack.workspace.up()).changing() == []


@pytest.mark.parametrize("values", [MANAGED, PODS], ids=["managed", "karpenter"])
def test_nodes_go_to_a_new_zone_and_the_control_plane_stays(values: dict[str, Any], open_stack: Open) -> None:
    with open_stack() as stack:
        stack.up(values)
        eks, ec2 = stack.clients("eks"), stack.clients("ec2")
        three = changed(values, {"network.zones": ["us-east-1c", "us-east-1a", "us-east-1b"]})
        stack.up(three)

        def zones(ids: list[str]) -> list[str]:
            return sorted(one["AvailabilityZone"] for one in ec2.describe_subnets(SubnetIds=ids)["Subnets"])

        cluster = eks.describe_cluster(name="tandem-dev")["cluster"]
        assert zones(cluster["resourcesVpcConfig"]["subnetIds"]) == ["us-east-1a", "us-east-1b"]
        stood = {
            tuple(zones(eks.describe_nodegroup(clusterName="tandem-dev", nodegroupName=name)["nodegroup"]["subnets"]))
            for name in eks.list_nodegroups(clusterName="tandem-dev")["nodegroups"]
        }
        assert ("us-east-1a", "us-east-1b", "us-east-1c") in stood or values is PODS
        assert done(stack.workspace.up()).changing() == []
        stack.write(changed(values, {"network.zones": ["us-east-1b", "us-east-1c"]}))
        refused = stack.workspace.preview()
        assert not refused.succeeded
        assert any("the cluster's control plane is in us-east-1a" in message for message in refused.messages)
        done(_up(stack, values))


def test_nodes_may_join_by_either_provisioner_after_a_change_and_back(open_stack: Open) -> None:
    with open_stack() as stack:
        eks, iam = stack.clients("eks"), stack.clients("iam")
        for values in (PODS, MANAGED, PODS):
            stack.up(values)
            roles = iam.get_paginator("list_roles").paginate().search("Roles[].Arn")
            of_nodes = {arn for arn in roles if "/tandem-dev-gpu-" in arn}
            groups = eks.list_nodegroups(clusterName="tandem-dev")["nodegroups"]
            of_groups = {
                eks.describe_nodegroup(clusterName="tandem-dev", nodegroupName=name)["nodegroup"]["nodeRole"]
                for name in groups
            }
            assert len(of_nodes) == 1
            assert len(of_groups & of_nodes) == (values is MANAGED)
            assert of_nodes | of_groups <= {*eks.list_access_entries(clusterName="tandem-dev")["accessEntries"]}
        assert done(stack.workspace.up()).changing() == []


def _up(stack: Stack, values: dict[str, Any]) -> Any:
    stack.write(values)
    return stack.workspace.up()


def test_a_node_group_goes_to_0_and_back(open_stack: Open) -> None:
    with open_stack() as stack:
        running, stopped = [(2, 2, 2)], [(0, 0, 1)]
        stack.up(MANAGED)
        for hours, size in ((CLOSED, stopped), (open_hours(), running)):
            stack.up(changed(MANAGED, {"costGuard.businessHours": hours}))
            assert nodes(stack.account) == size
        [close] = [
            one
            for one in inventory.find(stack.clients, "dev").resources
            if one.type == SCHEDULE and "-close" in one.id.rpartition("/")[2]
        ]
        for call in expiry.calls(stack.clients, [close]):
            call.invoke(stack.clients)
        assert nodes(stack.account) == stopped
        stack.workspace.pulumi("up", "--refresh", "--yes", "--skip-preview")
        assert nodes(stack.account) == running, "of which docs/runbook.md speaks"
        ended = f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        for expiry_moment, size in ((ended, stopped), ("2099-01-01T00:00:00Z", running), (None, running)):
            stack.up(changed(MANAGED, {"costGuard.expiresAt": expiry_moment}) if expiry_moment else MANAGED)
            assert nodes(stack.account) == size
