"""What the buckets of a stack have in common: private, encrypted, by TLS only, and removed with all that is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pulumi
from pulumi_aws import s3

from .. import policies


def private_bucket(
    name: str,
    parent: pulumi.Resource,
    *,
    kept_days: int | None = None,
    keep_on_destroy: bool = False,
    allowed: Callable[[pulumi.Output[str]], Sequence[dict[str, Any]]] | None = None,
) -> tuple[s3.Bucket, s3.BucketPolicy]:
    """A bucket with its settings, as children of a component.

    Args:
        kept_days: objects are deleted after so many; None keeps them.
        keep_on_destroy: leaves it, its objects and what protects them in the account when the stack goes.
        allowed: statements of its policy, from its ARN, beside the one that denies whoever comes without TLS.

    Returns:
        The bucket and its policy.
    """
    child = pulumi.ResourceOptions(parent=parent, retain_on_delete=keep_on_destroy)
    bucket = s3.Bucket(name, force_destroy=not keep_on_destroy, opts=child)
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
        opts=pulumi.ResourceOptions(parent=parent, retain_on_delete=True),
    )
    # S3's own key: log delivery takes no other.
    s3.BucketServerSideEncryptionConfiguration(
        name,
        bucket=bucket.id,
        rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
        opts=child,
    )
    if kept_days is not None:
        s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                {
                    "id": "expire",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "expiration": {"days": kept_days},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            opts=child,
        )
    everything = [bucket.arn, pulumi.Output.concat(bucket.arn, "/*")]
    policy = policies.document(
        *(allowed(bucket.arn) if allowed else ()), policies.only_tls("s3:*", everything, {"AWS": "*"})
    )
    return bucket, s3.BucketPolicy(name, bucket=bucket.id, policy=policy, opts=child)
