"""Policy documents that S3 and IAM do not take: a bucket's policy, and who a role trusts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from pulumi_rehearsal.aws.account import AwsError
from pulumi_rehearsal.aws.checks.base import Check, Refusal, api
from pulumi_rehearsal.aws.lifecycle import Resource

_BUCKET_POLICY = ("aws:s3/bucketPolicy:BucketPolicy",)


def _statements(document: str) -> list[dict[str, Any]] | None:
    """The statements of a policy, of which one may stand alone; None where there is no policy to read."""
    try:
        found = json.loads(document)["Statement"]
    except (ValueError, KeyError, TypeError):
        return None
    statements = found if isinstance(found, list) else [found]
    return statements if all(isinstance(one, dict) for one in statements) else None


def _listed(value: Any) -> list[str]:
    return [str(one) for one in (value if isinstance(value, list) else [value])]


def _bucket_policy(policy: Resource) -> Iterator[Refusal]:
    statements = _statements(policy.inputs["policy"])
    if statements is None:
        yield Refusal("This policy contains invalid Json", "MalformedPolicy")
    for one in statements or ():
        for field in ("Principal", "Action", "Resource"):
            if field not in one and f"Not{field}" not in one:
                yield Refusal(f"Missing required field {field}", "MalformedPolicy")
        if not all(action == "*" or action.lower().startswith("s3:") for action in _listed(one.get("Action", "*"))):
            yield Refusal("Policy has invalid action", "MalformedPolicy")
        if not all(_of_bucket(arn, policy.inputs["bucket"]) for arn in _listed(one.get("Resource", []))):
            yield Refusal("Policy has invalid resource", "MalformedPolicy")


def _of_bucket(arn: str, bucket: str) -> bool:
    """`arn:aws:s3:::bucket/*`, in whose name of a bucket there may be wildcards; `*` alone is none."""
    head, _, rest = arn.partition(":s3:::")
    return head.startswith("arn:") and fnmatchcase(bucket, rest.partition("/")[0])


def _public_policy(policy: Resource) -> Iterator[Refusal]:
    bucket = policy.inputs["bucket"]
    statements = _statements(policy.inputs["policy"]) or ()
    public = any(one.get("Effect") == "Allow" and one.get("Principal") in ("*", {"AWS": "*"}) for one in statements)
    if public and _blocks_public_policies(policy, bucket):
        yield Refusal(
            f'User is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::{bucket}" because '
            "public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
            "AccessDenied",
        )


def _blocks_public_policies(policy: Resource, bucket: str) -> bool:
    try:
        found = policy.region.call("s3", "get_public_access_block", Bucket=bucket)
    except AwsError as error:
        if error.not_found:
            return False
        raise
    return found["PublicAccessBlockConfiguration"]["BlockPublicPolicy"]


def _trust_policy(role: Resource) -> Iterator[Refusal]:
    statements = _statements(role.inputs["assumeRolePolicy"])
    if statements is None:
        yield Refusal("This policy contains invalid Json", "MalformedPolicyDocument")
    for one in statements or ():
        if {"Resource", "NotResource"} & {*one}:
            yield Refusal("Has prohibited field Resource", "MalformedPolicyDocument")
        for field in ("Principal", "Action"):
            if field not in one and f"Not{field}" not in one:
                yield Refusal(f"Missing required field {field}", "MalformedPolicyDocument")
        if not all(action.lower().startswith("sts:") for action in _listed(one.get("Action", []))):
            yield Refusal("AssumeRole policy may only specify STS AssumeRole actions", "MalformedPolicyDocument")


CHECKS = (
    Check(
        "bucket policy",
        _BUCKET_POLICY,
        "A bucket's policy says for whom, which of S3's actions, and on which part of this bucket.",
        "https://github.com/noobaa/noobaa-core/issues/10058",
        "apply",
        _bucket_policy,
    ),
    Check(
        "public policy",
        _BUCKET_POLICY,
        "A bucket that blocks public policies takes none.",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html",
        "apply",
        _public_policy,
    ),
    Check(
        "trust policy",
        ("aws:iam/role:Role",),
        "A role's trust policy says who may assume it, and names no resource.",
        api("iam", "CreateRole"),
        "apply",
        _trust_policy,
    ),
)
