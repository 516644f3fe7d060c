"""Rows: the cluster of platform eks, its key, and the queue that Karpenter reads."""

from __future__ import annotations

from tandem.ops.rights.right import FIRST, REMOVERS, alike, by_request, by_tag

_PARTS = (
    "access-entry/tandem-{stack}/* addon/tandem-{stack}/* cluster/tandem-{stack} nodegroup/tandem-{stack}/* "
    "podidentityassociation/tandem-{stack}/*"
)
_IN_OTHERS = "nodegroup/*/tandem-{stack}-gpu-*/* podidentityassociation/*/*"
"""Parts of a stack in a cluster of somebody else's."""
_NAMED = "tandem-{stack}-*"

ROWS = alike(
    by_request("MakeClusters", "eks: CreateCluster", "*", "the cluster does not exist yet"),
    by_request(
        "TagClusters",
        "eks: TagResource",
        f"{_PARTS} {_IN_OTHERS}",
        "tags are given with the call that creates; the names are tandem's",
    ),
    by_request(
        "JoinClusters",
        "eks: CreateNodegroup CreatePodIdentityAssociation",
        "cluster/*",
        "`cluster.existing` is a cluster of others, without tandem's tags; what is made in it carries them",
    ),
    by_tag(
        "ChangeClusters",
        "eks: AssociateAccessPolicy CreateAccessEntry CreateAddon CreateNodegroup CreatePodIdentityAssociation "
        "DeleteAccessEntry DeleteAddon DeletePodIdentityAssociation DisassociateAccessPolicy TagResource UntagResource "
        "UpdateAccessEntry UpdateAddon UpdateClusterConfig UpdateClusterVersion UpdateNodegroupConfig "
        "UpdateNodegroupVersion UpdatePodIdentityAssociation",
        f"{_PARTS} {_IN_OTHERS}",
        "nodes, add-ons and access of one's own",
    ),
    by_tag(
        "RemoveClusters",
        "eks: DeleteCluster DeleteNodegroup",
        "cluster/tandem-{stack} nodegroup/tandem-{stack}/* nodegroup/*/tandem-{stack}-gpu-*/*",
        "with what runs on it",
        who=REMOVERS,
    ),
    by_request("MakeKeys", "kms: CreateKey", "*", "the key does not exist yet"),
    by_request(
        "TagKeys",
        "kms: TagResource",
        "key/*",
        "tags come with the key; KMS cannot tell a first tag from a later one, but a key's own policy counts too",
    ),
    by_tag(
        "ChangeKeys",
        "kms: EnableKeyRotation TagResource UntagResource UpdateKeyDescription",
        "key/*",
        "the key of the secrets in etcd",
    ),
    by_tag(
        "LendKeys",
        "kms: CreateGrant",
        "key/*",
        "to EKS, and through AWS services alone",
        when={"Bool": {"kms:GrantIsForAWSResource": "true"}},
    ),
    by_tag("RemoveKeys", "kms: ScheduleKeyDeletion", "key/*", "a key can be kept from going for a week", who=REMOVERS),
    by_request("MakeQueues", "sqs: CreateQueue TagQueue", _NAMED, FIRST),
    by_tag("ChangeQueues", "sqs: SetQueueAttributes TagQueue UntagQueue", _NAMED, "who may send"),
    by_tag("RemoveQueues", "sqs: DeleteQueue", _NAMED, "its messages are minutes old", who=REMOVERS),
    by_request("MakeEventRules", "events: PutRule TagResource", f"rule/{_NAMED}", FIRST),
    by_tag("ChangeEventRules", "events: PutTargets TagResource UntagResource", f"rule/{_NAMED}", "to the queue"),
    by_tag(
        "RemoveEventRules",
        "events: DeleteRule RemoveTargets",
        f"rule/{_NAMED}",
        "EC2's notices then reach nobody",
        who=REMOVERS,
    ),
    platform="eks",
)
