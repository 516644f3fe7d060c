"""Rows: the cluster of platform `eks`, and what its node controller needs of AWS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tandem import type_tokens as types
from tandem.ops.aws import unless_gone
from tandem.ops.kinds.kind import Found, Item, ResourceType, Scope, listed, named, tag_map

KEY_RECOVERY_DAYS = 7
"""The shortest that KMS allows: a key that waits for its deletion costs nothing, and can be restored."""


def _cluster(eks: Any, arn: str) -> Item:
    return eks.describe_cluster(name=arn.rpartition("/")[2])["cluster"]


def _clusters(eks: Any, scope: Scope) -> Iterator[Item]:
    """A stack's also by its name, which the tagging API may not have heard of yet."""
    own = f"tandem-{scope.stack}"
    for cluster in named("eks:cluster", _cluster, _every_cluster)(eks, scope):
        yield cluster
        own = "" if cluster["name"] == own else own
    with unless_gone():
        if scope.stack and own:
            yield _cluster(eks, f"cluster/{own}")


def _every_cluster(eks: Any, _scope: Scope) -> Iterator[Item]:
    for name in eks.get_paginator("list_clusters").paginate().search("clusters"):
        yield _cluster(eks, name)


def cluster_named(eks: Any, name: str) -> Found:
    """Whoever's it is."""
    item = _cluster(eks, f"cluster/{name}")
    return Found(type=types.CLUSTER, id=name, arn=item["arn"], name=name, tags=item.get("tags", {}), facts=item)


def _node_groups(eks: Any, scope: Scope) -> Iterator[Item]:
    """Of one cluster; else of those that the tagging API names ours or groups of ours in, and of the stack's own."""
    named_ours = () if scope.parent or scope.exact else scope.tagged("eks:cluster", "eks:nodegroup")
    arns = [item["ResourceARN"] for item in named_ours] + [found.arn for found in scope.known]
    clusters = [arn.split("/")[1] for arn in arns]
    if scope.parent:
        clusters = [scope.parent_id]
    elif scope.exact:
        clusters = [*eks.get_paginator("list_clusters").paginate().search("clusters")]
    elif scope.stack:
        clusters.append(f"tandem-{scope.stack}")
    for cluster in dict.fromkeys(clusters):
        with unless_gone():
            for name in eks.get_paginator("list_nodegroups").paginate(clusterName=cluster).search("nodegroups"):
                yield eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]


def _queues(sqs: Any, _scope: Scope) -> Iterator[Item]:
    """By name first: each answers with its tags to a call of its own."""
    pages = sqs.get_paginator("list_queues").paginate(QueueNamePrefix="tandem-")
    for url in pages.search("QueueUrls || `[]`"):
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        yield {"Url": url, "Arn": arn, "Name": url.rpartition("/")[2]}


def _delete_rule(events: Any, rule: Found) -> None:
    targets = events.list_targets_by_rule(Rule=rule.id)["Targets"]
    if targets:
        events.remove_targets(Rule=rule.id, Ids=[target["Id"] for target in targets])
    events.delete_rule(Name=rule.id)


def _key(kms: Any, key: str) -> Item | None:
    """A key of the account's own that is not about to go."""
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    stays = described["KeyManager"] == "CUSTOMER" and described["KeyState"] != "PendingDeletion"
    return described if stays else None


def _keys(kms: Any, scope: Scope) -> Iterator[Item]:
    keys = listed("list_keys", "Keys", page_size=1000)(kms, scope)
    return (described for key in keys if (described := _key(kms, key["KeyId"])))


def _key_tags(kms: Any, item: Item) -> dict[str, str]:
    return {tag["TagKey"]: tag["TagValue"] for tag in kms.list_resource_tags(KeyId=item["KeyId"])["Tags"]}


ROWS = (
    ResourceType(
        type=types.CLUSTER,
        service="eks",
        tagging_type="eks:cluster",
        listing=_clusters,
        id="name",
        arn="arn",
        name="name",
        created="createdAt",
        tags=lambda _eks, item: item.get("tags", {}),
        after=(types.NODE_GROUP,),
        delete=lambda eks, cluster: eks.delete_cluster(name=cluster.id),
    ),
    ResourceType(
        type=types.NODE_GROUP,
        service="eks",
        tagging_type="eks:nodegroup",
        listing=_node_groups,
        id="join(':', [clusterName, nodegroupName])",
        arn="nodegroupArn",
        name="nodegroupName",
        created="createdAt",
        tags=lambda _eks, item: item.get("tags", {}),
        delete=lambda eks, group: eks.delete_nodegroup(
            clusterName=group.facts["clusterName"], nodegroupName=group.facts["nodegroupName"]
        ),
    ),
    ResourceType(
        type=types.QUEUE,
        service="sqs",
        tagging_type="sqs:queue",
        listing=_queues,
        id="Url",
        name="Name",
        tags=lambda sqs, item: sqs.list_queue_tags(QueueUrl=item["Url"]).get("Tags", {}),
        delete=lambda sqs, queue: sqs.delete_queue(QueueUrl=queue.id),
    ),
    ResourceType(
        type=types.EVENT_RULE,
        service="events",
        tagging_type="events:rule",
        listing=listed("list_rules", "Rules", lambda _scope: {"NamePrefix": "tandem-"}),
        id="Name",
        name="Name",
        tags=lambda events, item: tag_map(events.list_tags_for_resource(ResourceARN=item["Arn"])["Tags"]),
        delete=_delete_rule,
    ),
    ResourceType(
        type=types.KEY,
        service="kms",
        tagging_type="kms:key",
        listing=named("kms:key", _key, _keys),
        id="KeyId",
        name="Description",
        created="CreationDate",
        tags=_key_tags,
        after=(types.CLUSTER,),
        delete=lambda kms, key: kms.schedule_key_deletion(KeyId=key.id, PendingWindowInDays=KEY_RECOVERY_DAYS),
    ),
)
