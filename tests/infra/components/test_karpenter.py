"""Karpenter's role, beside what Karpenter publishes: its reference policies, and the AWS operations in its code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from pulumi_rehearsal.cache import cache_directory
from pulumi_rehearsal.go_build import toolchain
from pulumi_rehearsal.kubernetes.build import CRDS
from tests.infra.roles import roles

PROVIDER = "github.com/aws/karpenter-provider-aws"
POOL, CLASS, REGION = "karpenter.sh/nodepool", "karpenter.k8s.aws/ec2nodeclass", "topology.kubernetes.io/region"
OWNED, NAME = "kubernetes.io/cluster/tandem-prod", "eks:eks-cluster-name"
MADE = "fleet instance launch-template network-interface spot-instances-request volume"
LAUNCH = "ec2:CreateFleet ec2:RunInstances"

REFERENCE: Mapping[str, tuple[str, str, set[str]]] = {
    "LaunchInto": (LAUNCH, "capacity-reservation image placement-group security-group snapshot subnet", set()),
    "LaunchFromOwnTemplate": (LAUNCH, "launch-template", {f"ResourceTag/{OWNED}", f"ResourceTag/{POOL}"}),
    "MakeWithTags": (
        "ec2:CreateFleet ec2:CreateLaunchTemplate ec2:RunInstances",
        MADE,
        {f"RequestTag/{OWNED}", f"RequestTag/{NAME}", f"RequestTag/{POOL}"},
    ),
    "TagOnlyWithCreation": (
        "ec2:CreateTags",
        MADE,
        {f"RequestTag/{OWNED}", f"RequestTag/{NAME}", f"RequestTag/{POOL}", "CreateAction"},
    ),
    "NameOwnInstances": (
        "ec2:CreateTags",
        "instance",
        {f"ResourceTag/{OWNED}", f"ResourceTag/{POOL}", f"RequestTag/{NAME}", "TagKeys"},
    ),
    "EndOwn": (
        "ec2:DeleteLaunchTemplate ec2:TerminateInstances",
        "instance launch-template",
        {f"ResourceTag/{OWNED}", f"ResourceTag/{POOL}"},
    ),
    "MakeProfileWithTags": (
        "iam:CreateInstanceProfile",
        "instance-profile",
        {f"RequestTag/{key}" for key in (OWNED, NAME, REGION, CLASS)},
    ),
    "TagOwnProfiles": (
        "iam:TagInstanceProfile",
        "instance-profile",
        {f"RequestTag/{key}" for key in (OWNED, NAME, REGION, CLASS)}
        | {f"ResourceTag/{key}" for key in (OWNED, REGION, CLASS)},
    ),
    "ChangeOwnProfiles": (
        "iam:AddRoleToInstanceProfile iam:DeleteInstanceProfile iam:RemoveRoleFromInstanceProfile",
        "instance-profile",
        {f"ResourceTag/{key}" for key in (OWNED, REGION, CLASS)},
    ),
    "ReadProfiles": ("iam:GetInstanceProfile", "instance-profile", set()),
    "PublicParameters": ("ssm:GetParameter", "parameter", set()),
}
"""By our Sid: actions, types of resources and condition keys of the statement for the same purpose in
https://karpenter.sh/v1.14/reference/cloudformation/ (its source is website/content/en/v1.14 at 1d927085dd81)."""

NOT_OURS = {
    "arc-zonal-shift:GetManagedResource": "zonal shift is off by default, and here",
    "iam:GetRole": "in the interface and called by nobody",
    "sqs:SendMessage": "Karpenter's own tests send messages",
    "timestream:WriteRecords": "Karpenter's own tests keep times",
}


def statements() -> list[dict[str, Any]]:
    (policy,) = roles("prod")["tandem-prod-karpenter"].policies
    return policy["Statement"]


def test_each_statement_asks_for_what_the_reference_asks_for() -> None:
    found = {}
    for one in statements():
        keys = {re.sub(r"^(aws|ec2):", "", key) for part in one.get("Condition", {}).values() for key in part}
        types = {re.sub(r".*:([a-z-]+)/.*", r"\1", resource) for resource in one["Resource"]}
        found[one.get("Sid")] = (" ".join(sorted(one["Action"])), " ".join(sorted(types)), keys)
    assert {sid: found.get(sid) for sid in REFERENCE} == dict(REFERENCE)


def test_tags_must_have_the_references_values() -> None:
    for one in statements():
        for operator, part in one.get("Condition", {}).items():
            for key, value in part.items():
                if key.endswith((POOL, CLASS)):
                    assert (operator, value) == ("StringLike", "*")
                elif "Tag/" in key:
                    expected = {OWNED: "owned", NAME: "tandem-prod", REGION: "us-east-1"}[key.partition("Tag/")[2]]
                    assert (operator.removesuffix("IfExists"), value) == ("StringEquals", expected)


@pytest.mark.kubernetes
def test_the_role_has_what_karpenters_code_calls_and_nothing_else() -> None:
    """Of the pinned release, whose module is downloaded for its CRDs anyhow."""
    go = toolchain(CRDS.module.required_go, cache_directory(), print)
    interfaces = (CRDS.module.source(go, PROVIDER) / "pkg/aws/sdk.go").read_text()
    services = {"ARCZonalShift": "arc-zonal-shift", "TimestreamWrite": "timestream"}
    called = {
        f"{services.get(name, name.lower())}:{operation}"
        for name, body in re.findall(r"type (\w+)API interface \{(.*?)\n\}", interfaces, re.DOTALL)
        for operation in re.findall(r"^\s+(\w+)\(", body, re.MULTILINE)
    }
    assert len(called) > 25
    granted = {action for one in statements() for action in one["Action"]} - {"iam:PassRole"}
    assert granted == called - set(NOT_OURS)
