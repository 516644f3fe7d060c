"""Rows: file systems, buckets and secrets."""

from __future__ import annotations

from tandem.ops.rights.right import DEPLOYER, KEYKEEPER, REAPER, By, Right
from tandem.tags import ISSUED_KEYS

_BUCKETS = "{stack}-access-logs-* tandem-{stack}-batch-* tandem-{stack}-host-scripts-*"
_ALL_BUCKETS = "*-access-logs-* tandem-*-batch-* tandem-*-host-scripts-*"
_NAMED = "tandem-{stack}-*"


ROWS = (
    Right(
        sid="MakeFileSystems",
        service="elasticfilesystem",
        actions="CreateFileSystem",
        on="*",
        by=By.REQUEST,
        why="the file system does not exist yet",
    ),
    Right(
        sid="TagFileSystemsWithCreation",
        service="elasticfilesystem",
        actions="TagResource",
        on="access-point/* file-system/*",
        by=By.REQUEST,
        when={"StringEquals": {"elasticfilesystem:CreateAction": ["CreateAccessPoint", "CreateFileSystem"]}},
        why="tags are given with the call that creates",
    ),
    Right(
        sid="ChangeFileSystems",
        service="elasticfilesystem",
        actions="CreateAccessPoint CreateMountTarget DeleteFileSystemPolicy ModifyMountTargetSecurityGroups "
        "PutFileSystemPolicy PutLifecycleConfiguration TagResource UntagResource UpdateFileSystem",
        on="access-point/* file-system/*",
        by=By.TAG,
        why="mount targets, policy and throughput of one's own",
    ),
    Right(
        sid="RemoveFileSystems",
        service="elasticfilesystem",
        actions="DeleteAccessPoint DeleteFileSystem DeleteMountTarget",
        on="access-point/* file-system/*",
        by=By.TAG,
        why="a stack that is not ephemeral keeps its cache in any case",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="MakeBuckets",
        service="s3",
        actions="CreateBucket",
        on=_BUCKETS,
        by=By.REQUEST,
        why="each carries tandem's tags from the start, and a name that tandem gives",
    ),
    Right(
        sid="ChangeBuckets",
        service="s3",
        actions="DeleteBucketPolicy PutBucketAbac PutBucketPolicy PutBucketPublicAccessBlock PutBucketTagging "
        "PutEncryptionConfiguration PutLifecycleConfiguration TagResource UntagResource",
        on=_BUCKETS,
        by=By.NAME,
        why="tags count on a bucket only after PutBucketAbac, so names bind what comes before it",
    ),
    Right(
        sid="PutScripts",
        service="s3",
        actions="GetObject GetObjectTagging PutObject PutObjectTagging",
        on="tandem-{stack}-host-scripts-*/*",
        by=By.NAME,
        why="what hosts run, and what the provider compares at each refresh",
    ),
    Right(
        sid="WorkWithBatches",
        service="s3",
        actions="DeleteObject GetObject PutObject",
        on="tandem-{stack}-batch-*/*",
        by=By.NAME,
        why="`tandem batch`: requests in, answers out, and the mark that one is cancelled, which is removed to go on",
    ),
    Right(
        sid="RemoveBuckets",
        service="s3",
        actions="DeleteBucket ListBucketVersions",
        on=_ALL_BUCKETS,
        by=By.TAG,
        why="tags count: each bucket of tandem's has PutBucketAbac, and on others this allows nothing",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="EmptyBuckets",
        service="s3",
        actions="DeleteObject DeleteObjectVersion",
        on=" ".join(f"{bucket}/*" for bucket in _ALL_BUCKETS.split()),
        by=By.BUCKET_TAG,
        why="the same; a bucket goes when it is empty",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="MakeSecrets",
        service="secretsmanager",
        actions="CreateSecret TagResource",
        on=f"secret:{_NAMED}",
        by=By.REQUEST,
        why="each carries tandem's tags from the start, and a name of tandem's",
    ),
    Right(
        sid="ChangeSecrets",
        service="secretsmanager",
        actions="GetSecretValue PutSecretValue TagResource UntagResource UpdateSecret UpdateSecretVersionStage",
        on=f"secret:{_NAMED}",
        by=By.TAG,
        why="who deploys wrote them, and compares them at each refresh",
    ),
    Right(
        sid="WriteClients",
        service="secretsmanager",
        actions="PutSecretValue UpdateSecretVersionStage",
        on=f"secret:tandem-{{stack}}-{ISSUED_KEYS}-*",
        by=By.TAG,
        why="`tandem keys` writes digests, in the place of the version that it read",
        who=(KEYKEEPER,),
    ),
    Right(
        sid="RemoveSecrets",
        service="secretsmanager",
        actions="DeleteSecret",
        on=f"secret:{_NAMED}",
        by=By.TAG,
        why="a deleted secret can be restored for a week",
        who=(DEPLOYER, REAPER),
    ),
)
