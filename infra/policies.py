"""IAM policy documents: plain data, so that a reviewer and a test read the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

VERSION = "2012-10-17"


def allow(
    actions: Sequence[str],
    resources: Sequence[pulumi.Input[str]],
    condition: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One statement that allows these actions on these resources."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return statement | ({"Condition": condition} if condition else {})


def document(*statements: dict[str, Any]) -> pulumi.Output[str]:
    """A policy as the JSON text that AWS takes; outputs inside are resolved."""
    return pulumi.Output.json_dumps({"Version": VERSION, "Statement": list(statements)})


def assumed_by(service: str, condition: dict[str, Any] | None = None) -> pulumi.Output[str]:
    """A trust policy for one AWS service."""
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    return document(statement | ({"Condition": condition} if condition else {}))


def read_weights(s3_uri: str) -> list[dict[str, Any]]:
    """Statements that let a server stream its weights from s3://bucket/path, and read nothing else."""
    bucket, _, path = s3_uri.removeprefix("s3://").partition("/")
    return [
        allow(["s3:ListBucket"], [f"arn:aws:s3:::{bucket}"]),
        allow(["s3:GetObject"], [f"arn:aws:s3:::{bucket}/{path.rstrip('/')}/*"]),
    ]
