"""Rows: the cluster of platform eks, its key, and the queue that Karpenter reads."""

from __future__ import annotations

from tandem.ops.rights.right import DEPLOYER, REAPER, By, Right

_PARTS = (
    "access-entry/tandem-{stack}/* addon/tandem-{stack}/* cluster/tandem-{stack} nodegroup/tandem-{stack}/* "
    "podidentityassociation/tandem-{stack}/*"
)
_IN_OTHERS = "nodegroup/*/tandem-{stack}-gpu-*/* podidentityassociation/*/*"
"""Parts of a stack in a cluster of somebody else's."""
_NAMED = "tandem-{stack}-*"

ROWS = (
    Right(
        sid="MakeClusters",
        service="eks",
        actions="CreateCluster",
        on="*",
        by=By.REQUEST,
        platform="eks",
        why="the cluster does not exist yet",
    ),
    Right(
        sid="TagClusters",
        service="eks",
        actions="TagResource",
        on=f"{_PARTS} {_IN_OTHERS}",
        by=By.REQUEST,
        platform="eks",
        why="tags are given with the call that creates; the names are tandem's",
    ),
    Right(
        sid="JoinClusters",
        service="eks",
        actions="CreateNodegroup CreatePodIdentityAssociation",
        on="cluster/*",
        by=By.REQUEST,
        platform="eks",
        why="`cluster.existing` is a cluster of others, without tandem's tags; what is made in it carries them",
    ),
    Right(
        sid="ChangeClusters",
        service="eks",
        actions="AssociateAccessPolicy CreateAccessEntry CreateAddon CreateNodegroup CreatePodIdentityAssociation "
        "DeleteAccessEntry DeleteAddon DeletePodIdentityAssociation DisassociateAccessPolicy TagResource UntagResource "
        "UpdateAccessEntry UpdateAddon UpdateClusterConfig UpdateClusterVersion UpdateNodegroupConfig "
        "UpdateNodegroupVersion UpdatePodIdentityAssociation",
        on=f"{_PARTS} {_IN_OTHERS}",
        by=By.TAG,
        platform="eks",
        why="nodes, add-ons and access of one's own",
    ),
    Right(
        sid="RemoveClusters",
        service="eks",
        actions="DeleteCluster DeleteNodegroup",
        on="cluster/tandem-{stack} nodegroup/tandem-{stack}/* nodegroup/*/tandem-{stack}-gpu-*/*",
        by=By.TAG,
        platform="eks",
        why="with what runs on it",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="MakeKeys",
        service="kms",
        actions="CreateKey",
        on="*",
        by=By.REQUEST,
        platform="eks",
        why="the key does not exist yet",
    ),
    Right(
        sid="TagKeys",
        service="kms",
        actions="TagResource",
        on="key/*",
        by=By.REQUEST,
        platform="eks",
        why="tags come with the key; KMS cannot tell a first tag from a later one, but a key's own policy counts too",
    ),
    Right(
        sid="ChangeKeys",
        service="kms",
        actions="EnableKeyRotation TagResource UntagResource UpdateKeyDescription",
        on="key/*",
        by=By.TAG,
        platform="eks",
        why="the key of the secrets in etcd",
    ),
    Right(
        sid="LendKeys",
        service="kms",
        actions="CreateGrant",
        on="key/*",
        by=By.TAG,
        platform="eks",
        when={"Bool": {"kms:GrantIsForAWSResource": "true"}},
        why="to EKS, and through AWS services alone",
    ),
    Right(
        sid="RemoveKeys",
        service="kms",
        actions="ScheduleKeyDeletion",
        on="key/*",
        by=By.TAG,
        platform="eks",
        why="a key can be kept from going for a week",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="MakeQueues",
        service="sqs",
        actions="CreateQueue TagQueue",
        on=_NAMED,
        by=By.REQUEST,
        platform="eks",
        why="each carries tandem's tags from the start, and a name of tandem's",
    ),
    Right(
        sid="ChangeQueues",
        service="sqs",
        actions="SetQueueAttributes TagQueue UntagQueue",
        on=_NAMED,
        by=By.TAG,
        platform="eks",
        why="who may send",
    ),
    Right(
        sid="RemoveQueues",
        service="sqs",
        actions="DeleteQueue",
        on=_NAMED,
        by=By.TAG,
        platform="eks",
        why="its messages are minutes old",
        who=(DEPLOYER, REAPER),
    ),
    Right(
        sid="MakeEventRules",
        service="events",
        actions="PutRule TagResource",
        on=f"rule/{_NAMED}",
        by=By.REQUEST,
        platform="eks",
        why="each carries tandem's tags from the start, and a name of tandem's",
    ),
    Right(
        sid="ChangeEventRules",
        service="events",
        actions="PutTargets TagResource UntagResource",
        on=f"rule/{_NAMED}",
        by=By.TAG,
        platform="eks",
        why="to the queue",
    ),
    Right(
        sid="RemoveEventRules",
        service="events",
        actions="DeleteRule RemoveTargets",
        on=f"rule/{_NAMED}",
        by=By.TAG,
        platform="eks",
        why="EC2's notices then reach nobody",
        who=(DEPLOYER, REAPER),
    ),
)
