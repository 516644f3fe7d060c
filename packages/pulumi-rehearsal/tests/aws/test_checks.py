"""Each check refuses what AWS refuses, in its words, and lets pass what AWS lets pass."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_rehearsal.aws import AwsProvider
from pulumi_rehearsal.aws.account import AwsError
from pulumi_rehearsal.aws.checks import CHECKS
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import ProviderError
from simulated import world as w
from simulated.check_cases import CASES, Case, fresh, make
from simulated.world import World

NOWHERE = "0123456789abcdef0"

EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.fixture(scope="module")
def shared(account: SimulatedAccount) -> World:
    """Dependencies are made once for all cases."""
    return World(AwsProvider(account))


@EACH
def test_it_refuses(case: Case, shared: World) -> None:
    with pytest.raises((ProviderError, AssertionError)) as refused:
        case.refused(shared)
    for words in case.words:
        assert words in str(refused.value)


@EACH
def test_it_lets_pass(case: Case, shared: World) -> None:
    case.allowed(shared)


def test_every_check_is_seen_in_action() -> None:
    assert sorted(case.name for case in CASES) == sorted(check.name for check in CHECKS)


def test_every_check_says_its_rule_in_a_sentence_and_where_it_is_from() -> None:
    assert all(check.says.endswith(".") and check.says[0].isupper() for check in CHECKS)
    assert all(check.source.startswith(("https://docs.aws.amazon.com/", "https://github.com/")) for check in CHECKS)


@pytest.mark.parametrize(
    ("type", "changed", "words"),
    [
        (w.SUBNET, {"vpcId": f"vpc-{NOWHERE}"}, f"The vpc ID 'vpc-{NOWHERE}' does not exist"),
        (w.NAT, {"allocationId": f"eipalloc-{NOWHERE}"}, f"The allocation ID 'eipalloc-{NOWHERE}' does not exist"),
        (w.ROUTE, {"gatewayId": f"igw-{NOWHERE}"}, f"The internetGateway ID 'igw-{NOWHERE}' does not exist"),
        (w.ASSOCIATION, {"routeTableId": f"rtb-{NOWHERE}"}, f"The routeTable ID 'rtb-{NOWHERE}' does not exist"),
        (w.MOUNT, {"fileSystemId": f"fs-{NOWHERE}"}, f"File system 'fs-{NOWHERE}' does not exist."),
        (w.MOUNT, {"subnetId": f"subnet-{NOWHERE}"}, f"The subnet ID 'subnet-{NOWHERE}' does not exist"),
        (w.TEMPLATE, {"vpcSecurityGroupIds": [f"sg-{NOWHERE}"]}, f"The security group 'sg-{NOWHERE}' does not exist"),
        (
            w.TEMPLATE,
            {"iamInstanceProfile": {"arn": "arn:aws:iam::123456789012:instance-profile/nobody"}},
            "Instance Profile nobody cannot be found.",
        ),
        (w.FLOW_LOG, {"iamRoleArn": "arn:aws:iam::123456789012:role/nobody"}, "The role with name nobody cannot be"),
        (
            w.FLOW_LOG,
            {"logDestination": "arn:aws:logs:us-east-1:123456789012:log-group:nowhere"},
            "The specified log group does not exist: nowhere",
        ),
        (w.SUBSCRIPTION, {"topic": "arn:aws:sns:us-east-1:123456789012:nowhere"}, "Topic does not exist"),
        (
            w.LISTENER,
            {"certificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/0"},
            "Could not find certificate",
        ),
        (
            w.ACL_ASSOCIATION,
            {"resourceArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/x/0"},
            "LoadBalancerNotFound",
        ),
        (w.ATTACHMENT, {"policyArn": "arn:aws:iam::aws:policy/Nothing"}, "does not exist or is not attachable."),
    ],
)
def test_what_does_not_exist_cannot_be_referred_to(
    shared: World, type: str, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(AwsError, match=r"NotFound|NoSuchEntity") as refused:
        make(type, **changed)(shared)
    assert words in str(refused.value)


def test_what_was_deleted_by_others_cannot_be_referred_to(shared: World) -> None:
    group = shared.create(w.GROUP, {"vpcId": shared.get(w.VPC).id}, fresh())
    shared.client("ec2").delete_security_group(GroupId=group.id)
    with pytest.raises(AwsError, match=f"The security group '{group.id}' does not exist"):
        make(w.BALANCER, securityGroups=[group.id])(shared)
