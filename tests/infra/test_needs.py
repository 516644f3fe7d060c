"""What each resource needs before it: an edge that the program must declare, or the engine makes both at once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import pytest

from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Found
from tandem.ops.removal import plan
from tests.infra.declared import ORDER, declared_by, type_of
from tests.infra.roles import HOSTS, MANAGED, PODS

pytestmark = pytest.mark.sweep

DOMAIN = {"domainName": "us.llm.example.com", "hostedZoneId": "Z0123456789ABC"}
BUDGET = {"monthlyBudgetUsd": 100, "alertEmails": ["a@example.com"]}
NAMED: dict[str, Any] = {
    "loadBalancer": DOMAIN,
    "globalName": DOMAIN | {"domainName": "llm.example.com"},
    "costGuard": BUDGET | {"idleAfter": "2h", "expiresAfter": "4h", "businessHours": {}},
}
STACKS: dict[str, dict[str, Any]] = {
    "hosts": HOSTS | NAMED,
    "pods": PODS | {"loadBalancer": DOMAIN, "costGuard": BUDGET},
    "managed": MANAGED,
}
Needs = dict[str, dict[str, set[str]]]


@dataclass(frozen=True)
class Need:
    """Each `of`, of a type and with a name that ends so, is given an `on` by an input, or waits for one.

    Attributes:
        via: name of the input; ORDER where nothing but the order tells.
        why: what happens without.
        name, its: ends of the two's names; any without.
        every: all that there are, not one.
    """

    of: str
    via: str
    on: str
    why: str
    name: str = ""
    its: str = ""
    every: bool = False

    def __str__(self) -> str:
        return f"{self.of}{self.name} {self.via} {self.on}{self.its}"


NETWORK = [
    Need("NatGateway", ORDER, "InternetGateway", "a NAT gateway in a network without a way out fails", every=True),
    Need("NatGateway", "subnetId", "Subnet", "it stands in a public subnet", its="-public-a", name="-a"),
    Need("NatGateway", "allocationId", "Eip", "its address stays the same"),
    Need("Eip", ORDER, "Vpc", "it costs, and a VPC that may not be made is made without it"),
    Need("Route", "gatewayId", "InternetGateway", "public subnets reach the internet by it", name="-public"),
    Need("Route", "natGatewayId", "NatGateway", "private ones by theirs", name="-private-a"),
    Need("RouteTableAssociation", "routeTableId", "RouteTable", "a subnet has the ways of its table"),
    Need("RouteTableAssociation", "subnetId", "Subnet", "and each table its subnets"),
    Need("LoadBalancer", "subnets", "Route", "AWS refuses one in subnets without a way out", its="-public"),
    Need("LoadBalancer", "subnets", "RouteTableAssociation", "and that way is of the subnet"),
    Need("VpcEndpoint", "routeTableIds", "RouteTable", "what goes to S3 goes by it", name="-s3", every=True),
    Need("FlowLog", "iamRoleArn", "Role", "it writes with it"),
    Need("DefaultSecurityGroup", "vpcId", "Vpc", "its rules are taken away"),
]
WAY_IN = [
    Need("LoadBalancer", "securityGroups", "SecurityGroup", "nothing else lets clients in"),
    Need("LoadBalancer", "accessLogs", "BucketPolicy", "AWS tests whether it may write the logs"),
    Need("Listener", "certificateArn", "Certificate or CertificateValidation", "HTTPS speaks with it", name="-https"),
    Need("Listener", "certificateArn", "CertificateValidation", "AWS refuses one that nobody validated", name="-https"),
    Need("CertificateValidation", "validationRecordFqdns", "Record", "nobody validates before the records are there"),
    Need("ListenerRule", "listenerArn", "Listener", "a rule is a listener's"),
    Need("ListenerRule", "actions", "TargetGroup", "it leads to one", name="-api-main-1"),
    Need(
        "Record",
        ORDER,
        "Listener",
        "`tandem recover` finds the load balancer by it",
        name="::us.llm.example.com",
        its="-https",
    ),
    Need(
        "Record", ORDER, "Listener", "`tandem recover` finds the load balancer by it", name="::tandem-dev", its="-https"
    ),
    Need("WebAclAssociation", "webAclArn", "WebAcl", "the firewall is before the load balancer"),
    Need("WebAclAssociation", "resourceArn", "LoadBalancer", "and before this one"),
]
CACHE = [
    Need("MountTarget", "securityGroups", "SecurityGroup", "hosts reach the cache by it"),
    Need("AccessPoint", "fileSystemId", "FileSystem", "it is a directory there"),
    Need("FileSystemPolicy", "policy", "Role", "only these roles mount it"),
    Need("PersistentVolume", "spec", "MountTarget", "a mount before it hangs"),
    Need("LaunchTemplate", "userData", "MountTarget", "a host that mounts before it fails", name="::tandem-dev"),
]
FLEET = [
    Need("LaunchTemplate", "iamInstanceProfile", "InstanceProfile", "hosts have their role by it"),
    Need(
        "LaunchTemplate",
        "userData",
        "RolePolicy",
        "a host asks for its scripts in its first second",
        its="-host-scripts",
    ),
    Need("LaunchTemplate", "userData", "BucketObjectv2", "and finds them"),
    Need("autoscaling/group:Group", "targetGroupArns", "TargetGroup", "hosts are registered there", name="tandem-dev"),
    Need("autoscaling/group:Group", ORDER, "Schedule", "no GPU without what ends it", every=True),
    Need("autoscaling/group:Group", ORDER, "Budget", "nor without its budget"),
    Need("LifecycleHook", "autoscalingGroupName", "Group", "a host that leaves has time"),
    Need("MetricAlarm", "alarmActions", "autoscaling/policy:Policy", "an idle fleet is stopped by it", name="-idle"),
]
GUARD = [
    Need("Schedule", "target", "Role", "it may do what it calls", its="-expiry"),
    Need("Schedule", "groupName", "ScheduleGroup", "by whose tags it is removed"),
    Need("TopicSubscription", "topic", "Topic", "mail of the budget"),
    Need("Budget", "notifications", "Topic", "which tells of it"),
]
KUBERNETES = [
    Need("eks/cluster:Cluster", ORDER, "RolePolicy", "EKS acts by its role from the first minute"),
    Need("eks/cluster:Cluster", ORDER, "LogGroup", "EKS would make one that never ends"),
    Need("eks/cluster:Cluster", "encryptionConfig", "Key", "secrets are encrypted with it"),
    Need("NodeGroup", ORDER, "RolePolicyAttachment", "a node without its rights does not join"),
    Need("NodeGroup", ORDER, "Addon", "nor without a network", its="-vpc-cni"),
    Need("NodeGroup", ORDER, "Schedule", "no GPU without what ends it", name="-gpu", every=True),
    *(
        Need(kind, ORDER, "PodIdentityAssociation", "a pod that starts before has no role", name=name, its=its)
        for kind, name, its in (
            ("Addon", "-vpc-cni", "-aws-node"),
            ("Addon", "-aws-efs-csi-driver", "-efs-csi-controller-sa"),
            ("Addon", "-aws-efs-csi-driver", "-efs-csi-node-sa"),
            ("Release", "-keda", "-keda-operator"),
            ("Release", "-karpenter", "-karpenter-karpenter"),
            ("Release", "-aws-load-balancer-controller", "-aws-load-balancer-controller"),
        )
    ),
    Need("EC2NodeClass", ORDER, "Release", "its definition comes with the chart", its="-karpenter"),
    Need("EC2NodeClass", ORDER, "AccessEntry", "nodes of its role join by it"),
    Need("EC2NodeClass", ORDER, "RolePolicyAttachment", "a node without its rights does not join"),
    Need("EC2NodeClass", ORDER, "Addon", "nor without a network", its="-vpc-cni"),
    Need("EC2NodeClass", ORDER, "Budget", "no GPU without its budget"),
    Need("NodePool", ORDER, "EC2NodeClass", "its nodes are of that class"),
    Need("QueuePolicy", "policy", "Queue", "events reach it"),
    Need("EventTarget", "arn", "Queue", "and are sent to it"),
    Need("TargetGroupBinding", "spec", "TargetGroup", "pods are registered there"),
    Need("TargetGroupBinding", ORDER, "Service", "it takes the pods of one"),
    Need("Deployment", ORDER, "TargetGroupBinding", "a pod from before it waits for no load balancer"),
    Need("ScaledObject", ORDER, "Deployment", "what it scales is there"),
    Need("ConfigMap", "data", "Secret", "pods read their clients there", name="-edge"),
    Need("PersistentVolumeClaim", ORDER, "Namespace", "it is in one"),
]
ROWS = [*NETWORK, *WAY_IN, *CACHE, *FLEET, *GUARD, *KUBERNETES]


@functools.cache
def of_type(urn: str, kind: str, name: str) -> bool:
    token = type_of(urn)
    return (
        token.endswith(tuple(mark + one for one in kind.split(" or ") for mark in ":/"))
        and not token.startswith("tandem:")
        and urn.endswith(name)
    )


def lacking(needs: Needs, row: Need) -> list[str]:
    """Each for which the row does not hold, by its URN."""
    there = {urn for urn in needs if of_type(urn, row.on, row.its)}
    asking = [urn for urn in needs if of_type(urn, row.of, row.name)]
    held = {urn: needs[urn].get(row.via, set()) & there for urn in asking}
    return [urn for urn, has in held.items() if has != there if row.every or not has]


def asking(row: Need) -> dict[str, Needs]:
    """Stacks that have both ends of a row, with what their resources need."""
    found = {name: declared_by(values).needs for name, values in STACKS.items()}
    return {
        name: needs
        for name, needs in found.items()
        if any(of_type(urn, row.of, row.name) for urn in needs) and any(of_type(urn, row.on, row.its) for urn in needs)
    }


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_it_is_declared(row: Need) -> None:
    stacks = asking(row)
    assert stacks, "no stack has both"
    assert {name: lacking(needs, row) for name, needs in stacks.items()} == {name: [] for name in stacks}, row.why


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_program_that_leaves_it_out_is_seen(row: Need) -> None:
    """Without that one edge, whatever leads to the same by another way."""
    for name, needs in asking(row).items():
        ends = [urn for urn in needs if of_type(urn, row.of, row.name)]
        kept = {urn: {one for one in needs[urn][row.via] if not of_type(one, row.on, row.its)} for urn in ends}
        without = needs | {urn: needs[urn] | {row.via: others} for urn, others in kept.items()}
        assert lacking(without, row) == ends, name


TEXT = {"tags", "tagSpecifications", "userData", "policy", "target", "name"}
"""Inputs in which AWS sees words, not a resource that it would hold."""
WAITS = {("aws:lb/loadBalancer:LoadBalancer", "subnets")}
"""An input whose value is told later than it is known, until ways out are there."""
OUTLIVES = {("aws:cloudwatch/metricAlarm:MetricAlarm", name) for name in ("metricQueries", "alarmActions")}
"""CloudWatch asks for nothing behind a name: such an alarm is silent, and goes with those of which others are made."""


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_removed_before_what_is_made_of_its_id(stack: str) -> None:
    needs = declared_by(STACKS[stack]).needs
    waves = plan(Found(type=type_, id="") for type_ in KINDS)
    at = {one.type: number for number, wave in enumerate(waves) for one in wave}
    wrong = {
        (type_of(urn), name, type_of(other))
        for urn, inputs in needs.items()
        for name, others in inputs.items()
        for other in others
        if name not in TEXT | {ORDER}
        and (type_of(urn), name) not in WAITS | OUTLIVES
        and at.get(type_of(urn), 0) > at.get(type_of(other), len(waves))
    }
    assert wrong == set()
