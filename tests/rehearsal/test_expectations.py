"""Each expectation is met by what it asks for, and names what breaks it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from pulumi_rehearsal.operations import Operation, Step
from rehearsal import expectations
from rehearsal.expectations import GROUP, LAUNCH_TEMPLATE, Verdict
from tandem.ops.kinds.kind import Found

VPC = "aws:ec2/vpc:Vpc"


def operation(*steps: Step, name: str = "up", status: int = 0, messages: tuple[str, ...] = ()) -> Operation:
    return Operation(name, list(steps), messages=list(messages), status=status)


def step(operation: str, type: str = VPC, name: str = "main", *changed: str) -> Step:
    return Step(operation, type, f"urn:pulumi:dev::tandem::{type}::{name}", changed)


def test_a_failed_operation_gives_its_errors() -> None:
    failed = operation(status=1, messages=("warning: odd", "error: no such zone"))
    assert expectations.succeeds(operation()).met
    assert expectations.succeeds(failed) == Verdict(
        "the operation succeeds", ("`pulumi up` ended with status 1", "error: no such zone")
    )


def test_up_must_do_what_the_preview_announced() -> None:
    announced = operation(step("create"), step("create", name="other"))
    assert expectations.keeps_the_previews_word(announced, announced).met
    done = operation(step("create"), step("create", name="third"))
    assert expectations.keeps_the_previews_word(announced, done).violations == (
        f"announced, not done: create {step('create', name='other').urn}",
        f"done, not announced: create {step('create', name='third').urn}",
    )


def test_boto3_must_find_what_the_state_records() -> None:
    assert expectations.is_seen_by_boto3(["vpc 1"], ["vpc 1", "instance 2"]).met
    assert expectations.is_seen_by_boto3(["vpc 1", "vpc 2"], ["vpc 1"]).violations == ("not found: vpc 2",)


def test_everything_must_carry_the_stacks_tags() -> None:
    tags = {"tandem:stack": "dev", "tandem:stack-id": "1f", "tandem:ephemeral": "true"}
    whole = Found(type=VPC, id="vpc-1", tags=tags)
    subnet = Found(type="subnet", id="subnet-1", tags=tags, parent=whole)
    assert expectations.carries_the_tags("dev", "1f", True, [whole, subnet]).met
    lacking = [Found(type=VPC, id=f"vpc-{lost}", tags={k: v for k, v in tags.items() if k != lost}) for lost in tags]
    assert expectations.carries_the_tags("dev", "1f", True, lacking).violations == (
        f"{VPC} vpc-tandem:stack says: no stack, 1f, ephemeral",
        f"{VPC} vpc-tandem:stack-id says: dev, no id, ephemeral",
        f"{VPC} vpc-tandem:ephemeral says: dev, 1f",
    )
    assert expectations.carries_the_tags("dev", "1f", False, [whole]).violations == (
        f"{VPC} vpc-1 says: dev, 1f, ephemeral",
    )


def test_a_second_up_must_change_nothing() -> None:
    assert expectations.changes_nothing(operation(step("same"), step("read"))).met
    assert expectations.changes_nothing(
        operation(step("same"), step("update", VPC, "main", "tags.now"))
    ).violations == (f"update {VPC} main (tags.now)",)


@pytest.mark.parametrize(
    ("steps", "violations"),
    [
        pytest.param([step("update", LAUNCH_TEMPLATE), step("update", GROUP), step("same")], (), id="as wanted"),
        pytest.param([step("same")], ("changed: nothing",), id="nothing"),
        pytest.param(
            [step("update", LAUNCH_TEMPLATE)], (f"changed: update {LAUNCH_TEMPLATE}",), id="hosts are not replaced"
        ),
        pytest.param(
            [step("update", LAUNCH_TEMPLATE), step("update", GROUP), step("update", VPC)],
            (f"changed: update {GROUP}, update {LAUNCH_TEMPLATE}, update {VPC}",),
            id="one too many",
        ),
        pytest.param(
            [step("replace", LAUNCH_TEMPLATE), step("update", GROUP)],
            (f"changed: replace {LAUNCH_TEMPLATE}, update {GROUP}",),
            id="replaced",
        ),
    ],
)
def test_a_new_image_changes_template_and_group(steps: list[Step], violations: tuple[str, ...]) -> None:
    assert expectations.changes_launch_template_and_group(operation(*steps)).violations == violations


def test_a_schedule_must_act_on_the_fleet() -> None:
    assert expectations.stops_the_fleet("fleet", [{"TopicArn": "x"}, {"AutoScalingGroupName": "fleet"}]).met
    assert expectations.stops_the_fleet("fleet", [{"AutoScalingGroupName": "other"}]).violations == (
        "no schedule of the stack acts on fleet",
    )


@pytest.mark.parametrize(
    ("statement", "met"),
    [
        ({"Effect": "Allow", "Action": "sns:Publish"}, True),
        ({"Effect": "Allow", "Action": ["sns:publish"]}, True),
        ({"Effect": "Allow", "Action": ["sns:Subscribe"]}, False),
        ({"Effect": "Deny", "Action": "sns:Publish"}, False),
    ],
)
def test_the_schedules_role_must_be_allowed_to(statement: dict[str, object], met: bool) -> None:
    documents = [json.dumps({"Statement": {"Effect": "Allow", "Action": []}}), json.dumps({"Statement": [statement]})]
    verdict = expectations.role_allows("sns:Publish", "expiry", documents)
    assert verdict.violations == (() if met else ("expiry has no policy that allows sns:Publish",))


def test_a_fleet_must_follow_its_hours() -> None:
    monday = datetime(2026, 11, 23, 8, tzinfo=UTC)
    evening = monday + timedelta(hours=12)
    by_day = lambda moment: moment.hour < 20  # noqa: E731
    assert expectations.follow_the_hours([(monday, [1]), (evening, [0])], by_day).met
    late = expectations.follow_the_hours([(monday, [1]), (evening, [1])], by_day)
    assert late.violations == ("[1] hosts at Mon 20:00Z", "no schedule opens, or none closes")
    assert not expectations.follow_the_hours([], by_day).met


def test_an_expired_fleet_has_no_host() -> None:
    stopped = {"AutoScalingGroupName": "fleet", "MinSize": 0, "MaxSize": 0, "DesiredCapacity": 0, "Instances": []}
    assert expectations.is_at_zero([stopped]).met
    running = stopped | {"MaxSize": 2, "DesiredCapacity": 1, "Instances": [{"InstanceId": "i-1"}]}
    assert expectations.is_at_zero([stopped, running]).violations == (
        "MaxSize of fleet is 2",
        "DesiredCapacity of fleet is 1",
        "still in fleet: i-1",
    )


def test_calls_must_be_within_the_rights_of_who_deploys() -> None:
    calls = {("ec2", "CreateVpc"), ("elbv2", "DescribeRules"), ("efs", "DeleteMountTarget"), ("s3", "HeadBucket")}
    assert expectations.are_within_the_rights(calls).met
    more = {*calls, ("iam", "CreateUser"), ("kms", "Decrypt")}
    assert expectations.are_within_the_rights(more).violations == (
        "iam:CreateUser is in no right of tandem/ops/rights",
        "kms:Decrypt is in no right of tandem/ops/rights",
    )


def test_a_protected_stack_must_refuse() -> None:
    assert expectations.refuses_to_go(operation(name="destroy", status=1), {"a", "b"}, {"a", "b"}).met
    assert expectations.refuses_to_go(operation(name="destroy"), {"a", "b"}, {"a"}).violations == (
        "`pulumi destroy` went through, although the state holds protected resources",
        "gone all the same: b",
    )


def test_what_is_left_must_be_what_is_kept() -> None:
    assert expectations.leaves_nothing_but(["efs 1"], ["efs 1"]).met
    assert expectations.leaves_nothing_but(["efs 1"], ["vpc 2"]).violations == ("left behind: vpc 2", "not kept: efs 1")


def test_secrets_must_reach_the_store() -> None:
    assert expectations.reach_the_secret_store({"token": "v"}, {"stored[0]": "v"}).met
    assert expectations.reach_the_secret_store({"token": "v"}, {}).violations == ("token is not stored",)


def test_secrets_must_show_nowhere() -> None:
    key = "-----BEGIN EC PRIVATE KEY-----"
    assert expectations.shows_no_secret(
        {"token": "hf_1"}, {"outputs": "hf_2", "log": "-----BEGIN CERTIFICATE-----"}
    ).met
    verdict = expectations.shows_no_secret({"token": "hf_1"}, {"outputs": '{"x": "hf_1"}', "log": key})
    assert verdict.violations == ("token is in outputs", "a private key is in log")
    assert "hf_1" not in str(verdict)
