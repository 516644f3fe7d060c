"""What a killed `up` left is compared with its state. The real engine is killed in tests/rehearsal/test_interrupted.py;
here the `pulumi` on PATH is a double that keeps its state in a file."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner, Result

from pulumi_rehearsal.moto import SimulatedAccount
from tandem import type_tokens as types
from tandem.errors import Problem, UserError
from tandem.ops import removal
from tandem.ops.cli import app
from tandem.ops.inventory import Inventory, find
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.pulumi import Deployment, Stack
from tandem.ops.recovery import (
    NO_PLACE,
    NOT_UNDER_WAY,
    POD_IDENTITY,
    Adoption,
    Plan,
    amended,
    claimed,
    decide,
    pod_identities,
)
from tandem.tags import STACK_ID_TAG
from tests.ops.account import REGION, Builder, id_of, tags_of

FILE_SYSTEM_URN = "urn:pulumi:dev::tandem::tandem:index:ModelCache$aws:efs/fileSystem:FileSystem::tandem-dev"


def recorded(type_: str, id_: str, **outputs: str) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:dev::tandem::{type_}::{id_}", "type": type_, "id": id_, "outputs": outputs}


def creating(type_: str, urn: str, kind: str = "creating") -> dict[str, Any]:
    return {"type": kind, "resource": {"urn": urn, "type": type_, "custom": True, "inputs": {"encrypted": True}}}


OWN = id_of("x")
"""The life that these states tell of, and that Builder("x") builds."""
IDENTITY_RESOURCE = {
    "urn": "urn:pulumi:dev::tandem::tandem:index:StackIdentity$random:index/randomId:RandomId::tandem-dev-stack-id",
    "type": "random:index/randomId:RandomId",
    "id": "b64",
    "outputs": {"hex": OWN},
}


def deployment(*resources: dict[str, Any], pending: list[dict[str, Any]] | None = None) -> Deployment:
    state: dict[str, Any] = {"manifest": {"magic": "m"}, "resources": [IDENTITY_RESOURCE, *resources]}
    if pending is not None:
        state["pending_operations"] = pending
    return {"version": 3, "deployment": state}


TAGS = tags_of("dev") | {STACK_ID_TAG: OWN}


def file_system(id_: str, day: int) -> Found:
    return Found(type=types.FILE_SYSTEM, id=id_, created=datetime(2026, 11, day, tzinfo=UTC), tags=TAGS)


def why_kept(plan: Plan) -> dict[str, str]:
    return {kept.resource.id: kept.reason for kept in plan.keep}


VPC = Found(type=types.VPC, id="vpc-1", tags=TAGS)
CREATING_VPC = {"type": "creating", "resource": {"urn": "urn:vpc", "type": types.VPC, "inputs": {}}}


# -- deciding ----------------------------------------------------------------------------------------------------------


def test_what_the_state_knows_stays() -> None:
    table = Found(type=types.ROUTE_TABLE, id="rtb-1", tags=TAGS)
    route = Found(type=types.ROUTE, id="rtb-1_0.0.0.0/0", parent=table, tags=TAGS)
    state = deployment(
        recorded(types.VPC, "vpc-1"),
        recorded(types.ROUTE, "r-rtb-11080289494", routeTableId="rtb-1", destinationCidrBlock="0.0.0.0/0"),
    )
    assert decide(state, Inventory([VPC, route])).is_empty


KARPENTERS = [
    Found(type=types.INSTANCE_PROFILE, id="tandem-dev_1", tags=TAGS | {"eks:eks-cluster-name": "tandem-dev"}),
    Found(type=types.LAUNCH_TEMPLATE, id="lt-1", tags=TAGS | {"eks:eks-cluster-name": "tandem-dev"}),
    Found(type="ec2:spot-instances-request", id="sir-1", tags=TAGS | {"eks:eks-cluster-name": "tandem-dev"}),
]
NODE_CLASS = recorded("kubernetes:karpenter.k8s.aws/v1:EC2NodeClass", "gpu")
CLUSTER = recorded(types.CLUSTER, "tandem-dev")


@pytest.mark.parametrize("pending", [None, [creating(types.LAUNCH_TEMPLATE, "urn:x")]], ids=["healthy", "killed"])
def test_what_karpenter_made_for_the_cluster_of_the_state_is_its_own_to_end(pending: list[dict[str, Any]]) -> None:
    plan = decide(deployment(CLUSTER, NODE_CLASS, pending=pending), Inventory(KARPENTERS))
    assert [*plan.keep, *plan.remove] == []


@pytest.mark.parametrize("of_state", [[CLUSTER], [NODE_CLASS], [NODE_CLASS, recorded(types.CLUSTER, "tandem-x")]])
def test_what_karpenter_left_is_named(of_state: list[dict[str, Any]]) -> None:
    plan = decide(deployment(*of_state), Inventory(KARPENTERS))
    assert {*why_kept(plan)} == {one.id for one in KARPENTERS}


def test_what_the_state_has_of_a_type_without_a_row_is_told_by_its_arn() -> None:
    arns = ["arn:aws:eks:us-east-1:1:addon/tandem-dev/coredns/1", "arn:aws:eks:us-east-1:1:access-entry/tandem-dev/2"]
    found = [Found(type="eks:x", id=arn, arn=arn, tags=TAGS) for arn in [*arns, "arn:aws:eks:us-east-1:1:x/else"]]
    state = deployment(
        recorded("aws:eks/addon:Addon", "tandem-dev:coredns", arn=arns[0]),
        recorded("aws:eks/accessEntry:AccessEntry", "tandem-dev:role", accessEntryArn=arns[1]),
    )
    assert [*why_kept(decide(state, Inventory(found)))] == ["arn:aws:eks:us-east-1:1:x/else"]


def test_what_was_under_way_and_is_not_recorded_is_removed() -> None:
    plan = decide(deployment(recorded(types.VPC, "vpc-2"), pending=[CREATING_VPC]), Inventory([VPC]))
    assert plan.remove == [VPC]
    assert not plan.is_empty


def test_without_a_pending_operation_nothing_is_removed() -> None:
    plan = decide(deployment(recorded(types.VPC, "vpc-2")), Inventory([VPC]))
    assert plan.remove == []
    assert why_kept(plan) == {"vpc-1": NOT_UNDER_WAY}


def test_what_was_under_way_of_another_type_removes_nothing() -> None:
    subnet = {"type": "creating", "resource": {"urn": "urn:s", "type": types.SUBNET, "inputs": {}}}
    assert decide(deployment(pending=[subnet]), Inventory([VPC])).remove == []


def test_an_empty_state_removes_nothing() -> None:
    for pending in ([], [CREATING_VPC]):
        state = {"version": 3, "deployment": {"resources": None, "pending_operations": pending}}
        plan = decide(state, Inventory([VPC]))
        assert plan.remove == plan.adopt == []
        assert why_kept(plan) == {"vpc-1": f"it belongs to another life of the stack ({OWN})"}


@pytest.mark.parametrize("type_", [types.VPC, types.FILE_SYSTEM])
def test_another_life_is_named_and_left_though_the_same_was_under_way(type_: str) -> None:
    theirs = Found(type=type_, id="theirs", tags=TAGS | {STACK_ID_TAG: "another"})
    before = Found(type=type_, id="before", tags=tags_of("dev"))
    operation = {"type": "creating", "resource": {"urn": "urn:x", "type": type_, "inputs": {}}}
    plan = decide(deployment(pending=[operation]), Inventory([theirs, before]))
    assert plan.remove == plan.adopt == []
    assert why_kept(plan) == {
        "theirs": "it belongs to another life of the stack (another)",
        "before": "it carries no id: of a stack from before, or of somebody else",
    }


def test_of_those_with_names_only_the_one_that_was_to_be_made_goes() -> None:
    roles = [Found(type=types.ROLE, id=name, name=name, tags=TAGS) for name in ("tandem-dev-host-1", "handed-over")]
    operation = {"type": "creating", "resource": {"urn": "urn:x", "type": types.ROLE}}
    operation["resource"]["inputs"] = {"name": "tandem-dev-host-1"}
    plan = decide(deployment(pending=[operation]), Inventory(roles))
    assert [one.id for one in plan.remove] == ["tandem-dev-host-1"]
    assert why_kept(plan) == {"handed-over": NOT_UNDER_WAY}


def test_more_than_were_under_way_stay_since_nobody_can_tell_them_apart() -> None:
    other = Found(type=types.VPC, id="vpc-9", tags=TAGS)
    plan = decide(deployment(pending=[CREATING_VPC]), Inventory([VPC, other]))
    assert plan.remove == []
    assert set(why_kept(plan).values()) == {"2 look like the 1 under way: nobody can tell"}


def test_what_waits_to_be_deleted_is_known() -> None:
    assert decide(deployment({**recorded(types.VPC, "vpc-1"), "delete": True}), Inventory([VPC])).is_empty


@pytest.mark.parametrize(
    "type_",
    [
        types.INSTANCE,
        types.VOLUME,
        types.NETWORK_INTERFACE,
        types.IMAGE,
        types.SNAPSHOT,
    ],
)
def test_what_the_program_does_not_declare_is_left_alone(type_: str) -> None:
    plan = decide(deployment(), Inventory([Found(type=type_, id="x", tags=TAGS)]))
    assert plan.is_empty
    assert plan.keep == []


def test_a_certificate_that_acm_calls_by_its_domain_is_told_by_its_name_tag() -> None:
    operation = creating(types.CERTIFICATE, "urn:certificate")
    operation["resource"]["inputs"] = {"certificateBody": "x", "tags": {"Name": "dev"}}
    made = Found(type=types.CERTIFICATE, id="arn:1", name="tandem.internal", tags=TAGS | {"Name": "dev"})
    other = Found(type=types.CERTIFICATE, id="arn:2", name="tandem.internal", tags=TAGS | {"Name": "other"})
    plan = decide(deployment(pending=[operation]), Inventory([made, other]))
    assert (plan.remove, [kept.resource for kept in plan.keep]) == ([made], [other])


def test_a_topic_is_told_by_the_name_at_the_end_of_its_arn() -> None:
    operation = creating(types.TOPIC, "urn:topic")
    operation["resource"]["inputs"] = {"name": "tandem-dev-alerts-1"}
    topics = [Found(type=types.TOPIC, id=arn, name=arn, tags=TAGS) for arn in ("a:b:tandem-dev-alerts-1", "a:b:other")]
    plan = decide(deployment(pending=[operation]), Inventory(topics))
    assert ([one.id for one in plan.remove], list(why_kept(plan))) == (["a:b:tandem-dev-alerts-1"], ["a:b:other"])


def test_a_type_without_a_row_is_kept_and_named() -> None:
    plan = decide(deployment(), Inventory([Found(type="sqs", id="arn:aws:sqs:us-east-1:1:q", tags=TAGS)]))
    assert [kept.resource.type for kept in plan.keep] == ["sqs"]
    assert plan.remove == []


def test_a_file_system_that_was_being_created_is_adopted() -> None:
    operation = creating(types.FILE_SYSTEM, FILE_SYSTEM_URN)
    made = file_system("fs-1", 21)
    plan = decide(deployment(pending=[operation]), Inventory([made]))
    assert plan.adopt == [Adoption(made, operation)]
    assert plan.adopt[0].urn == FILE_SYSTEM_URN
    assert (plan.remove, plan.keep) == ([], [])
    assert plan.pending == [(FILE_SYSTEM_URN, "creating")]


def test_of_several_file_systems_the_newest_is_the_one_just_made() -> None:
    old, new = file_system("fs-old", 1), file_system("fs-new", 21)
    plan = decide(deployment(pending=[creating(types.FILE_SYSTEM, FILE_SYSTEM_URN)]), Inventory([new, old]))
    assert [adoption.resource for adoption in plan.adopt] == [new]
    assert [kept.resource for kept in plan.keep] == [old]


def bucket(name: str) -> Found:
    return Found(type=types.BUCKET, id=name, name=name, tags=TAGS)


def making(type_: str, urn: str, **inputs: Any) -> dict[str, Any]:
    return {"type": "creating", "resource": {"urn": urn, "type": type_, "inputs": inputs}}


def test_two_buckets_under_way_are_each_taken_for_what_they_are() -> None:
    pending = [making(types.BUCKET, f"urn:{name}", bucket=f"tandem-dev-{name}-1a2b3c4") for name in ("logs", "scripts")]
    found = [bucket(f"tandem-dev-{name}-1a2b3c4") for name in ("scripts", "former", "logs")]
    plan = decide(deployment(pending=pending), Inventory(found))
    adopted = {adoption.urn: adoption.resource.id for adoption in plan.adopt}
    assert adopted == {"urn:logs": "tandem-dev-logs-1a2b3c4", "urn:scripts": "tandem-dev-scripts-1a2b3c4"}
    assert why_kept(plan) == {"tandem-dev-former-1a2b3c4": NOT_UNDER_WAY}
    assert plan.remove == []


def test_what_a_name_describes_is_not_taken_for_what_has_none() -> None:
    pending = [
        making(types.FILE_SYSTEM, "urn:b"),
        making(types.FILE_SYSTEM, "urn:a", tags={"Name": "a"}),
    ]
    named = replace(file_system("fs-a", 21), tags=TAGS | {"Name": "a"})
    plan = decide(deployment(pending=pending), Inventory([named, file_system("fs-b", 1)]))
    assert {adoption.urn: adoption.resource.id for adoption in plan.adopt} == {"urn:a": "fs-a", "urn:b": "fs-b"}


def test_of_two_under_way_without_a_name_that_hold_data_none_is_taken_for_the_other() -> None:
    pending = [making(types.FILE_SYSTEM, f"urn:{one}") for one in "ab"]
    plan = decide(deployment(pending=pending), Inventory([file_system("fs-1", 1), file_system("fs-2", 2)]))
    assert set(why_kept(plan).values()) == {NO_PLACE}
    assert plan.adopt == plan.remove == []


@pytest.mark.parametrize("type_", [types.FILE_SYSTEM, types.BUCKET])
def test_data_that_this_up_did_not_make_is_kept(type_: str) -> None:
    left = Found(type=type_, id="from-an-earlier-up", tags=TAGS)
    plan = decide(deployment(pending=[creating(types.VPC, "urn:vpc")]), Inventory([left]))
    assert [kept.resource for kept in plan.keep] == [left]
    assert (plan.remove, plan.adopt) == ([], [])


def test_a_file_system_that_was_being_updated_or_deleted_is_not_adopted() -> None:
    for kind in ("updating", "deleting"):
        operation = creating(types.FILE_SYSTEM, FILE_SYSTEM_URN, kind)
        assert decide(deployment(pending=[operation]), Inventory([file_system("fs-1", 1)])).adopt == []


@pytest.mark.parametrize(
    ("type_", "inputs", "id_"),
    [
        ("kubernetes:apps/v1:Deployment", {"metadata": {"namespace": "inference", "name": "vllm"}}, "inference/vllm"),
        ("kubernetes:karpenter.sh/v1:NodePool", {"metadata": {"name": "gpu"}}, "gpu"),
        ("kubernetes:helm.sh/v3:Release", {"name": "keda", "namespace": "keda"}, "keda/keda"),
        ("aws:eks/addon:Addon", {"clusterName": "tandem-prod", "addonName": "coredns"}, "tandem-prod:coredns"),
        (
            "aws:eks/accessEntry:AccessEntry",
            {"clusterName": "tandem-prod", "principalArn": "arn:aws:iam::1:role/admin"},
            "tandem-prod:arn:aws:iam::1:role/admin",
        ),
        (
            "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
            {"clusterName": "tandem-prod", "principalArn": "arn:aws:iam::1:role/admin", "policyArn": "arn:aws:eks::p"},
            "tandem-prod#arn:aws:iam::1:role/admin#arn:aws:eks::p",
        ),
    ],
)
def test_what_may_be_in_a_cluster_is_adopted_by_the_name_it_was_to_have(
    type_: str, inputs: dict[str, Any], id_: str
) -> None:
    operation = {"type": "creating", "resource": {"urn": "urn:x", "type": type_, "custom": True, "inputs": inputs}}
    plan = decide(deployment(pending=[operation]), Inventory([]))
    assert [(adoption.resource.key, adoption.urn) for adoption in plan.adopt] == [((type_, id_), "urn:x")]
    (_own, adopted) = amended(deployment(pending=[operation]), plan.adopt)["deployment"]["resources"]
    assert (adopted["id"], adopted["inputs"]) == (id_, inputs)


IDENTITY = {"clusterName": "tandem-prod", "namespace": "keda", "serviceAccount": "keda-operator"}
LENDS = IDENTITY | {"roleArn": "arn:aws:iam::123456789012:role/tandem-prod-keda"}
PENDING_IDENTITY = {"type": "creating", "resource": {"urn": "urn:x", "type": POD_IDENTITY, "inputs": LENDS}}


def eks_that(stub: Callable[[Stubber], None]) -> Clients:
    """moto has no pod identities: a client that was told what AWS says."""
    client = boto3.client("eks", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x")
    stubber = Stubber(client)
    stub(stubber)
    stubber.activate()
    return lambda _service: client


def lending(role: str) -> Clients:
    association = {"associationId": "a-1", "associationArn": "arn:aws:eks:us-east-1:1:x", "clusterName": "tandem-prod"}

    def told(stub: Stubber) -> None:
        stub.add_response("list_pod_identity_associations", {"associations": [association]}, IDENTITY)
        asked = {"clusterName": "tandem-prod", "associationId": "a-1"}
        stub.add_response("describe_pod_identity_association", {"association": association | {"roleArn": role}}, asked)

    return eks_that(told)


def test_a_pod_identity_is_adopted_by_the_id_that_aws_gave_it() -> None:
    state = deployment(pending=[PENDING_IDENTITY])
    plan = decide(state, Inventory([]), pod_identities(state, lending(LENDS["roleArn"])))
    (_own, adopted) = amended(state, plan.adopt)["deployment"]["resources"]
    assert (adopted["id"], adopted["outputs"]) == ("a-1", {**LENDS, "associationId": "a-1"})


def test_a_pod_identity_that_lends_somebody_elses_role_is_left_to_them() -> None:
    state = deployment(pending=[PENDING_IDENTITY])
    assert pod_identities(state, lending("arn:aws:iam::123456789012:role/theirs")) == {}


def test_a_name_in_a_cluster_that_somebody_has_is_left_to_them() -> None:
    """Killed while it asked whose the namespace is, `up` has it under way: adopted, a destroy would take it away."""
    head = {"name": "inference", "labels": {"tandem/stack": "prod"}}
    inputs = {"apiVersion": "v1", "kind": "Namespace", "metadata": head}
    resource = {"urn": "urn:x", "type": "kubernetes:core/v1:Namespace", "custom": True, "inputs": inputs}
    state = deployment(pending=[{"type": "creating", "resource": resource}])
    assert claimed(state) == {"urn:x": ("Namespace", "inference")}
    theirs = Problem(key="Namespace inference", wrong="is in the cluster already", value="theirs")
    plan = decide(state, Inventory([]), others={"urn:x": theirs})
    assert (plan.adopt, plan.pending) == ([], [("urn:x", "creating")])
    assert [(one.resource.id, one.reason) for one in plan.keep] == [
        ("inference", "is in the cluster already: it is theirs")
    ]
    assert [one.resource.id for one in decide(state, Inventory([])).adopt] == ["inference"]


@pytest.mark.parametrize(
    "stub",
    [
        lambda stub: stub.add_response("list_pod_identity_associations", {"associations": []}, IDENTITY),
        lambda stub: stub.add_client_error("list_pod_identity_associations", "ResourceNotFoundException"),
    ],
    ids=["never made", "the cluster is gone"],
)
def test_a_pod_identity_that_is_not_there_is_made_by_the_next_up(stub: Callable[[Stubber], None]) -> None:
    state = deployment(pending=[PENDING_IDENTITY])
    assert decide(state, Inventory([]), pod_identities(state, eks_that(stub))).adopt == []


@pytest.mark.parametrize("kind", ["updating", "deleting", "reading"])
def test_an_object_that_the_state_knew_is_not_adopted_again(kind: str) -> None:
    inputs = {"metadata": {"name": "gpu"}}
    operation = {"type": kind, "resource": {"urn": "urn:x", "type": "kubernetes:karpenter.sh/v1:NodePool"}}
    operation["resource"]["inputs"] = inputs
    assert decide(deployment(pending=[operation]), Inventory([])).adopt == []


def test_a_replacement_is_not_adopted_over_the_one_that_the_state_has() -> None:
    has = {**recorded(types.FILE_SYSTEM, "fs-1"), "urn": FILE_SYSTEM_URN}
    state = deployment(has, pending=[creating(types.FILE_SYSTEM, FILE_SYSTEM_URN)])
    plan = decide(state, Inventory([file_system("fs-1", 1), file_system("fs-2", 21)]))
    assert plan.adopt == []
    assert [kept.resource.id for kept in plan.keep] == ["fs-2"]


def test_an_operation_that_came_to_nothing_is_cleared() -> None:
    plan = decide(deployment(pending=[creating(types.VPC, "urn:vpc")]), Inventory())
    assert plan.pending == [("urn:vpc", "creating")]
    assert not plan.is_empty


def test_an_incomplete_inventory_decides_nothing() -> None:
    problem = Problem(key=types.ROLE, wrong="these credentials may not do iam:ListRoles")
    with pytest.raises(UserError, match="iam:ListRoles"):
        decide(deployment(), Inventory([VPC], [problem]))


# -- the state ---------------------------------------------------------------------------------------------------------


def test_the_amended_state_has_nothing_pending_and_what_was_adopted() -> None:
    operation = creating(types.FILE_SYSTEM, FILE_SYSTEM_URN)
    before = deployment(recorded(types.VPC, "vpc-1"), pending=[operation, creating(types.VPC, "urn:x")])
    after = amended(before, [Adoption(file_system("fs-1", 1), operation)])
    assert after == deployment(recorded(types.VPC, "vpc-1"), {**operation["resource"], "id": "fs-1"})
    assert len(before["deployment"]["pending_operations"]) == 2, "what was read stays as it was"


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def stack(tmp_path: Path, account: SimulatedAccount, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack whose `pulumi` is a double: the state is a file, each call is a line of a log."""
    double = tmp_path / "pulumi"
    double.write_text(
        dedent(
            f"""\
            #!{sys.executable}
            import os, pathlib, shutil, sys
            here = pathlib.Path(__file__).parent
            with (here / "log").open("a") as log:
                print(*sys.argv[1:], file=log)
            if (here / "refuses").exists() and (here / "refuses").read_text() == sys.argv[1]:
                sys.exit("error: the stack is currently locked by 1 lock(s)")
            match sys.argv[1:]:
                case ["config", "get", "tandem:region", *_]:
                    print("{REGION}")
                case ["stack", "export", *_]:
                    print((here / "state.json").read_text())
                case ["stack", "import", "--file", file, *_]:
                    assert os.stat(os.path.dirname(file)).st_mode & 0o077 == 0
                    shutil.copy(file, here / "state.json")
            """
        )
    )
    double.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name, value in account.environment(REGION).items():
        monkeypatch.setenv(name, value)
    return tmp_path


def recover(stack: Path, state: Deployment, *options: str) -> Result:
    (stack / "state.json").write_text(json.dumps(state))
    return CliRunner().invoke(app, ["recover", "dev", *options], env={"COLUMNS": "250"})


def log(stack: Path) -> list[str]:
    return (stack / "log").read_text().splitlines()


def state_of(stack: Path) -> Deployment:
    return json.loads((stack / "state.json").read_text())


def test_without_yes_the_plan_is_shown_and_nothing_is_changed(stack: Path, clients: Clients) -> None:
    vpc = clients("ec2").create_vpc(
        CidrBlock="10.0.0.0/16", TagSpecifications=Builder(clients, "dev", "x").specification("vpc")
    )["Vpc"]["VpcId"]
    result = recover(stack, deployment(pending=[creating(types.VPC, "urn:pulumi:dev::t::v::tandem-dev")]))
    assert result.exit_code == 0
    assert f"remove │ {types.VPC} │ {vpc}" in result.stdout
    assert "tandem-dev" in result.stdout
    assert "`tandem recover dev --yes`" in result.stdout
    assert log(stack) == [
        "config get tandem:region --stack dev --non-interactive",
        "stack export --stack dev --non-interactive",
    ]
    assert [resource.id for resource in find(clients, "dev").resources] == [vpc]


def test_with_yes_account_and_state_agree_again(stack: Path, clients: Clients) -> None:
    builder = Builder(clients, "dev", "x")
    clients("ec2").create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=builder.specification("vpc"))
    other = clients("ec2").create_vpc(
        CidrBlock="10.0.0.0/16",
        TagSpecifications=Builder(clients, "dev", "x", tags_of("dev", project="other")).specification("vpc"),
    )["Vpc"]["VpcId"]
    made = clients("efs").create_file_system(CreationToken="x", Tags=builder.tags)["FileSystemId"]
    pending = [creating(types.VPC, "urn:vpc"), creating(types.FILE_SYSTEM, FILE_SYSTEM_URN)]
    result = recover(stack, deployment(pending=pending), "--yes")
    assert result.exit_code == 0, result.stdout
    assert log(stack)[1] == "cancel --yes dev --non-interactive"
    assert log(stack)[-1] == (
        f"refresh --yes --skip-preview --skip-pending-creates --target {FILE_SYSTEM_URN} --stack dev --non-interactive"
    )
    assert [resource.id for resource in find(clients, "dev").resources] == [made]
    assert clients("ec2").describe_vpcs(VpcIds=[other])["Vpcs"], "a look-alike stays"
    assert state_of(stack) == deployment({**pending[1]["resource"], "id": made})

    again = recover(stack, state_of(stack), "--yes")
    assert "State and account agree" in again.stdout


def test_what_cannot_be_removed_leaves_the_state_for_another_run(
    stack: Path, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients("ec2").create_vpc(
        CidrBlock="10.0.0.0/16", TagSpecifications=Builder(clients, "dev", "x").specification("vpc")
    )
    clients("ec2").create_subnet(VpcId=find(clients, "dev").resources[0].id, CidrBlock="10.0.0.0/24")  # somebody's
    at_once = functools.partial(removal.remove, deadline_seconds=0)
    monkeypatch.setattr(removal, "remove", at_once)
    state = deployment(pending=[creating(types.VPC, "urn:vpc")])
    result = recover(stack, state, "--yes")
    assert isinstance(result.exception, UserError)
    assert "DependencyViolation" in str(result.exception)
    assert "run `tandem recover` again" in str(result.exception)
    assert state_of(stack) == state


def test_a_lock_that_stays_is_named_by_pulumi_itself(stack: Path, clients: Clients) -> None:
    (stack / "refuses").write_text("stack")
    result = recover(stack, deployment(), "--yes")
    assert isinstance(result.exception, UserError)
    assert "the stack is currently locked by 1 lock(s)" in str(result.exception)


def test_a_backend_with_nothing_to_cancel_is_no_error(stack: Path, clients: Clients) -> None:
    (stack / "refuses").write_text("cancel")
    result = recover(stack, deployment(), "--yes")
    assert result.exit_code == 0
    assert "State and account agree" in result.stdout


def test_a_missing_pulumi_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(app, ["recover", "dev"])
    assert isinstance(result.exception, UserError)
    assert "there is no `pulumi` on PATH" in str(result.exception)


class Holder:
    """A process that holds the lock of a stack, as a backend of files tells it."""

    def __init__(self, directory: Path, state: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        if state == "ended":
            self.end()
        elif state == "zombie":
            self.process.kill()
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        self.lock = directory / "a lock.json"
        self.lock.touch()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def said(self, url: str, host: str) -> str:
        who = f"created by me@{host} (pid {self.process.pid}) at 2026-11-28T15:24:25Z"
        return f"error: the stack is currently locked by 1 lock(s).\n  {url}: {who}"


@pytest.mark.parametrize(
    ("state", "scheme", "host", "freed"),
    [
        ("ended", "file", socket.gethostname(), True),
        ("zombie", "file", socket.gethostname(), True),
        ("works", "file", socket.gethostname(), False),
        ("ended", "file", "another", False),
        ("ended", "s3", socket.gethostname(), False),
    ],
    ids=["killed here", "killed, its parent does not ask", "still at work", "of another machine", "in a bucket"],
)
def test_a_lock_is_released_where_its_holder_is_gone_and_named_where_not(
    stack: Path, state: str, scheme: str, host: str, freed: bool
) -> None:
    holder = Holder(stack, state)
    said = holder.said(holder.lock.as_uri().replace("file", scheme, 1), host)
    locked = f"pathlib.Path({str(holder.lock)!r}).exists()"
    (stack / "pulumi").write_text(f"#!{sys.executable}\nimport pathlib, sys\nsys.exit({said!r} if {locked} else 0)\n")
    engine = Stack("dev", stack)
    for command in (lambda: engine.destroy(lambda _line: None), lambda: engine.refresh(["urn:x"])):
        if freed:
            command()
        else:
            with pytest.raises(UserError, match="`tandem recover dev --yes` releases it"):
                command()
    holder.end()
    assert holder.lock.exists() is not freed
