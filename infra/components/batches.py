"""What `tandem batch` works with: a bucket of requests and answers, and the identity of the machines that answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

from .. import policies
from .private_bucket import private_bucket

KEPT_DAYS = 30
"""For requests and answers, as OpenAI keeps those of batches
(https://platform.openai.com/docs/guides/batch)."""

WRITTEN = ("answers", "claims", "done", "machines")
"""By machines (cloud-init/batch/job.py). What is asked for, and when it ends, only `tandem batch` writes."""


@dataclass(frozen=True, kw_only=True)
class BatchesArgs:
    """What batches need.

    Attributes:
        role_name: of the machines, which may read here, write WRITTEN, and remove nothing.
        secret_arns: that they read: the hub's token, a registry's login.
        keep_on_destroy: leaves the bucket and what is in it in the account when the stack goes.
    """

    role_name: pulumi.Input[str]
    secret_arns: Sequence[pulumi.Input[str]]
    keep_on_destroy: bool


class Batches(pulumi.ComponentResource):
    """Private, encrypted, and empty again after KEPT_DAYS.

    Attributes:
        url: of the bucket, known once the machines may use it.
    """

    def __init__(self, name: str, args: BatchesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Batches", name, None, opts)
        bucket, _ = private_bucket(name, self, kept_days=KEPT_DAYS, keep_on_destroy=args.keep_on_destroy)
        objects = pulumi.Output.concat(bucket.arn, "/*")
        theirs = [pulumi.Output.concat(bucket.arn, f"/jobs/*/{kind}/*") for kind in WRITTEN]
        secrets = [policies.allow(["secretsmanager:GetSecretValue"], args.secret_arns)] if args.secret_arns else []
        grant = iam.RolePolicy(
            name,
            role=args.role_name,
            policy=policies.document(
                # Without the list, what is not there is a 403.
                policies.allow(["s3:ListBucket"], [bucket.arn]),
                policies.allow(["s3:GetObject"], [objects], sid="RequestsAndAnswers"),
                policies.allow(["s3:PutObject"], theirs, sid="AnswersOfEachBatch"),
                *secrets,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        domain = pulumi.Output.all(bucket.bucket_regional_domain_name, grant.id).apply(lambda known: known[0])
        self.url = pulumi.Output.concat("https://", domain)
        self.register_outputs({"url": self.url})
