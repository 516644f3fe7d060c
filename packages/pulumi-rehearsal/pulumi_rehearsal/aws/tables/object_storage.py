"""S3 buckets and their settings."""

from __future__ import annotations

import base64

from pulumi_rehearsal.aws.lifecycle import Resource
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Tags, Text, change


def _empty_if_forced(bucket: Resource) -> None:
    """`forceDestroy` deletes all objects, with all their versions, before the bucket."""
    if not bucket.inputs.get("forceDestroy"):
        return
    client = bucket.region.client("s3")
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket.id):
        versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
        if objects:
            bucket.region.call("s3", "delete_objects", Bucket=bucket.id, Delete={"Objects": objects, "Quiet": True})


_ELSEWHERE = "(region != 'us-east-1' || `null`)"
_WHERE = f"LocationConstraint: {_ELSEWHERE} && region"
_BUCKET_TAGS = Call("put_bucket_tagging", "{Bucket: id, Tagging: {TagSet: pairs(every_tag)}}")
"""All of them, at each change: there is no call for single tags."""

BUCKET = ResourceType(
    type="aws:s3/bucket:Bucket",
    service="s3",
    create=Call(
        "create_bucket",
        f"{{Bucket: inputs.bucket, CreateBucketConfiguration: {_ELSEWHERE} && {{{_WHERE}}}}}",
    ),
    id="inputs.bucket",
    read=Call("head_bucket", "{Bucket: id}", at="{Bucket: id}"),
    delete=(_empty_if_forced, Call("delete_bucket", "{Bucket: id}")),
    tags=Tags(
        add=_BUCKET_TAGS,
        remove=_BUCKET_TAGS,
        read=Call("get_bucket_tagging", "{Bucket: id}", at="TagSet"),
        born=f"{{CreateBucketConfiguration: {{{_WHERE}, Tags: pairs(tags)}}}}",
    ),
    autoname=AutoName("bucket", limit=63, lower=True),
    outputs={
        "arn": Text("arn:{partition}:s3:::{id}"),
        "bucketDomainName": Text("{id}.s3.amazonaws.com"),
        "bucketRegion": "region",
        "bucketRegionalDomainName": Text("{id}.s3.{region}.amazonaws.com"),
    },
    provider_only=("bucketPrefix", "forceDestroy"),
    import_id="{bucket: id}",
)


def _put(object: Resource) -> None:
    """Its content comes as base64; no expression says bytes."""
    object.region.call(
        "s3",
        "put_object",
        Bucket=object.inputs["bucket"],
        Key=object.inputs["key"],
        Body=base64.b64decode(object.inputs["contentBase64"]),
        ContentType=object.inputs["contentType"],
    )


_OBJECT = "Bucket: inputs.bucket, Key: inputs.key"
_OBJECT_TAGS = Call("put_object_tagging", f"{{{_OBJECT}, Tagging: {{TagSet: pairs(every_tag)}}}}")
"""All of them, at each change: there is no call for single tags."""

OBJECT = ResourceType(
    type="aws:s3/bucketObjectv2:BucketObjectv2",
    service="s3",
    create=_put,
    id="join('/', [inputs.bucket, inputs.key])",
    read=Call("head_object", f"{{{_OBJECT}}}"),
    delete=Call("delete_object", f"{{{_OBJECT}}}"),
    changes=(change("contentBase64", "contentType", by=_put, on_create=False),),
    takes=("bucket", "key", "contentBase64", "contentType"),
    tags=Tags(
        add=_OBJECT_TAGS,
        remove=_OBJECT_TAGS,
        read=Call("get_object_tagging", f"{{{_OBJECT}}}", at="TagSet"),
    ),
    replaces=("bucket", "key"),
    provider_only=("overrideProvider",),
)


def _setting(
    name: str, put: Call, get: Call, delete: Call | tuple[Call, ...], names: dict[str, str] | None = None
) -> ResourceType:
    """A setting of a bucket: put, put again, and taken away."""
    return ResourceType(
        type=f"aws:s3/{name[0].lower()}{name[1:]}:{name}",
        service="s3",
        create=put,
        update=put,
        id="inputs.bucket",
        read=get,
        delete=delete,
        names=names or {},
        replaces=("bucket",),
        import_id="{bucket: id}",
    )


BUCKET_POLICY = _setting(
    "BucketPolicy",
    put=Call("put_bucket_policy", fill=True),
    get=Call("get_bucket_policy", "{Bucket: id}"),
    delete=Call("delete_bucket_policy", "{Bucket: id}"),
)

PUBLIC_ACCESS_BLOCK = _setting(
    "BucketPublicAccessBlock",
    put=Call("put_public_access_block", "{Bucket: inputs.bucket}", fill=True, within="PublicAccessBlockConfiguration"),
    get=Call("get_public_access_block", "{Bucket: id}", at="PublicAccessBlockConfiguration"),
    delete=Call("delete_public_access_block", "{Bucket: id}"),
)

ENCRYPTION = _setting(
    "BucketServerSideEncryptionConfiguration",
    put=Call("put_bucket_encryption", "{Bucket: inputs.bucket}", fill=True, within="ServerSideEncryptionConfiguration"),
    get=Call("get_bucket_encryption", "{Bucket: id}", at="ServerSideEncryptionConfiguration"),
    delete=Call("delete_bucket_encryption", "{Bucket: id}"),
)

LIFECYCLE = _setting(
    "BucketLifecycleConfiguration",
    put=Call(
        "put_bucket_lifecycle_configuration", "{Bucket: inputs.bucket}", fill=True, within="LifecycleConfiguration"
    ),
    get=Call("get_bucket_lifecycle_configuration", "{Bucket: id}"),
    delete=Call("delete_bucket_lifecycle", "{Bucket: id}"),
)

OWNERSHIP = _setting(
    "BucketOwnershipControls",
    put=Call(
        "put_bucket_ownership_controls",
        "{Bucket: inputs.bucket, OwnershipControls: {Rules: [{ObjectOwnership: inputs.rule.objectOwnership}]}}",
    ),
    get=Call("get_bucket_ownership_controls", "{Bucket: id}", at="{rule: OwnershipControls.Rules[0]}"),
    delete=Call("delete_bucket_ownership_controls", "{Bucket: id}"),
)

VERSIONING = _setting(
    "BucketVersioning",
    put=Call("put_bucket_versioning", fill=True),
    get=Call("get_bucket_versioning", "{Bucket: id}", at="{VersioningConfiguration: {Status: Status}}"),
    # versioning can be suspended, not removed
    delete=Call("put_bucket_versioning", "{Bucket: id, VersioningConfiguration: {Status: 'Suspended'}}"),
)

ABAC = ResourceType(
    type="aws:s3/bucketAbac:BucketAbac",
    service="s3",
    create=Call("head_bucket", "{Bucket: inputs.bucket}"),
    id="inputs.bucket",
    recorded=("abacStatus",),
    in_moto=False,
)

ROWS = (ABAC, BUCKET, OBJECT, BUCKET_POLICY, PUBLIC_ACCESS_BLOCK, ENCRYPTION, LIFECYCLE, OWNERSHIP, VERSIONING)
