"""The bucket for the load balancer's access logs."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import s3

from infra import policies

LOG_DELIVERY = "logdelivery.elasticloadbalancing.amazonaws.com"
PREFIX = "alb"


@dataclass(frozen=True, kw_only=True)
class AccessLogsArgs:
    """What the bucket needs.

    Attributes:
        retention_days: objects are deleted after so many days.
        keep_on_destroy: leaves the bucket and its logs in the account when the stack goes.
    """

    retention_days: int
    keep_on_destroy: bool


class AccessLogs(pulumi.ComponentResource):
    """Private, encrypted, expiring. The load balancer's log delivery may write below PREFIX and do nothing else.

    Attributes:
        bucket_name: known once delivery is allowed, since a load balancer tests that when it is given the bucket.
    """

    def __init__(self, name: str, args: AccessLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:AccessLogs", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = s3.Bucket(
            name,
            force_destroy=not args.keep_on_destroy,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.keep_on_destroy),
        )
        s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        # Log delivery takes no other key than S3's own.
        s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.id,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=child,
        )
        s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                {
                    "id": "expire",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "expiration": {"days": args.retention_days},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            opts=child,
        )
        policy = s3.BucketPolicy(name, bucket=bucket.id, policy=_policy(bucket.arn), opts=child)
        self.bucket_name = pulumi.Output.all(bucket.id, policy.id).apply(lambda ids: ids[0])
        self.register_outputs({"bucket_name": bucket.id})


def _policy(bucket_arn: pulumi.Output[str]) -> pulumi.Output[str]:
    objects = pulumi.Output.concat(bucket_arn, f"/{PREFIX}/AWSLogs/*")
    return policies.document(
        policies.allow(["s3:PutObject"], [objects]) | {"Principal": {"Service": LOG_DELIVERY}},
        {
            "Effect": "Deny",
            "Principal": {"AWS": "*"},
            "Action": "s3:*",
            "Resource": [bucket_arn, pulumi.Output.concat(bucket_arn, "/*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    )
