"""What a bucket's policy denies in the simulated account is what IAM's evaluator says that it denies."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from botocore.exceptions import ClientError

from infra.policies import only_tls
from pulumi_rehearsal.policy_evaluator import Request, allowed
from tandem.catalog.iam import POLICY_VERSION
from tandem.ops.kinds.kind import Clients

BUCKET = "scripts"
OBJECT = f"arn:aws:s3:::{BUCKET}/object"
PUT = {"Version": POLICY_VERSION, "Statement": [{"Effect": "Allow", "Action": "s3:PutObject", "Resource": OBJECT}]}


def decisions(clients: Clients, denial: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the simulated account, and the evaluator, let an object be written to a bucket with this policy."""
    policy = {"Version": POLICY_VERSION, "Statement": [denial]}
    over_tls = {"aws:SecureTransport": "true"}
    request = Request(action="s3:PutObject", resource=OBJECT, identity=[PUT], on_resource=policy, context=over_tls)
    s3 = clients("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    with suppress(ClientError):
        s3.put_object(Bucket=BUCKET, Key="object", Body=b"")
    return s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 1, allowed([request])[0]


def test_a_denial_without_tls_is_none_with_it(clients: Clients) -> None:
    assert decisions(clients, only_tls("s3:*", [OBJECT], {"AWS": "*"})) == (True, True)


def test_any_other_denial_holds(clients: Clients) -> None:
    denial = only_tls("s3:*", [OBJECT], {"AWS": "*"})
    del denial["Condition"]
    assert decisions(clients, denial) == (False, False)
