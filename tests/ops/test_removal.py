"""What is ours goes in an order in which AWS lets it go, whatever happens in between; the rest stays."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from pulumi_rehearsal.moto import SimulatedAccount
from tandem import type_tokens as types
from tandem.ops import removal
from tandem.ops.inventory import find
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.removal import Left, plan, remove, remove_stack
from tests.ops.account import REGION, Builder, Killed, at_once, killing, tags_of, watched


@pytest.fixture(scope="module")
def clients(moto_server: SimulatedAccount) -> Clients:
    """One account for all of these tests, each with a stack of its own: emptying it takes moto seconds."""
    moto_server.reset()
    return lambda service: moto_server.client(service, REGION)


@pytest.fixture(autouse=True)
def _hours_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six seconds from one look at the clock to the next: what is tried again for ever is given up after 600 tries."""
    clock = itertools.count(0, 6)
    monkeypatch.setattr(removal, "time", SimpleNamespace(monotonic=lambda: next(clock)))


@pytest.fixture
def stack() -> str:
    return f"t{uuid.uuid4().hex[:6]}"


def remove_all(clients: Clients, stack: str, **options: Any) -> list[Left]:
    return remove(clients, find(clients, stack).resources, sleep=at_once, **options)


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")  # pyright: ignore[reportArgumentType]


def refusing(clients: Clients, operation: str, code: str, times: int = 1_000_000) -> Clients:
    """AWS refuses an operation so many times."""
    left = [times]

    def before(_service: str, name: str) -> None:
        if name == operation and left[0]:
            left[0] -= 1
            raise refusal(code)

    return watched(clients, before)


def test_everything_of_a_stack_goes_and_look_alikes_stay(clients: Clients, stack: str) -> None:
    Builder(clients, stack, f"tandem-{stack}").everything()
    others = [
        Builder(clients, f"{stack}x", f"tandem-{stack}x").everything(),
        Builder(clients, stack, f"tandem-{stack}-copy", tags_of(stack, project="someone-elses")).everything(),
    ]
    gone: list[tuple[str, str]] = []
    before = find(clients, stack).resources
    left = remove(clients, before, sleep=at_once, report=lambda resource, outcome: gone.append((resource.id, outcome)))
    assert left == []
    assert find(clients, stack).resources == []
    assert sorted(gone) == sorted((resource.id, "removed") for resource in before)
    assert sorted(found.key for found in find(clients, f"{stack}x").resources) == sorted(others[0].made)
    # The look-alike is counted by boto3 alone: our own search does not name it, which is the point.
    vpc = [{"Name": "vpc-id", "Values": [others[1].vpc]}]
    assert len(clients("ec2").describe_subnets(Filters=vpc)["Subnets"]) == 2
    assert clients("s3").list_objects_v2(Bucket=f"tandem-{stack}-copy-access-logs-1")["KeyCount"] == 1
    assert clients("iam").get_role(RoleName=f"tandem-{stack}-copy-host")["Role"]


def test_only_what_was_named_goes(clients: Clients, stack: str) -> None:
    dev = Builder(clients, stack, f"tandem-{stack}")
    dev.network()
    named = [resource for resource in find(clients, stack).resources if resource.type == types.INGRESS_RULE]
    assert remove(clients, named, sleep=at_once) == []
    expected = [key for key in dev.made if key[0] != types.INGRESS_RULE]
    assert sorted(resource.key for resource in find(clients, stack).resources) == sorted(expected)


def test_the_plan_puts_nothing_before_what_has_to_go_first() -> None:
    waves = plan([Found(type=type_, id=type_) for type_ in KINDS])
    wave_of = {resource.type: number for number, wave in enumerate(waves) for resource in wave}
    assert set(wave_of) == set(KINDS)
    too_early = [
        (kind.type, other) for kind in KINDS.values() for other in kind.after if wave_of[kind.type] <= wave_of[other]
    ]
    assert too_early == []
    assert wave_of[types.SCHEDULE] > wave_of[types.GROUP], "what stops the fleet outlives the fleet"
    assert wave_of[types.VPC] == len(waves) - 1


@pytest.mark.long
def test_killed_after_each_call_in_turn_a_run_again_leaves_nothing(clients: Clients, stack: str) -> None:
    """Each run may make one changing call more than was to no avail, so every call is once the last one."""
    Builder(clients, stack, f"tandem-{stack}").everything()
    kills, calls, before = 0, 1, []
    while resources := find(clients, stack).resources:
        calls = calls + 1 if resources == before else 1
        before = resources
        try:
            assert remove(killing(clients, after=calls), resources, sleep=at_once) == []
        except Killed:
            kills += 1
            assert kills < 100, resources
    assert kills >= 40


def test_a_second_run_on_the_same_list_is_no_error(clients: Clients, stack: str) -> None:
    Builder(clients, stack, f"tandem-{stack}").everything()
    resources = find(clients, stack).resources
    assert remove(clients, resources, sleep=at_once) == []
    assert remove(clients, resources, sleep=at_once) == []


def test_two_at_once_leave_nothing_and_see_no_error(clients: Clients, stack: str) -> None:
    Builder(clients, stack, f"tandem-{stack}").everything()
    resources = find(clients, stack).resources
    results: list[list[Left]] = []
    start = threading.Barrier(2)

    def run() -> None:
        start.wait()
        results.append(remove(clients, resources, sleep=at_once))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [[], []]
    assert find(clients, stack).resources == []


def test_what_still_hangs_on_something_is_tried_again(clients: Clients, stack: str) -> None:
    Builder(clients, stack, f"tandem-{stack}").network()
    waits: list[float] = []
    left = remove(
        refusing(clients, "delete_vpc", "DependencyViolation", times=2),
        find(clients, stack).resources,
        poll_seconds=7,
        sleep=waits.append,
    )
    assert left == []
    assert waits == [7, 7]


def test_what_is_still_busy_at_the_deadline_is_left_with_the_reason(clients: Clients, stack: str) -> None:
    dev = Builder(clients, stack, f"tandem-{stack}")
    dev.network()
    left = remove_all(refusing(clients, "delete_vpc", "DependencyViolation"), stack, deadline_seconds=0)
    assert [(item.resource.key, item.reason.split(":")[0]) for item in left] == [
        ((types.VPC, dev.vpc), "DependencyViolation")
    ]
    assert remove_all(clients, stack) == []


def test_what_was_accepted_and_stays_is_said_to_be_going(
    clients: Clients, stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = Builder(clients, stack, f"tandem-{stack}")
    dev.network()
    monkeypatch.setitem(KINDS, types.VPC, replace(KINDS[types.VPC], delete=lambda *_: None))
    left = remove_all(clients, stack, deadline_seconds=0)
    assert [(item.resource.id, item.reason) for item in left] == [(dev.vpc, "still being removed at the deadline")]


@pytest.mark.parametrize(
    ("code", "status", "message", "busy"),
    [
        ("InternalError", 500, "", True),
        ("InternalError", 503, "", True),
        ("InvalidParameter", 499, "", False),
        ("InvalidGroup.InUse", 400, "", True),
        ("ThrottledException", 400, "", True),
        ("RequestLimitExceeded", 400, "", True),
        ("TooManyRequestsException", 400, "", True),
        ("ValidationError", 400, "Certificate is in Use", True),
        ("AccessDenied", 403, "", False),
    ],
)
def test_what_aws_may_answer_otherwise_in_a_moment_is_tried_again(
    code: str, status: int, message: str, busy: bool
) -> None:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert removal.is_busy(ClientError(response, "Operation")) is busy  # pyright: ignore[reportArgumentType]


def test_an_answer_that_cannot_be_read_is_asked_for_again() -> None:
    """A proxy's page, say, in place of AWS's answer."""
    assert removal.is_busy(ResponseParserError("no XML"))


def test_a_refusal_is_not_repeated_and_what_depends_on_it_is_not_waited_for(clients: Clients, stack: str) -> None:
    dev = Builder(clients, stack, f"tandem-{stack}")
    dev.network()
    waits: list[float] = []
    left = remove(
        refusing(clients, "delete_network_interface", "UnauthorizedOperation"),
        find(clients, stack).resources,
        sleep=waits.append,
    )
    types_left = {item.resource.type: item.reason.split(":")[0] for item in left}
    assert types_left[types.NETWORK_INTERFACE] == "UnauthorizedOperation"
    assert set(types_left) <= {
        types.NETWORK_INTERFACE,
        types.SUBNET,
        types.SECURITY_GROUP,
        types.VPC,
    }
    assert waits == []
    assert types.NAT_GATEWAY not in {resource.type for resource in find(clients, stack).resources}


def test_a_type_without_a_row_is_left(clients: Clients, stack: str) -> None:
    clients("sqs").create_queue(QueueName=f"forgotten-{stack}", tags=tags_of(stack))
    [item] = remove_all(clients, stack)
    assert (item.resource.type, item.reason) == ("sqs", "tandem does not know how to remove this type")


@pytest.mark.parametrize(
    ("ephemeral", "by", "lifted"),
    [(True, remove_stack, True), (True, remove, False), (False, remove_stack, False)],
    ids=["an ephemeral stack", "recover", "not ephemeral"],
)
def test_deletion_protection_is_lifted_for_an_ephemeral_stack_alone(
    clients: Clients, stack: str, ephemeral: bool, by: Callable[..., list[Left]], lifted: bool
) -> None:
    dev = Builder(clients, stack, f"tandem-{stack}", ephemeral=ephemeral)
    dev.network()
    elb = clients("elbv2")
    arn = elb.create_load_balancer(Name=f"tandem-{stack}", Subnets=dev.subnets, Tags=dev.tags)["LoadBalancers"][0][
        "LoadBalancerArn"
    ]
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}]
    )
    protection: list[str] = []

    def before(_service: str, operation: str) -> None:
        """moto lets a protected load balancer go; AWS would not."""
        if operation == "delete_load_balancer":
            attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
            protection.extend(one["Value"] for one in attributes if one["Key"] == "deletion_protection.enabled")

    by(watched(clients, before), find(clients, stack).resources, sleep=at_once)
    assert protection == ["false" if lifted else "true"]


def test_what_holds_the_name_goes_last_and_is_reported_as_the_rest_is(clients: Clients, stack: str) -> None:
    dev = Builder(clients, stack, f"tandem-{stack}", ephemeral=True)
    dev.parameter()
    dev.network()
    told: list[str] = []
    resources = find(clients, stack).resources
    assert remove_stack(clients, resources, sleep=at_once, report=lambda one, _: told.append(one.type)) == []
    assert told[-1] == types.PARAMETER
    assert len(told) == len(resources)


def test_a_secret_can_be_restored_for_a_week(clients: Clients, stack: str) -> None:
    arn = clients("secretsmanager").create_secret(
        Name=f"keys-{stack}", SecretString='{"a": 1}', Tags=Builder(clients, stack, "x").tags
    )["ARN"]
    assert remove_all(clients, stack) == []
    clients("secretsmanager").restore_secret(SecretId=arn)
    assert clients("secretsmanager").get_secret_value(SecretId=arn)["SecretString"] == '{"a": 1}'


def test_what_went_meanwhile_is_no_error(clients: Clients, stack: str) -> None:
    dev = Builder(clients, stack, f"tandem-{stack}").everything()
    resources = find(clients, stack).resources
    made = dict(dev.made)
    clients("route53").change_resource_record_sets(
        HostedZoneId=dev.zone,
        ChangeBatch={
            "Changes": [
                {"Action": "DELETE", "ResourceRecordSet": resource.facts["Set"]}
                for resource in resources
                if resource.type == types.RECORD
            ]
        },
    )
    clients("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=made[types.GROUP], ForceDelete=True)
    clients("ec2").delete_nat_gateway(NatGatewayId=made[types.NAT_GATEWAY])
    clients("efs").delete_mount_target(MountTargetId=made[types.MOUNT_TARGET])
    clients("elbv2").delete_load_balancer(LoadBalancerArn=made[types.LOAD_BALANCER])
    clients("iam").delete_role_policy(RoleName=dev.role, PolicyName="own")
    clients("scheduler").delete_schedule_group(Name=made[types.SCHEDULE_GROUP])
    clients("sns").delete_topic(TopicArn=made[types.TOPIC])
    assert remove(clients, resources, sleep=at_once, deadline_seconds=0) == []
