"""`tandem doctor` on platform eks, against accounts of which one thing is broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pulumi_rehearsal.account_gaps import PUBLIC_IMAGE, AccountGaps
from tandem import pins
from tandem.costs import hosts_while_replaced
from tandem.ops.aws import aws_clients
from tandem.ops.doctor import CHECKS, examine
from tandem.ops.doctor.run import run_check
from tests.ops.broken_account import Account, Case, World, assert_found

STANDARD = "L-1216C47A"
G_ON_DEMAND = "L-DB2E81BA"


@pytest.fixture
def account(aws_account: AccountGaps, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    """Two nodes of four GPUs at least, four at most; the commands that `up` runs are on PATH."""
    for command in ("aws", "kubectl"):
        (tmp_path / command).write_text("#!/bin/sh\n")
        (tmp_path / command).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    account = Account(aws_account, world, aws_clients("us-east-1", ask=False), monkeypatch)
    account.sections = {"platform": "eks", "scaling": {"minReplicas": 3, "maxReplicas": 7}}
    account.fleet(maxHosts=4)
    return account


def no_login(account: Account) -> None:
    (Path(os.environ["PATH"]) / "aws").unlink()


def no_kubectl(account: Account) -> None:
    (Path(os.environ["PATH"]) / "kubectl").unlink()


def unsupported(account: Account) -> None:
    account.gaps.kubernetes[pins.load().kubernetes.version] = ""


def extended(account: Account) -> None:
    account.gaps.kubernetes[pins.load().kubernetes.version] = "EXTENDED_SUPPORT"


def quota(code: str, value: int) -> Callable[[Account], None]:
    return lambda account: account.gaps.quotas.__setitem__(code, value)


def managed_without_a_spare(account: Account) -> None:
    account.sections["nodePool"] = {"provisioner": "managed"}
    account.fleet(hosts=4)
    account.gaps.quotas[G_ON_DEMAND] = 4 * 48


def may_not_make_clusters(account: Account) -> None:
    account.gaps.denied["eks:CreateCluster"] = "implicitDeny"


def image(**fields: Any) -> Callable[[Account], None]:
    """The nodes' image is pinned, and differs from what the nodes need."""

    def break_it(account: Account) -> None:
        account.fleet(maxHosts=4, machineImageId=PUBLIC_IMAGE)
        account.gaps.images[PUBLIC_IMAGE] |= {"OwnerId": "602401143452", **fields}

    return break_it


def image_gone(account: Account) -> None:
    account.fleet(maxHosts=4, machineImageId="ami-0123456789abcdef0")


def further_model_is_gated(account: Account) -> None:
    account.world.hub = (403, "GatedRepo")
    account.sections["inference"] = {"weights": "s3", "weightsS3Uri": "s3://models/qwen"}
    account.sections["loadBalancer"] = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
    account.sections["models"] = {
        "small": {
            "hostName": "small.example.com",
            "inference": {"model": "acme/gated"},
            "scaling": {"minReplicas": 1, "maxReplicas": 1},
        }
    }


def secrets_gone(account: Account) -> None:
    tags = {"tandem:project": "tandem", "tandem:stack": "dev"}
    account.clients("eks").create_cluster(
        name="tandem-dev", roleArn="arn:aws:iam::123456789012:role/cluster", resourcesVpcConfig={}, tags=tags
    )


def zone_without_clusters(account: Account) -> None:
    account.sections["network"] = {"zones": ["us-east-1a", "us-east-1e"]}


def nearly_out_of_support(account: Account) -> None:
    account.gaps.supported_until = datetime(2026, 12, 24, tzinfo=UTC)


def no_spot_role(account: Account) -> None:
    account.fleet(maxHosts=4, onDemandPercentage=0)
    account.gaps.spot_role = False


BROKEN: dict[str, Case] = {
    "a zone without control planes": (
        zone_without_clusters,
        "cluster zones",
        "error",
        "EKS makes no control plane in this zone",
        "'tandem:network.zones[1]' us-east-1b",
    ),
    "no spot role": (no_spot_role, "spot role", "error", "no role for spot", "create-service-linked-role"),
    "no login command": (no_login, "cluster commands", "error", "no `aws`", "getting-started-install"),
    "no kubectl": (no_kubectl, "cluster commands", "error", "no `kubectl`, with which `pulumi up` sees", "docs/tasks"),
    "no such Kubernetes": (unsupported, "Kubernetes", "error", "EKS has no Kubernetes", "tandem pin --kubernetes --to"),
    "old Kubernetes": (
        extended,
        "Kubernetes",
        "error",
        "AWS upgrades a cluster by itself",
        "tandem pin --kubernetes --to VERSION",
    ),
    "Kubernetes of which support ends soon": (
        nearly_out_of_support,
        "Kubernetes",
        "warning",
        "days; AWS then upgrades the control plane by itself",
        "tandem pin --kubernetes --to VERSION",
    ),
    "no quota for controllers": (
        quota(STANDARD, 3),
        "controllers' quota",
        "error",
        "too small for the controllers' nodes",
        f"--quota-code {STANDARD} --desired-value 12",
    ),
    "a new account's quota for controllers": (
        quota(STANDARD, 5),
        "controllers' quota",
        "warning",
        "while they are replaced",
        f"--quota-code {STANDARD} --desired-value 12",
    ),
    "no quota for the first nodes": (
        quota(G_ON_DEMAND, 48),
        "GPU quota",
        "error",
        "the hosts that `up` starts",
        f"--quota-code {G_ON_DEMAND} --desired-value 240",
    ),
    "quota below the limit of nodes": (
        quota(G_ON_DEMAND, 3 * 48),
        "GPU quota",
        "warning",
        "the group at its maximum",
        f"--quota-code {G_ON_DEMAND} --desired-value 240",
    ),
    "managed nodes that cannot be replaced": (
        managed_without_a_spare,
        "GPU quota",
        "warning",
        "the group while hosts are replaced",
        f"--desired-value {8 * 48}",
    ),
    "may not make clusters": (may_not_make_clusters, "permissions", "error", "may not do all", "attach a policy"),
    "node image gone": (image_gone, "machine image", "error", "is not available", "tandem pin --kubernetes --update"),
    "node image for Arm": (
        image(Architecture="arm64"),
        "machine image",
        "error",
        "does not run on these hosts",
        "tandem pin --kubernetes --update",
    ),
    "node image of another Kubernetes": (
        image(Name="amazon-eks-node-al2023-x86_64-nvidia-1.30-v20260101"),
        "machine image",
        "error",
        "another version of Kubernetes",
        "tandem pin --kubernetes --update",
    ),
    "a further model is gated": (
        further_model_is_gated,
        "model",
        "error",
        "acme/gated: ",
        "accept the terms at https://huggingface.co/acme/gated",
    ),
    "secrets gone": (secrets_gone, "secrets", "error", "the stack is up and its secrets are gone", "pulumi refresh"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named_with_its_remedy(account: Account, name: str) -> None:
    assert_found(account, BROKEN[name])


def test_a_sound_account_has_no_complaints(account: Account) -> None:
    found = examine(account.examination())
    assert {finding.severity for finding in found if finding.check not in ("settings", "pins")} == {"ok"}
    spot = {"spot price", "spot placement", "spot role"}
    named = {
        "hosted zone",
        "certificate",
        "Capacity Block",
        "capacity reservations",
        "existing cluster",
        "existing network",
        "load balancer",
        "place of lines",
    }
    assert {finding.check for finding in found} == set(CHECKS) - named - spot


def test_karpenter_needs_quota_for_a_node_more_than_its_limit(account: Account) -> None:
    """It starts a node's successor before the node goes, whatever the limit of the pool."""
    account.gaps.quotas[G_ON_DEMAND] = 4 * 48
    (found,) = run_check("GPU quota", account.examination())
    assert (found.severity, found.needed) == ("warning", f"{5 * 48} vCPUs")
    account.gaps.quotas[G_ON_DEMAND] = 5 * 48
    (found,) = run_check("GPU quota", account.examination())
    assert found.severity == "ok"


def test_a_successor_of_karpenters_base_is_on_demand_and_one_of_the_others_spot(account: Account) -> None:
    account.fleet(maxHosts=4, onDemandBase=2, onDemandPercentage=0)
    assert hosts_while_replaced(account.examination().settings) == {"on demand": 3, "spot": 3}


def test_a_pinned_image_of_the_clusters_version_is_fine(account: Account) -> None:
    version = pins.load().kubernetes.version
    image(Name=f"amazon-eks-node-al2023-x86_64-nvidia-{version}-v20261101")(account)
    assert {finding.severity for finding in run_check("machine image", account.examination())} == {"ok"}
