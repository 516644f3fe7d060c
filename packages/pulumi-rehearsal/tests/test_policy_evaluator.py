"""The policy evaluator of the tests decides as AWS says in the examples of its documentation."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_rehearsal.policy_evaluator import ACCOUNT, Request, allowed, takes

INSTANCE = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-0123456789abcdef0"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/somebody"


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action: str | list[str], resource: str | list[str] = "*", **condition: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("__", ":"): value for name, value in condition.items()}
    return {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": named}


OWNED = policy(
    {
        "Effect": "Allow",
        "Action": ["ec2:StartInstances", "ec2:StopInstances"],
        "Resource": "arn:aws:ec2:*:*:instance/*",
        "Condition": {"StringEquals": {"aws:ResourceTag/Owner": "${aws:username}"}},
    }
)
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_examples_ec2_tag-owner.html"""

ON_CREATION = policy(
    allow("ec2:CreateTags", "arn:aws:ec2:us-east-1:*:instance/*", StringEquals={"ec2:CreateAction": "RunInstances"})
)
"""https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html, where the resource is `*/*`;
the evaluator takes no wildcard for a type."""

TAG_KEYS = policy(
    allow(
        "ec2:CreateTags",
        "arn:aws:ec2:*:*:instance/*",
        ForAllValues__StringEquals={"aws:TagKeys": ["environment", "cost-center"]},
    )
)
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html"""

ANY_TAG_KEY = policy(
    allow("ec2:CreateTags", "arn:aws:ec2:*:*:instance/*", ForAnyValue__StringEquals={"aws:TagKeys": ["environment"]})
)

LOOSE = policy(allow("ec2:StopInstances", StringEqualsIfExists={"aws:ResourceTag/env": "test"}))
NOT_PRODUCTION = policy(allow("ec2:StopInstances", StringNotEquals={"aws:ResourceTag/env": "production"}))
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html: IfExists is
true without the key, and so is a negated operator."""

ALL_OF_S3 = policy(allow("s3:*"), allow("iam:CreateUser"))
BOUNDARY = policy(allow(["s3:*", "cloudwatch:*", "ec2:*"]))
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html: ShirleyRodriguez, who may then not
create a user."""

DENIED = policy(allow("s3:*"), {"Effect": "Deny", "Action": "s3:DeleteBucket", "Resource": "*"})
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html: a denial wins."""

PASS = policy(
    allow(
        "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/EC2-*", StringEquals={"iam:PassedToService": "ec2.amazonaws.com"}
    )
)
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html"""

DEPUTY = policy(
    {
        "Effect": "Allow",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
)
"""https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html"""

BUCKETS = policy(allow("s3:DeleteBucket", StringEquals={"aws:ResourceTag/env": "test"}))
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/buckets-tagging-enable-abac.html: tags count where it is on."""


def ec2(action: str, identity: dict[str, Any], **context: str | list[str]) -> Request:
    keys = {name.replace("__", ":").replace("_of_", "/"): value for name, value in context.items()}
    return Request(action=f"ec2:{action}", resource=INSTANCE, identity=[identity], context=keys)


def assumed(service: str, **context: str) -> Request:
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return Request(action="sts:AssumeRole", resource=ROLE, on_resource=DEPUTY, principal=service, context=keys)


def bucket(abac: bool) -> Request:
    context = {"aws:ResourceTag/env": "test"}
    return Request(
        action="s3:DeleteBucket", resource="arn:aws:s3:::x", identity=[BUCKETS], context=context, bucket_abac=abac
    )


def named(action: str, resource: str, identity: dict[str, Any], **more: Any) -> Request:
    return Request(action=action, resource=resource, identity=[identity], **more)


PASSED = {"iam:PassedToService": "ec2.amazonaws.com"}
EXAMPLES = [
    ("its owner", ec2("StopInstances", OWNED, aws__ResourceTag_of_Owner="ann", aws__username="ann"), True),
    ("another owner", ec2("StopInstances", OWNED, aws__ResourceTag_of_Owner="bob", aws__username="ann"), False),
    ("nobody's", ec2("StopInstances", OWNED, aws__username="ann"), False),
    ("tags with the creation", ec2("CreateTags", ON_CREATION, ec2__CreateAction="RunInstances"), True),
    ("tags with another creation", ec2("CreateTags", ON_CREATION, ec2__CreateAction="CreateVolume"), False),
    ("tags later", ec2("CreateTags", ON_CREATION), False),
    ("both keys", ec2("CreateTags", TAG_KEYS, aws__TagKeys=["environment", "cost-center"]), True),
    ("a third key", ec2("CreateTags", TAG_KEYS, aws__TagKeys=["environment", "owner"]), False),
    ("all of none", ec2("CreateTags", TAG_KEYS), True),
    ("any of two", ec2("CreateTags", ANY_TAG_KEY, aws__TagKeys=["environment", "owner"]), True),
    ("any of none", ec2("CreateTags", ANY_TAG_KEY), False),
    ("if it exists, and does", ec2("StopInstances", LOOSE, aws__ResourceTag_of_env="prod"), False),
    ("if it exists, and does not", ec2("StopInstances", LOOSE), True),
    ("not equal", ec2("StopInstances", NOT_PRODUCTION, aws__ResourceTag_of_env="production"), False),
    ("not equal to nothing", ec2("StopInstances", NOT_PRODUCTION), True),
    ("inside the boundary", named("s3:GetObject", "arn:aws:s3:::x/y", ALL_OF_S3, boundary=[BOUNDARY]), True),
    (
        "outside the boundary",
        named("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x", ALL_OF_S3, boundary=[BOUNDARY]),
        False,
    ),
    ("only in the boundary", named("ec2:StopInstances", INSTANCE, ALL_OF_S3, boundary=[BOUNDARY]), False),
    ("a denial", named("s3:DeleteBucket", "arn:aws:s3:::x", DENIED), False),
    ("passed", named("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/EC2-x", PASS, context=PASSED), True),
    ("passed to no service", named("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/EC2-x", PASS), False),
    ("another role", named("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/x", PASS, context=PASSED), False),
    ("for this account", assumed("scheduler.amazonaws.com", aws__SourceAccount=ACCOUNT), True),
    ("for another account", assumed("scheduler.amazonaws.com", aws__SourceAccount="999999999999"), False),
    ("another service", assumed("lambda.amazonaws.com", aws__SourceAccount=ACCOUNT), False),
    ("a bucket's tags", bucket(True), True),
    ("a bucket whose tags do not count", bucket(False), False),
]


def test_decides_as_aws_says_in_its_examples() -> None:
    decisions = allowed([request for _, request, _ in EXAMPLES])
    assert {what: decision for (what, _, _), decision in zip(EXAMPLES, decisions, strict=True)} == {
        what: expected for what, _, expected in EXAMPLES
    }


def test_a_tag_counts_only_where_the_action_takes_it() -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonroute53.html: no condition keys."""
    tagged = policy(allow("route53:DeleteHealthCheck", StringEquals={"aws:ResourceTag/env": "test"}))
    check = "arn:aws:route53:::healthcheck/12345678-1234-1234-1234-123456789012"
    [decision] = allowed([named("route53:DeleteHealthCheck", check, tagged, context={"aws:ResourceTag/env": "test"})])
    assert decision is False


def test_what_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="Action DeleteVpcs does not exist"):
        allowed([named("ec2:DeleteVpcs", INSTANCE, ALL_OF_S3)])
    with pytest.raises(ValueError, match="vpc/vpc-1"):
        allowed([named("ec2:StopInstances", f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-1", ALL_OF_S3)])


def test_the_reference_says_what_an_action_takes() -> None:
    found = takes(["ec2:CreateSubnet", "eks:CreateCluster"])
    tags = {one.resource: (one.tag("ResourceTag"), one.tag("RequestTag")) for one in found["ec2:CreateSubnet"]}
    assert tags == {"subnet": (False, True), "vpc": (True, False), "ipam-pool": (True, False)}
    assert [one.tag("RequestTag") for one in found["eks:CreateCluster"]] == [True]
