"""Buckets of moto's server, which keeps those of all servers that this process had before."""

from __future__ import annotations

from typing import Any


def made_empty(s3: Any, bucket: str) -> None:
    """Makes it, or takes out what an earlier test left in it."""
    s3.create_bucket(Bucket=bucket)
    while left := s3.list_objects_v2(Bucket=bucket).get("Contents"):
        s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": one["Key"]} for one in left]})
