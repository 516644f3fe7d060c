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
        account_id: whose load balancers may write.
        retention_days: objects are deleted after so many days.
        keep_on_destroy: leaves the bucket and its logs in the account when the stack goes.
    """

    account_id: pulumi.Input[str]
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
        # Tags of a bucket count in policies only with this. It goes with the bucket: who may delete by tag needs it.
        s3.BucketAbac(
            name,
            bucket=bucket.id,
            abac_status={"status": "Enabled"},
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
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
        policy = s3.BucketPolicy(name, bucket=bucket.id, policy=_policy(bucket.arn, args.account_id), opts=child)
        self.bucket_name = pulumi.Output.all(bucket.id, policy.id).apply(lambda ids: ids[0])
        self.register_outputs({"bucket_name": bucket.id})


def _policy(bucket_arn: pulumi.Output[str], account_id: pulumi.Input[str]) -> pulumi.Output[str]:
    """Log delivery puts the account of the load balancer into the name of the object, and names no other source
    (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html)."""
    objects = pulumi.Output.concat(bucket_arn, f"/{PREFIX}/AWSLogs/", account_id, "/*")
    return policies.document(
        policies.allow(["s3:PutObject"], [objects], sid="LogsOfOneAccount") | {"Principal": {"Service": LOG_DELIVERY}},
        policies.only_tls("s3:*", [bucket_arn, pulumi.Output.concat(bucket_arn, "/*")], {"AWS": "*"}),
    )
