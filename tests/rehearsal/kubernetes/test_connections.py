"""The table of who may talk to whom, made of the program's own policies, and of policies that let too much through."""

from __future__ import annotations

from copy import deepcopy
from ipaddress import IPv4Network

import pytest

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.network_policy import NAMESPACE_NAME
from rehearsal.kubernetes.connections import (
    CLUSTER,
    LOAD_BALANCER,
    SUBNET,
    Connection,
    are_as_promised,
    balancers_of,
    hosts_of,
    servers,
    table,
)
from tandem.ops.kinds.kind import Found
from tandem.settings import Settings
from tests.infra.kubernetes.samples import SAMPLES, manifests

pytestmark = pytest.mark.sweep

HOSTS = [IPv4Network("10.20.128.0/19"), IPv4Network("10.20.160.0/19")]
NAMESPACES = {"inference": {"metadata": {"labels": {NAMESPACE_NAME: "inference"}}}}


def policies(sample: str) -> list[Object]:
    return [deepcopy(one) for one in manifests(sample) if one["kind"] == "NetworkPolicy"]


def rules(found: list[Object]) -> Object:
    """The spec of the policy that opens the servers."""
    [spec] = [policy["spec"] for policy in found if policy["metadata"]["name"] == "servers"]
    return spec


def blocks(found: list[Object]) -> list[IPv4Network]:
    """The load balancer's subnets, as the policy has them."""
    peers = rules(found)["ingress"][0]["from"]
    return [IPv4Network(peer["ipBlock"]["cidr"]) for peer in peers if "ipBlock" in peer]


def tabled(
    found: list[Object], sample: str = "karpenter", balancers: list[IPv4Network] | None = None
) -> list[Connection]:
    workloads = [one for one in manifests(sample) if one["kind"] in ("Deployment", "LeaderWorkerSet")]
    ends = servers(workloads, NAMESPACES, HOSTS)
    watching = Settings.model_validate(SAMPLES[sample]).monitoring_namespaces
    return table(found, ends, blocks(policies(sample)) if balancers is None else balancers, HOSTS, watching)


def allowed(table: list[Connection]) -> set[tuple[str, str]]:
    return {(one.source, one.destination) for one in table if one.allowed}


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_programs_own_policies_keep_the_promise(sample: str) -> None:
    assert are_as_promised(tabled(policies(sample), sample)).violations == ()


def test_the_whole_table() -> None:
    """Pods reach each HTTPS port, the cluster's API among them, and not the metadata service beside pod identity."""
    assert allowed(tabled(policies("karpenter"))) == {
        ("load balancer", "vllm-main:8080"),
        ("a pod in monitoring", "vllm-main:9090"),
        ("vllm-main", "DNS:53"),
        ("vllm-main", "DNS:53/udp"),
        ("vllm-main", "pod identity:80"),
        ("vllm-main", "the internet:443"),
        ("vllm-main", "the cluster's API:443"),
        ("vllm-main", "a pod in another namespace:443"),
    }


def test_every_pair_of_a_server_is_in_the_table() -> None:
    pairs = {(one.source, one.destination) for one in tabled(policies("karpenter"))}
    assert len(pairs) == 62
    assert {
        ("vllm-main", "vllm-main:8080"),
        ("vllm-main", "instance metadata:80"),
        ("vllm-main", "EFS:2049"),
        ("another pod in inference", "vllm-main:8080"),
        ("another pod in inference", "the internet:443"),
        ("the internet", "vllm-main:8080"),
        ("another host in the VPC", "vllm-main:22"),
    } <= pairs


def test_parts_of_a_pipeline_talk_on_any_port() -> None:
    found = allowed(tabled(policies("pipeline"), "pipeline"))
    assert {("vllm-main", "vllm-main's workers:22"), ("vllm-main's workers", "vllm-main:22")} <= found


def test_no_policy_keeps_no_promise() -> None:
    violations = are_as_promised(tabled([])).violations
    assert "the internet may talk to vllm-main:8080" in violations
    assert "vllm-main may talk to instance metadata:80" in violations


def test_metadata_through_a_block_too_wide_is_seen() -> None:
    found = policies("karpenter")
    rules(found)["egress"][2]["to"][0]["ipBlock"]["cidr"] = "169.254.0.0/16"
    assert are_as_promised(tabled(found)).violations == ("vllm-main may talk to instance metadata:80",)


def test_a_load_balancer_that_stands_elsewhere_is_seen() -> None:
    found = tabled(policies("karpenter"), balancers=[IPv4Network("10.99.0.0/24")])
    assert are_as_promised(found).violations == ("load balancer cannot talk to vllm-main:8080",)


def test_a_rule_for_a_part_of_the_hosts_is_seen() -> None:
    found = policies("karpenter")
    rules(found)["ingress"][0]["from"].append({"ipBlock": {"cidr": str(HOSTS[1])}})
    assert "another host in the VPC may talk to vllm-main:8080" in are_as_promised(tabled(found)).violations


def test_without_default_deny_pods_beside_the_servers_are_open() -> None:
    found = [policy for policy in policies("karpenter") if policy["metadata"]["name"] != "default-deny"]
    assert "the internet may talk to another pod in inference:8080" in are_as_promised(tabled(found)).violations


def test_networks_are_those_of_the_account() -> None:
    found = [
        Found(type=SUBNET, id="subnet-1", facts={"CidrBlock": "10.0.1.0/24"}),
        Found(type=SUBNET, id="subnet-2", facts={"CidrBlock": "10.0.2.0/24"}),
        Found(type=LOAD_BALANCER, id="arn", facts={"AvailabilityZones": [{"SubnetId": "subnet-1"}]}),
        Found(type=CLUSTER, id="x", facts={"resourcesVpcConfig": {"subnetIds": ["subnet-2"]}}),
    ]
    assert balancers_of(found) == [IPv4Network("10.0.1.0/24")]
    assert hosts_of(found) == [IPv4Network("10.0.2.0/24")]
