"""The object that hosts fetch what they run from: who may, how long it is there, and by which address."""

from __future__ import annotations

import base64
import functools
import hashlib
import json

from infra.components.host_scripts import HostScripts
from tandem.scripts import host_archive
from tests.infra.declared import Declared, declared

NGINX = "# nginx\n"
ADDRESSES: list[str] = []


@functools.cache
def scripts() -> Declared:
    return declared(lambda: HostScripts("tandem-dev", "host-role", NGINX).url.apply(ADDRESSES.append))


def test_child_types_exactly() -> None:
    assert scripts().counts() == {
        "tandem:index:HostScripts": 1,
        "aws:s3/bucket:Bucket": 1,
        "aws:s3/bucketAbac:BucketAbac": 1,
        "aws:s3/bucketObjectv2:BucketObjectv2": 1,
        "aws:s3/bucketPolicy:BucketPolicy": 1,
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": 1,
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
    }


def test_the_object_is_named_by_its_hash() -> None:
    found = scripts().one("BucketObjectv2")
    content = base64.b64decode(found["contentBase64"])
    assert found["key"] == f"{hashlib.sha256(content).hexdigest()}.tar.bz2"
    assert content == host_archive(NGINX)[1]


def test_an_object_carries_none_of_the_settings_tags() -> None:
    """Which may be forty, where an object takes ten."""
    assert scripts().one("BucketObjectv2")["overrideProvider"] == {"defaultTags": {"tags": {}}}


def test_all_versions_go_with_the_bucket_and_not_before() -> None:
    assert scripts().one("Bucket")["forceDestroy"] is True
    assert scripts().retained() == {"BucketAbac", "BucketObjectv2"}


def test_hosts_read_what_is_in_the_bucket_and_no_more() -> None:
    grant = scripts().one("RolePolicy")
    assert grant["role"] == "host-role"
    (statement,) = json.loads(grant["policy"])["Statement"]
    assert (statement["Action"], statement["Resource"]) == (
        ["s3:GetObject"],
        ["arn:aws:mock:us-east-1:123456789012:Bucket/tandem-dev-host-scripts/*"],
    )


def test_nobody_comes_without_tls_or_from_outside() -> None:
    block = scripts().one("BucketPublicAccessBlock")
    assert [value for key, value in block.items() if key != "bucket"] == [True] * 4
    (deny,) = json.loads(scripts().one("BucketPolicy")["policy"])["Statement"]
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_address_is_the_buckets_own_in_its_region() -> None:
    """As AWS gives it: in China with another domain."""
    assert scripts()
    assert [f"https://bucket.s3.us-east-1.amazonaws.com/{host_archive(NGINX)[0]}"] == ADDRESSES
