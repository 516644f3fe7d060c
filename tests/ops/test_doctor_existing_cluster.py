"""`tandem doctor` reads a cluster that is there: what of it would keep a stack from coming up, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem import pins
from tandem.kubernetes.existing import TAKEN
from tandem.ops.aws import aws_clients
from tandem.ops.doctor.existing_cluster import ON_NODES, PARTS
from tandem.ops.doctor.run import run_check
from tests.ops.broken_account import Account, Case, World, assert_found
from tests.others_network import OthersNetwork

CHECK = "existing cluster"
ROLE = "arn:aws:iam::123456789012:role/theirs"
KUBECTL = """#!/bin/sh
case " $* " in
*" --all-namespaces "*) shown=parts ;;
*" get Namespace "*) shown=Namespace ;;
*" get PriorityClass "*) shown=PriorityClass ;;
*" get PersistentVolume "*) shown=PersistentVolume ;;
esac
if [ -e {0}/refused ]; then echo 'You must be logged in to the server' >&2; exit 1; fi
if [ -e {0}/$shown ]; then /bin/cat {0}/$shown; fi
"""


def daemon(name: str, **container: Any) -> dict[str, Any]:
    """With the tolerations that a chart or an add-on has by itself."""
    spec = {"tolerations": [{"operator": "Exists"}], "containers": [container]}
    return {"kind": "DaemonSet", "metadata": {"name": name}, "spec": {"template": {"spec": spec}}}


class Shown:
    """What `kubectl` shows of the cluster.

    Stands for: `kubectl` in a cluster of somebody's.
    Held by: tests/rehearsal/kubernetes/test_existing_cluster.py::test_the_doctor_reads_the_cluster
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "kubectl").write_text(KUBECTL.format(directory))
        (directory / "kubectl").chmod(0o755)
        self.parts = [
            daemon(f"{part.name}-daemonset" if part.chart == "nvidia-device-plugin" else part.name)
            if part.kind == "DaemonSet"
            else {
                "kind": part.kind,
                "metadata": {"name": part.name},
                "spec": {"versions": [{"name": part.served, "served": True}]},
            }
            for part in PARTS
        ]
        self.parts += [daemon("efs-csi-node"), daemon("aws-node", args=["--enable-network-policy=true"])]
        self.write()

    def write(self) -> None:
        (self.directory / "parts").write_text(json.dumps({"items": self.parts}))

    def has(self, kind: str, **labels: str) -> None:
        (self.directory / kind).write_text(json.dumps({"metadata": {"name": TAKEN[kind], "labels": labels}}))


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shown:
    monkeypatch.setenv("PATH", str(tmp_path))
    return Shown(tmp_path)


@pytest.fixture
def account(aws_account: AccountGaps, world: World, monkeypatch: pytest.MonkeyPatch, shown: Shown) -> Account:
    account = Account(aws_account, world, aws_clients("us-east-1", ask=False), monkeypatch)
    others = OthersNetwork(account.clients("ec2"))
    account.sections = {
        "platform": "eks",
        "ephemeral": False,
        "network": {"existing": others.settings},
        "nodePool": {"provisioner": "managed"},
        "scaling": {"prometheusUrl": "http://prometheus.observability.svc:9090"},
        "cluster": {"existing": {"name": "platform"}},
    }
    cluster(account, others.vpc, [*others.private.values()])
    return account


def cluster(account: Account, vpc: str, subnets: list[str], name: str = "platform", **more: Any) -> None:
    given = {"version": pins.load().kubernetes.version} | more
    account.clients("eks").create_cluster(name=name, roleArn=ROLE, resourcesVpcConfig={"subnetIds": subnets}, **given)
    account.clients("ec2").create_security_group(GroupName=f"eks-cluster-sg-{name}", Description="EKS", VpcId=vpc)


def another(account: Account, **more: Any) -> None:
    there = account.sections["network"]["existing"]
    cluster(account, there["vpcId"], [*there["privateSubnetIds"].values()], "second", **more)
    account.sections["cluster"] = {"existing": {"name": "second"}}


def elsewhere(account: Account) -> None:
    others = OthersNetwork(account.clients("ec2"), "10.78.0.0/16")
    cluster(account, others.vpc, [*others.private.values()], "second")
    account.sections["cluster"] = {"existing": {"name": "second"}}


def nowhere(account: Account) -> None:
    account.sections["cluster"] = {"existing": {"name": "nowhere"}}


def tandems(account: Account) -> None:
    another(account, tags={"tandem:project": "tandem"})


def older(account: Account) -> None:
    another(account, version="1.30")


def by_ipv6(account: Account) -> None:
    another(account, kubernetesNetworkConfig={"ipFamily": "ipv6"})


PINNED = int(pins.load().kubernetes.version.partition(".")[2])
NEWER, TOO_NEW = f"1.{PINNED + 1}", f"1.{PINNED + 4}"


def newer(account: Account) -> None:
    another(account, version=NEWER)


def upgraded(account: Account, version: str = NEWER) -> None:
    """With nodes of the stack's that are as old as the pins."""
    another(account, version=version)
    subnets = [*account.sections["network"]["existing"]["privateSubnetIds"].values()]
    group = {"nodegroupName": "tandem-dev-gpu-0123456789abcdef", "nodeRole": ROLE, "subnets": subnets}
    account.clients("eks").create_nodegroup(clusterName="second", **group)


def left_behind(account: Account) -> None:
    upgraded(account, TOO_NEW)


MISSING = {part.chart: part for part in PARTS}
ADD_ONS = ("eks-pod-identity-agent", "aws-efs-csi-driver")
BY_EKS: dict[str, Case] = {
    "not there": (nowhere, CHECK, "error", "AWS does not tell of this cluster", "cluster.existing.name"),
    "a stack's": (tandems, CHECK, "error", "that a stack of tandem has made", "`models`"),
    "in another VPC": (elsewhere, CHECK, "error", "where network.existing.vpcId is", "network.existing.vpcId vpc-"),
    "another Kubernetes": (older, CHECK, "error", "runs Kubernetes 1.30", "tandem pin --kubernetes --to 1.30"),
    "pods by IPv6": (by_ipv6, CHECK, "error", "addresses of ipv6", "name another cluster"),
    "upgraded before": (newer, CHECK, "error", f"runs Kubernetes {NEWER}", f"--kubernetes --to {NEWER}"),
    "upgraded since": (upgraded, CHECK, "warning", "has upgraded it", f"`tandem pin --kubernetes --to {NEWER}`"),
    "left behind": (left_behind, CHECK, "error", f"runs Kubernetes {TOO_NEW}", f"--kubernetes --to {TOO_NEW}"),
}


@pytest.mark.parametrize("name", BY_EKS)
def test_what_eks_tells_is_named_with_its_remedy(account: Account, name: str) -> None:
    assert_found(account, BY_EKS[name])


@pytest.mark.parametrize("chart", MISSING)
def test_each_part_that_is_missing_is_named_with_what_installs_it(account: Account, shown: Shown, chart: str) -> None:
    account.sections["inference"] = {"pipelineParallelSize": 2}
    account.sections["scaling"] |= {"minReplicas": 1, "maxReplicas": 1}
    assert [one.severity for one in run_check(CHECK, account.examination())] == ["ok"]
    shown.parts = [one for one in shown.parts if MISSING[chart].name not in one["metadata"]["name"]]
    shown.write()
    [found] = run_check(CHECK, account.examination())
    assert (found.severity, chart in found.what) == ("error", True)
    assert ("create-addon --cluster-name platform" in found.fix) == (chart in ADD_ONS)
    assert chart in found.fix


@pytest.mark.parametrize("chart", [part.chart for part in PARTS if part.served and part.chart != "lws"])
def test_a_part_of_a_version_that_serves_other_objects_is_named(account: Account, shown: Shown, chart: str) -> None:
    [part] = [one for one in shown.parts if one["metadata"]["name"] == MISSING[chart].name]
    part["spec"]["versions"] = [{"name": "v0", "served": True}, {"name": MISSING[chart].served, "served": False}]
    shown.write()
    [found] = run_check(CHECK, account.examination())
    assert (found.severity, found.value) == ("error", "v0")
    assert "does not know the stack's objects" in found.what


def test_what_no_model_needs_is_not_missed(account: Account, shown: Shown) -> None:
    unneeded = [MISSING[chart].name for chart in ("lws", "nvidia-device-plugin")]
    shown.parts = [one for one in shown.parts if not any(name in one["metadata"]["name"] for name in unneeded)]
    shown.write()
    account.sections["nodePool"] |= {"image": "bottlerocket"}
    assert [one.severity for one in run_check(CHECK, account.examination())] == ["ok"]


@pytest.mark.parametrize("name", ON_NODES)
@pytest.mark.parametrize(
    "tolerations", [[], [{"key": "theirs", "operator": "Exists"}], [{"key": "nvidia.com/gpu", "value": "false"}]]
)
def test_what_would_not_run_on_the_stacks_nodes_is_named(
    account: Account, shown: Shown, name: str, tolerations: list[dict[str, str]]
) -> None:
    [part] = [one for one in shown.parts if name in one["metadata"]["name"]]
    part["spec"]["template"]["spec"]["tolerations"] = tolerations
    shown.write()
    [found] = run_check(CHECK, account.examination())
    assert (found.severity, found.what.startswith(name)) == ("error", True)
    shown.parts.append(daemon(f"{name}-for-gpus"))
    part["spec"]["template"]["spec"]["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    shown.write()
    assert [one.severity for one in run_check(CHECK, account.examination())] == ["ok"]


def test_policies_that_nobody_enforces_are_told(account: Account, shown: Shown) -> None:
    shown.parts[-1] = daemon("aws-node", args=["--enable-network-policy=false"])
    shown.write()
    [found] = run_check(CHECK, account.examination())
    assert (found.severity, "enforce network policies" in found.what) == ("warning", True)
    assert "update-addon --cluster-name platform" in found.fix
    shown.parts.append(daemon("cilium"))
    shown.write()
    assert [one.severity for one in run_check(CHECK, account.examination())] == ["ok"]


def test_pods_with_security_groups_of_their_own_are_told(account: Account, shown: Shown) -> None:
    elsewhere = {"name": "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "value": "true"}
    shown.parts.append(daemon("aws-node", env=[elsewhere]))
    shown.write()
    [found] = run_check(CHECK, account.examination())
    assert (found.severity, "ENIConfigs" in found.what) == ("warning", True)


@pytest.mark.parametrize("kind", TAKEN)
def test_a_name_that_is_taken_is_told_with_whose_it_is(account: Account, shown: Shown, kind: str) -> None:
    shown.has(kind)
    [found] = run_check(CHECK, account.examination())
    assert (found.severity, "not of a stack of tandem's" in found.value) == ("error", True)
    shown.has(kind, **{"tandem/stack": "second"})
    [found] = run_check(CHECK, account.examination())
    assert "is the stack second's" in found.what
    shown.has(kind, **{"tandem/stack": "dev"})
    assert [one.severity for one in run_check(CHECK, account.examination())] == ["ok"]


def test_a_cluster_that_does_not_answer_hides_nothing_that_eks_tells(account: Account, shown: Shown) -> None:
    older(account)
    (shown.directory / "refused").touch()
    found = run_check(CHECK, account.examination())
    assert [one.severity for one in found] == ["error", "unknown"]
    assert "You must be logged in" in found[1].value


def test_a_stack_of_its_own_cluster_asks_nothing(account: Account) -> None:
    account.sections["cluster"] = {}
    assert run_check(CHECK, account.examination()) == []


def test_what_is_of_the_stacks_own_cluster_is_not_asked(account: Account) -> None:
    assert run_check("controllers' quota", account.examination()) == []
    assert run_check("cluster zones", account.examination()) == []
