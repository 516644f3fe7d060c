"""Whoever made a cluster has an access entry from EKS, and gets none of ours; its control plane stays in its zones."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from infra.components.cluster_before import ClusterBefore, Creator, cluster_before, principal
from tandem.errors import UserError
from tests.infra.declared import ACCOUNT, CALLER, CLUSTER, CLUSTERS, Recorder, declared

CI = f"arn:aws:iam::{ACCOUNT}:role/deployers/ci"
PLATFORM = f"arn:aws:iam::{ACCOUNT}:role/platform"
ELSEWHERE = "arn:aws:iam::210987654321:role/ci"
OURS = {"tandem:project": "tandem"}
ALICE = Creator(ACCOUNT, "role/alice")


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run:7", "role/ci"),
        (CI, "role/ci"),
        (
            f"arn:aws:iam::{ACCOUNT}:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admin_0123456789abcdef",
            "role/AWSReservedSSO_Admin_0123456789abcdef",
        ),
        (f"arn:aws:iam::{ACCOUNT}:user/people/alice", "user/alice"),
        (f"arn:aws:iam::{ACCOUNT}:root", "root"),
    ],
)
def test_a_principal_is_known_without_path_and_session(arn: str, name: str) -> None:
    assert principal(arn) == name


def test_the_others_are_all_but_that_one() -> None:
    alice = f"arn:aws:iam::{ACCOUNT}:user/ci"
    assert Creator(ACCOUNT, "role/ci").others([CI, PLATFORM, ELSEWHERE, alice]) == [PLATFORM, ELSEWHERE, alice]


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (None, ClusterBefore(ALICE)),
        ({**OURS, "tandem:creator": "role/ci"}, ClusterBefore(Creator(ACCOUNT, "role/ci"), ("z-b", "z-d"))),
        (OURS, ClusterBefore(ALICE, ("z-b", "z-d"))),
        ({"Name": "x"}, ClusterBefore(ALICE)),
    ],
    ids=["not there yet", "made by another", "from before the tag", "somebody's"],
)
def test_the_cluster_says_who_it_was_and_where(tags: dict[str, str] | None, found: ClusterBefore) -> None:
    asked: list[ClusterBefore] = []

    def program() -> None:
        provider = aws.Provider("us-east-1", region="us-east-1")
        asked.append(cluster_before("tandem-dev", pulumi.ResourceOptions(provider=provider)))

    account: dict[str, dict[str, Any]] = {
        CALLER: {"accountId": ACCOUNT, "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/alice/x"},
        CLUSTERS: {"names": ["other"] if tags is None else ["tandem-dev"]},
        CLUSTER: {"tags": tags, "vpcConfig": {"subnetIds": ["d", "b"]}},
    }

    class Account(Recorder):
        def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
            zones = {"availabilityZone": f"z-{args.args.get('id')}"}
            return zones if args.token == "aws:ec2/getSubnet:getSubnet" else super().call(args)

    declared(program, recorder=Account(account))
    assert asked == [found]


def test_the_control_plane_stays_in_its_zones_and_the_stack_may_have_more() -> None:
    assert ClusterBefore(ALICE).control_plane_zones(["a", "b"]) == ["a", "b"]
    there = ClusterBefore(ALICE, ("a", "b"))
    assert there.control_plane_zones(["a", "b", "c"]) == ("a", "b")
    with pytest.raises(UserError, match="the cluster's control plane is in a, and EKS moves none"):
        there.control_plane_zones(["b", "c"])
