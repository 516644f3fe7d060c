"""A stack in a VPC that was there, on the real engine: it comes, changes and goes, and the network is as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.policy_evaluator import ACCOUNT
from pulumi_rehearsal.workspace import Workspace
from rehearsal.policy_questions import decided, questions
from rehearsal.scene import PROJECT
from tandem import type_tokens as types
from tandem.costs import fixed_costs
from tandem.loading import load_stack_file
from tandem.ops import inventory, removal
from tandem.ops.audit import audit
from tandem.ops.rights.documents import documents
from tandem.ops.rights.right import DEPLOYER, VIEWER
from tests.calls import recorded, unread
from tests.ops.account import at_once
from tests.others_network import OthersNetwork, networks
from tests.rehearsal.test_deployer import by_aws
from tests.rehearsal.test_guard import EITHER, MANAGED
from tests.rehearsal.watched import REGION, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

COUNTED = ("AvailableIpAddressCount",)
"""What a stack changes of a subnet while it is there."""


def configure(workspace: Workspace, **network: Any) -> None:
    """The stack file's `network`."""
    document = yaml.safe_load(workspace.stack_file.read_text())
    document["config"]["tandem:network"] = network
    workspace.stack_file.write_text(yaml.safe_dump(document))


def theirs(ec2: Any) -> dict[str, list[dict[str, Any]]]:
    """What of networks is not of the stack, and has no address count."""
    found = networks(ec2)
    groups = {one["GroupId"] for one in found["SecurityGroups"] if is_ours(one) or "eks-cluster" in one["GroupName"]}
    found["SecurityGroups"] = [one for one in found["SecurityGroups"] if one["GroupId"] not in groups]
    found["SecurityGroupRules"] = [one for one in found["SecurityGroupRules"] if one["GroupId"] not in groups]
    found["NetworkInterfaces"] = [one for one in found["NetworkInterfaces"] if one["InterfaceType"] == "nat_gateway"]
    found["Subnets"] = [{key: one[key] for key in one if key not in COUNTED} for one in found["Subnets"]]
    return found


def is_ours(item: dict[str, Any]) -> bool:
    return any(tag["Key"].startswith("tandem:") for tag in item.get("Tags", ()))


def forget_ended(ec2: Any) -> None:
    """moto keeps the interface of a host that has ended, which AWS deletes with it."""
    for interface in ec2.describe_network_interfaces()["NetworkInterfaces"]:
        host = interface.get("Attachment", {}).get("InstanceId")
        if host:
            [held] = ec2.describe_instances(InstanceIds=[host])["Reservations"]
            assert [one["State"]["Name"] for one in held["Instances"]] == ["terminated"]
            ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])


def refused_with(workspace: Workspace, said: str) -> None:
    for operation in (workspace.preview, workspace.up):
        refused = operation()
        assert not refused.succeeded
        assert said in "\n".join(refused.messages)
        assert "Traceback" not in "\n".join(refused.messages)


@EITHER
def test_it_comes_changes_and_goes_and_the_network_is_as_it_was(
    workspace: Workspace, account: SimulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2 = account.client("ec2", REGION)
    others, second = OthersNetwork(ec2), OthersNetwork(ec2, "10.78.0.0/16")
    before, kept = networks(ec2), theirs(ec2)
    boundary = (PROJECT / "policies" / "tandem-boundary.json").read_text(encoding="utf-8")
    account.client("iam", REGION).create_policy(PolicyName="tandem-boundary", PolicyDocument=boundary)
    workspace.pulumi("config", "set", "tandem:permissionsBoundary", f"arn:aws:iam::{ACCOUNT}:policy/tandem-boundary")
    configure(workspace, existing=others.settings)
    settings = load_stack_file(workspace.stack_file)
    assert not {"NAT gateways with address", "interface endpoints"} & {one.name for one in fixed_costs(settings)}
    with recorded(monkeypatch) as calls:
        made = {step.type for step in done(workspace.up()).steps}
        assert types.SECURITY_GROUP in made
        assert not {types.VPC, types.SUBNET, types.ROUTE, types.ROUTE_TABLE, types.NAT_GATEWAY, types.ENDPOINT} & made
        assert theirs(ec2) == kept
        assert done(workspace.up()).changing() == []
        found = {one.type for one in inventory.find(account.clients(REGION), "dev").resources}
        assert {types.LOAD_BALANCER, types.TARGET_GROUP, types.SECURITY_GROUP, types.MOUNT_TARGET} <= found
        [balancer] = account.client("elbv2", REGION).describe_load_balancers()["LoadBalancers"]
        assert {zone["SubnetId"] for zone in balancer["AvailabilityZones"]} == {*others.public.values()}
        for elsewhere in ({"existing": second.settings}, {}):
            configure(workspace, **elsewhere)
            refused_with(workspace, f"the stack is in {others.vpc}, and nothing of it can go to another VPC")
        configure(workspace, existing=others.settings)
        workspace.pulumi("config", "set", "tandem:tags.team", "a", "--path")
        assert done(workspace.up()).changing() != []
        assert theirs(ec2) == kept
        done(workspace.destroy())
    forget_ended(ec2)
    assert networks(ec2) == before
    own = [call for call in calls if not by_aws(call, calls)]
    policies = [policy for role in (DEPLOYER, VIEWER) for policy in documents(role).values()]
    assert unread(own, policies) == []
    assert decided(questions(own), policies, False) == []


def test_what_removes_by_tags_leaves_the_network_as_it_was(workspace: Workspace, account: SimulatedAccount) -> None:
    """As `reap` and `ephemeral down` do; `audit` names nothing of the network before, and nothing at all after."""
    ec2, clients = account.client("ec2", REGION), account.clients(REGION)
    others = OthersNetwork(ec2)
    before = networks(ec2)
    configure(workspace, existing=others.settings)
    done(workspace.up())
    foreign = {one["SubnetId"] for one in before["Subnets"]} | {one["VpcId"] for one in before["Vpcs"]}
    foreign |= {one["NatGatewayId"] for one in before["NatGateways"]}
    assert not foreign & {one.resource.id for one in audit(clients, "dev", datetime.now(UTC)).leftovers}
    assert removal.remove_stack(clients, inventory.find(clients, "dev").resources, sleep=at_once) == []
    forget_ended(ec2)
    assert networks(ec2) == before
    assert inventory.find(clients, "dev").resources == []
    assert audit(clients, "dev", datetime.now(UTC)).leftovers == []


def test_a_stack_of_its_own_network_goes_to_no_other(workspace: Workspace, account: SimulatedAccount) -> None:
    others = OthersNetwork(account.client("ec2", REGION))
    done(workspace.up())
    own = next(one["id"] for one in workspace.resources() if one["type"] == types.VPC)
    configure(workspace, existing=others.settings)
    refused_with(workspace, f"the stack is in {own}, and nothing of it can go to another VPC")


def test_a_subnet_that_is_not_there_is_named(workspace: Workspace, account: SimulatedAccount) -> None:
    others = OthersNetwork(account.client("ec2", REGION))
    nowhere = others.settings | {"publicSubnetIds": others.public | {"us-east-1a": "subnet-0123456789abcdef0"}}
    configure(workspace, existing=nowhere)
    refused_with(workspace, "network.existing")


@pytest.mark.parametrize("workspace", [MANAGED], indirect=True, ids=["eks"])
def test_a_cluster_of_the_name_stops_it_before_its_first_group(workspace: Workspace, account: SimulatedAccount) -> None:
    ec2, eks = account.client("ec2", REGION), account.client("eks", REGION)
    others = OthersNetwork(ec2)
    before, role = networks(ec2), f"arn:aws:iam::{ACCOUNT}:role/theirs"
    eks.create_cluster(name="tandem-dev", roleArn=role, resourcesVpcConfig={"subnetIds": []})
    configure(workspace, existing=others.settings)
    refused_with(workspace, "EKS cluster tandem-dev")
    assert networks(ec2) == before
