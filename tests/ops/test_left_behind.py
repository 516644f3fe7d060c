"""What AWS and the cluster leave without our tags is found by audit and taken by recover, if it is ours for certain."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pulumi_rehearsal.moto import SimulatedAccount
from tandem import type_tokens as types
from tandem.ops import inventory, removal
from tandem.ops.audit import Leftover, audit
from tandem.ops.kinds.kind import Clients
from tandem.ops.lives import against_removal
from tandem.ops.pulumi import Deployment, Stack
from tandem.ops.recovery import Plan
from tandem.ops.resuming import carry_out, look
from tandem.tags import PROJECT_TAG, STACK_ID_TAG, STACK_TAG
from tests.ops.account import IMAGE, REGION, Builder, at_once, tags_of
from tests.ops.test_recovery import IDENTITY_RESOURCE
from tests.ops.test_removal import refusing

LIFE = "a" * 16
NOBODY_HAS_ANY: Deployment = {"version": 3, "deployment": {}}


@pytest.fixture(scope="module")
def clients(moto_server: SimulatedAccount) -> Clients:
    """One account for all of these tests, each with a stack of its own."""
    moto_server.reset()
    return lambda service: moto_server.client(service, REGION)


@pytest.fixture
def stack() -> str:
    return f"t{uuid.uuid4().hex[:6]}"


class Network:
    """A network of a life of a stack, and what pods and EKS leave in it."""

    def __init__(self, clients: Clients, stack: str, tags: dict[str, str] | None = None) -> None:
        self.ec2, self.stack = clients("ec2"), stack
        own = tags_of(stack) | {STACK_ID_TAG: LIFE, "tandem:ephemeral": "true"} if tags is None else tags
        builder = Builder(clients, stack, stack, own)
        self.vpc = self.ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=builder.specification("vpc"))["Vpc"][
            "VpcId"
        ]
        made = self.ec2.create_subnet(
            VpcId=self.vpc, CidrBlock="10.7.0.0/24", TagSpecifications=builder.specification("subnet")
        )
        self.subnet = made["Subnet"]["SubnetId"]

    def node(self, *, ends: bool = True) -> str:
        where = {"ImageId": IMAGE, "InstanceType": "g6e.12xlarge", "SubnetId": self.subnet}
        [made] = self.ec2.run_instances(**where, MinCount=1, MaxCount=1)["Instances"]
        if ends:
            self.ec2.terminate_instances(InstanceIds=[made["InstanceId"]])
            [own] = made["NetworkInterfaces"]
            self.ec2.delete_network_interface(NetworkInterfaceId=own["NetworkInterfaceId"])  # moto keeps it
        return made["InstanceId"]

    def interface(
        self, node: str, *, cluster: str | None = "", description: str = "", groups: Sequence[str] = ()
    ) -> str:
        tags = {"node.k8s.amazonaws.com/instance_id": node, "node.k8s.amazonaws.com/createdAt": "2026-11-28T10:00:00Z"}
        if cluster is not None:
            tags["cluster.k8s.amazonaws.com/name"] = cluster or f"tandem-{self.stack}"
        specification = {"ResourceType": "network-interface", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        made = self.ec2.create_network_interface(
            SubnetId=self.subnet,
            Description=description or f"aws-K8S-{node}",
            TagSpecifications=[specification],
            **({"Groups": [*groups]} if groups else {}),
        )
        return made["NetworkInterface"]["NetworkInterfaceId"]

    def cluster_group(self) -> str:
        name = f"tandem-{self.stack}"
        tags = [{"Key": f"kubernetes.io/cluster/{name}", "Value": "owned"}, {"Key": "Name", "Value": "eks"}]
        return self.ec2.create_security_group(
            GroupName=f"eks-cluster-sg-{name}-123456",
            Description="EKS created security group applied to ENI that is attached to EKS Control Plane master nodes",
            VpcId=self.vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
        )["GroupId"]


def cluster(clients: Clients, stack: str) -> None:
    clients("eks").create_cluster(
        name=f"tandem-{stack}",
        roleArn="arn:aws:iam::123456789012:role/x",
        resourcesVpcConfig={"subnetIds": ["subnet-1", "subnet-2"]},
    )


def log_group(clients: Clients, stack: str, tags: dict[str, str] | None = None) -> str:
    name = f"/aws/eks/tandem-{stack}/cluster"
    clients("logs").create_log_group(logGroupName=name, **({"tags": tags} if tags else {}))
    return name


def state(network: Network | None = None, life: str = LIFE) -> Deployment:
    """Of a stack whose network could not be deleted."""
    known = [(types.VPC, network.vpc), (types.SUBNET, network.subnet)] if network else []
    resources = [{"urn": f"urn:{id}", "type": type, "id": id, "outputs": {}} for type, id in known]
    return {"version": 3, "deployment": {"resources": [IDENTITY_RESOURCE | {"outputs": {"hex": life}}, *resources]}}


def leftovers(clients: Clients, stack: str | None) -> dict[str, Leftover]:
    result = audit(clients, stack, datetime.now(UTC))
    assert result.unreadable == []
    return {item.resource.id: item for item in result.leftovers}


def swept(plan: Plan) -> dict[str, str]:
    assert not plan.remove
    return {one.id: one.left_by for one in plan.sweep}


# -- in a network of others --------------------------------------------------------------------------------------------


def test_in_a_network_of_others_only_what_has_our_clusters_name_is_ours(clients: Clients, stack: str) -> None:
    others = Network(clients, stack, tags={"owner": "platform"})
    node, neighbours = others.node(), f"tandem-{stack}x"
    left, theirs = others.interface(node), others.interface(node, cluster=neighbours)
    unnamed, group = others.interface(node, cluster=None), others.cluster_group()
    assert not {left, theirs, unnamed, group} & {*leftovers(clients, stack)}, "nothing says that we were there"
    own = tags_of(stack) | {STACK_ID_TAG: LIFE}
    hosts = others.ec2.create_security_group(
        GroupName=f"{stack}-hosts",
        Description="GPU hosts",
        VpcId=others.vpc,
        TagSpecifications=[
            {"ResourceType": "security-group", "Tags": [{"Key": k, "Value": v} for k, v in own.items()]}
        ],
    )["GroupId"]
    found = leftovers(clients, stack)
    assert {left, group, hosts} <= {*found}
    assert not {theirs, unnamed, others.vpc, others.subnet} & {*found}
    assert found[left].resource.tags[STACK_ID_TAG] == LIFE


# -- interfaces of pods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", ["", None], ids=["with the cluster's name", "without"])
def test_what_a_node_left_keeps_the_network_until_recover_takes_it(
    clients: Clients, stack: str, named: str | None
) -> None:
    network = Network(clients, stack)
    group = network.cluster_group()
    node = network.node()
    left = network.interface(node, cluster=named, groups=[group])
    found = leftovers(clients, stack)
    assert found[left].why == f"left by the cluster's network plugin on {node}, which is gone"
    assert found[left].note == f"goes with `tandem recover {stack} --yes`"
    assert found[left].ours
    assert found[group].why == f"left by EKS with the cluster tandem-{stack}, which is gone"

    plan = look(clients, stack, state(network))
    assert set(swept(plan)) == {left, group}
    assert plan.keep == [], "rules of the group go with it"
    told: list[str] = []
    carry_out(clients, Stack(stack), state(network), plan, told.append)
    assert told[0] == f"removed: {types.NETWORK_INTERFACE} {left}", "the group cannot go before it"
    network.ec2.delete_subnet(SubnetId=network.subnet)
    network.ec2.delete_vpc(VpcId=network.vpc)
    assert look(clients, stack, state()).is_empty


def test_what_is_in_use_or_somebodys_stays(clients: Clients, stack: str) -> None:
    network = Network(clients, stack)
    gone, at_work = network.node(), network.node(ends=False)
    network.interface(at_work)
    network.interface(gone, description="by hand")
    network.interface(gone, cluster="tandem-another")
    attached = network.interface(gone)
    network.ec2.attach_network_interface(NetworkInterfaceId=attached, InstanceId=at_work, DeviceIndex=1)
    Network(clients, stack, {"Name": f"tandem-{stack}"}).interface(gone)
    elsewhere = Network(clients, f"{stack}x")
    theirs = elsewhere.interface(elsewhere.node())
    assert swept(look(clients, stack, state(network))) == {}
    assert not any(item.resource.left_by for item in leftovers(clients, stack).values())
    assert leftovers(clients, None)[theirs].resource.stack == f"{stack}x"


def test_of_another_life_it_is_named_and_stays(clients: Clients, stack: str) -> None:
    network = Network(clients, stack)
    left = network.interface(network.node())
    for own in (state(life="b" * 16), NOBODY_HAS_ANY):
        plan = look(clients, stack, own)
        assert swept(plan) == {}
        assert left in {kept.resource.id for kept in plan.keep}


def test_a_cluster_that_is_there_keeps_its_group(clients: Clients, stack: str) -> None:
    network = Network(clients, stack)
    group = network.cluster_group()
    cluster(clients, stack)
    assert not leftovers(clients, stack)[group].resource.left_by
    assert swept(look(clients, stack, state(network))) == {}


def test_it_goes_with_an_ephemeral_stack(clients: Clients, stack: str) -> None:
    network = Network(clients, stack)
    network.interface(network.node(), groups=[network.cluster_group()])
    everything = inventory.find(clients, stack).resources
    assert list(against_removal(stack, LIFE, everything)) == []
    assert removal.remove_stack(clients, everything, sleep=at_once) == []
    assert leftovers(clients, stack) == {}


# -- log groups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", [NOBODY_HAS_ANY, state()], ids=["after a destroy", "in the middle of one"])
def test_a_log_group_that_eks_wrote_anew_is_named_and_goes(clients: Clients, stack: str, own: Deployment) -> None:
    name = log_group(clients, stack)
    for asked in (stack, None):
        item = leftovers(clients, asked)[name]
        assert item.why == f"written anew by EKS after the end of the cluster tandem-{stack}"
        assert (
            item.note
            == f"goes with `tandem recover {stack} --yes`, or `aws logs delete-log-group --log-group-name {name}`"
        )
        assert item.costs
    plan = look(clients, stack, own)
    assert set(swept(plan)) == {name}
    carry_out(clients, Stack(stack), own, plan, lambda _line: None)
    assert clients("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []


def test_a_refusal_to_delete_it_is_said(clients: Clients, stack: str) -> None:
    log_group(clients, stack)
    plan = look(clients, stack, NOBODY_HAS_ANY)
    [left] = removal.remove(refusing(clients, "delete_log_group", "AccessDeniedException"), plan.sweep, sleep=at_once)
    assert left.reason.startswith("AccessDeniedException")


def test_a_log_group_of_a_cluster_that_is_there_stays(clients: Clients, stack: str) -> None:
    name = log_group(clients, stack)
    cluster(clients, stack)
    assert name not in leftovers(clients, stack)
    assert look(clients, stack, NOBODY_HAS_ANY).is_empty


def test_a_log_group_stays_while_another_life_holds_the_name(clients: Clients, stack: str) -> None:
    log_group(clients, stack)
    tags = {PROJECT_TAG: "tandem", STACK_TAG: stack, STACK_ID_TAG: "b" * 16}
    clients("ssm").put_parameter(
        Name=f"/tandem/{stack}/{'b' * 16}",
        Value="x",
        Type="String",
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
    )
    for own in (NOBODY_HAS_ANY, state()):
        assert look(clients, stack, own).is_empty
    assert set(swept(look(clients, stack, state(life="b" * 16)))) == {f"/aws/eks/tandem-{stack}/cluster"}


def test_a_log_group_that_somebody_keeps_stays(clients: Clients, stack: str) -> None:
    logs = clients("logs")
    log_group(clients, stack, {"team": "audit"})
    for name in (
        f"/aws/eks/tandem-{stack}-x/cluster",
        f"/aws/eks/{stack}/cluster",
        f"/aws/eks/tandem-{stack}/cluster/more",
    ):
        logs.create_log_group(logGroupName=name)
    kept = f"/aws/eks/tandem-{stack}y/cluster"
    logs.create_log_group(logGroupName=kept)
    logs.put_retention_policy(logGroupName=kept, retentionInDays=30)
    assert leftovers(clients, stack) == {}
    assert leftovers(clients, f"{stack}y") == {}
    assert look(clients, stack, NOBODY_HAS_ANY).is_empty
