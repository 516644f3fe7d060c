"""Rows: file systems, buckets and secrets."""

from __future__ import annotations

from tandem.ops.rights.right import FIRST, KEYKEEPER, REMOVERS, By, Right, by_name, by_request, by_tag
from tandem.tags import ISSUED_KEYS

_BUCKETS = "{stack}-access-logs-* tandem-{stack}-batch-* tandem-{stack}-host-scripts-*"
_ALL_BUCKETS = "*-access-logs-* tandem-*-batch-* tandem-*-host-scripts-*"
_NAMED = "tandem-{stack}-*"


ROWS = (
    by_request("MakeFileSystems", "elasticfilesystem: CreateFileSystem", "*", "the file system does not exist yet"),
    by_request(
        "TagFileSystemsWithCreation",
        "elasticfilesystem: TagResource",
        "access-point/* file-system/*",
        "tags are given with the call that creates",
        when={"StringEquals": {"elasticfilesystem:CreateAction": ["CreateAccessPoint", "CreateFileSystem"]}},
    ),
    by_tag(
        "ChangeFileSystems",
        "elasticfilesystem: CreateAccessPoint CreateMountTarget DeleteFileSystemPolicy ModifyMountTargetSecurityGroups "
        "PutFileSystemPolicy PutLifecycleConfiguration TagResource UntagResource UpdateFileSystem",
        "access-point/* file-system/*",
        "mount targets, policy and throughput of one's own",
    ),
    by_tag(
        "RemoveFileSystems",
        "elasticfilesystem: DeleteAccessPoint DeleteFileSystem DeleteMountTarget",
        "access-point/* file-system/*",
        "a stack that is not ephemeral keeps its cache in any case",
        who=REMOVERS,
    ),
    by_request(
        "MakeBuckets",
        "s3: CreateBucket",
        _BUCKETS,
        "each carries tandem's tags from the start, and a name that tandem gives",
    ),
    by_name(
        "ChangeBuckets",
        "s3: DeleteBucketPolicy PutBucketAbac PutBucketPolicy PutBucketPublicAccessBlock PutBucketTagging "
        "PutEncryptionConfiguration PutLifecycleConfiguration TagResource UntagResource",
        _BUCKETS,
        "tags count on a bucket only after PutBucketAbac, so names bind what comes before it",
    ),
    by_name(
        "PutScripts",
        "s3: GetObject GetObjectTagging PutObject PutObjectTagging",
        "tandem-{stack}-host-scripts-*/*",
        "what hosts run, and what the provider compares at each refresh",
    ),
    by_name(
        "WorkWithBatches",
        "s3: DeleteObject GetObject PutObject",
        "tandem-{stack}-batch-*/*",
        "`tandem batch`: requests in, answers out, and the mark that one is cancelled, which is removed to go on",
    ),
    by_tag(
        "RemoveBuckets",
        "s3: DeleteBucket ListBucketVersions",
        _ALL_BUCKETS,
        "tags count: each bucket of tandem's has PutBucketAbac, and on others this allows nothing",
        who=REMOVERS,
    ),
    Right(
        By.BUCKET_TAG,
        "EmptyBuckets",
        "s3: DeleteObject DeleteObjectVersion",
        " ".join(f"{bucket}/*" for bucket in _ALL_BUCKETS.split()),
        "the same; a bucket goes when it is empty",
        who=REMOVERS,
    ),
    by_request("MakeSecrets", "secretsmanager: CreateSecret TagResource", f"secret:{_NAMED}", FIRST),
    by_tag(
        "ChangeSecrets",
        "secretsmanager: GetSecretValue PutSecretValue TagResource UntagResource UpdateSecret UpdateSecretVersionStage",
        f"secret:{_NAMED}",
        "who deploys wrote them, and compares them at each refresh",
    ),
    by_tag(
        "WriteClients",
        "secretsmanager: PutSecretValue UpdateSecretVersionStage",
        f"secret:tandem-{{stack}}-{ISSUED_KEYS}-*",
        "`tandem keys` writes digests, in the place of the version that it read",
        who=(KEYKEEPER,),
    ),
    by_tag(
        "RemoveSecrets",
        "secretsmanager: DeleteSecret",
        f"secret:{_NAMED}",
        "a deleted secret can be restored for a week",
        who=REMOVERS,
    ),
)
