"""Zones that a group no longer has: its hosts leave them one after another, over boto3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pulumi_rehearsal.account_gaps import PUBLIC_IMAGE
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.played_hosts import Hosts, play
from tandem.rollout import LAUNCH_HOOK, TERMINATE_HOOK

Places = Counter[tuple[str, str]]
"""How many hosts there are in each zone and state."""


class Group:
    """Two hosts in the first of two zones, held by hooks when they come and when they go."""

    def __init__(self, account: SimulatedAccount, name: str) -> None:
        self.clients: Callable[[str], Any] = lambda service: account.client(service, "us-east-1")
        self.name, self.api, ec2 = name, self.clients("autoscaling"), self.clients("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = {
            zone: ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{place}.0/24", AvailabilityZone=f"us-east-1{zone}")[
                "Subnet"
            ]["SubnetId"]
            for place, zone in enumerate("ab")
        }
        data = {"ImageId": PUBLIC_IMAGE, "InstanceType": "g6e.12xlarge"}
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        self.api.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=2,
            MaxSize=2,
            LaunchTemplate={"LaunchTemplateName": name, "Version": "1"},
            VPCZoneIdentifier=",".join(self.subnets.values()),
        )
        for hook, transition in ((LAUNCH_HOOK, "LAUNCHING"), (TERMINATE_HOOK, "TERMINATING")):
            self.api.put_lifecycle_hook(
                AutoScalingGroupName=name,
                LifecycleHookName=hook,
                LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
            )

    def keep(self, zones: str) -> None:
        subnets = ",".join(self.subnets[zone] for zone in zones)
        self.api.update_auto_scaling_group(AutoScalingGroupName=self.name, VPCZoneIdentifier=subnets)

    def places(self) -> Places:
        [found] = self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        return Counter((host["AvailabilityZone"][-1], host["LifecycleState"]) for host in found["Instances"])

    def play(self) -> Iterator[Hosts]:
        return play(self.clients, self.name)


@pytest.fixture
def group(account: SimulatedAccount, request: pytest.FixtureRequest) -> Group:
    return Group(account, request.node.name)


def test_one_host_comes_before_another_leaves_the_zone(group: Group) -> None:
    assert group.places() == {("a", "InService"): 2}
    group.keep("b")
    looks = [group.places(), *group.play()]
    assert looks[0] == {("a", "InService"): 2, ("b", "Pending:Wait"): 1}
    assert {sum(hosts.values()) for hosts in looks} == {2, 3}
    assert all(sum(many for (_, state), many in hosts.items() if state == "InService") >= 2 for hosts in looks)
    assert group.places() == {("b", "InService"): 2}


def test_hosts_of_a_zone_that_stays_stay(group: Group) -> None:
    group.keep("a")
    assert group.places() == {("a", "InService"): 2}


def test_without_a_spare_host_nothing_moves(group: Group) -> None:
    group.api.suspend_processes(AutoScalingGroupName=group.name, ScalingProcesses=["AZRebalance"])
    group.keep("b")
    assert group.places() == {("a", "InService"): 2}
