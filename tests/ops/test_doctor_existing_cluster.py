"""`tandem doctor` reads a cluster that is there: what of it would keep a stack from coming up, and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem import pins
from tandem.ops.aws import aws_clients
from tandem.ops.doctor.existing_cluster import PARTS, TAKEN
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
            {
                "kind": part.kind,
                "metadata": {"name": f"{part.name}-daemonset" if part.chart == "nvidia-device-plugin" else part.name},
                "spec": {"versions": [{"name": part.served, "served": True}]},
            }
            for part in PARTS
        ]
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


MISSING = {part.chart: part for part in PARTS}
ADD_ONS = ("eks-pod-identity-agent", "aws-efs-csi-driver")
BY_EKS: dict[str, Case] = {
    "not there": (nowhere, CHECK, "error", "no EKS cluster nowhere in us-east-1", "cluster.existing.name"),
    "a stack's": (tandems, CHECK, "error", "of a stack of tandem's", "`models`"),
    "in another VPC": (elsewhere, CHECK, "error", "not in the stack's VPC", "network.existing.vpcId vpc-"),
    "another Kubernetes": (older, CHECK, "error", "another Kubernetes than", "tandem pin --kubernetes --to 1.30"),
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


@pytest.mark.parametrize("kind", TAKEN)
def test_a_name_that_is_taken_is_told_with_whose_it_is(account: Account, shown: Shown, kind: str) -> None:
    shown.has(kind)
    [found] = run_check(CHECK, account.examination())
    assert (found.severity, "of somebody else" in found.what) == ("error", True)
    shown.has(kind, **{"tandem/stack": "second"})
    [found] = run_check(CHECK, account.examination())
    assert "of the stack second" in found.what
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
