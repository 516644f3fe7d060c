"""What AWS and a cluster's own parts leave in the account without our tags, and how it is told that it is ours.

Each listing names what nothing uses any more, and whose it was for certain: by the network of ours in which it is, by
a name that only our cluster had, or, in a network of others, by that name and a security group of ours beside it. A
cluster, a node or a stack that is there keeps what it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from tandem import type_tokens as types
from tandem.ops.aws import AwsError, is_gone
from tandem.ops.kinds.kind import LEFT_BY, Clients, Found, Item, Scope, listed, tag_map
from tandem.tags import PROJECT, PROJECT_TAG, STACK_TAG

PLUGIN_NODE_TAG, PLUGIN_CLUSTER_TAG = "node.k8s.amazonaws.com/instance_id", "cluster.k8s.amazonaws.com/name"
PLUGIN_DESCRIPTION = "aws-K8S-"
"""Of the interfaces that the VPC CNI makes for pods; the second tag where it knows the cluster's name, as EKS's add-on
does.
https://github.com/aws/amazon-vpc-cni-k8s/blob/master/README.md ("ENI tags related to Allocation")"""
OWN = ""
CLUSTER_PREFIX = "tandem-"
CONTROL_PLANE_LOG = ("/aws/eks/", "/cluster")
"""Before and after the cluster's name: https://docs.aws.amazon.com/eks/latest/userguide/control-plane-logs.html"""


def cluster_name(stack: str) -> str:
    """What the program calls a stack's cluster."""
    return f"{CLUSTER_PREFIX}{stack}"


def interfaces(ec2: Any, scope: Scope) -> Iterator[Item]:
    """Of pods, in networks where we are, attached to nothing, whose node is gone.

    The plugin removes them itself while it lives. A node that ends with its cluster leaves them, and neither their
    subnet nor their security group can then be deleted.
    """
    vpcs = networks(ec2, scope)
    found = [one for one in _inside(ec2, "describe_network_interfaces", "NetworkInterfaces", vpcs) if _is_pods(one)]
    nodes = {tag_map(one["TagSet"])[PLUGIN_NODE_TAG] for one in found}
    alive = _alive(ec2, nodes) if nodes else set()
    for one in found:
        tags = tag_map(one["TagSet"])
        node, network = tags[PLUGIN_NODE_TAG], vpcs[one["VpcId"]].get(tags.get(PLUGIN_CLUSTER_TAG, OWN))
        if network and node not in alive:
            yield _as_the_networks(
                one, "TagSet", network, f"left by the cluster's network plugin on {node}, which is gone"
            )


def security_groups(ec2: Any, scope: Scope) -> Iterator[Item]:
    """That EKS made for a cluster of ours and could not delete with it, as an interface still had it."""
    vpcs = networks(ec2, scope)
    for one in _inside(ec2, "describe_security_groups", "SecurityGroups", vpcs):
        tags, name = tag_map(one.get("Tags")), one["GroupName"]
        for cluster, network in vpcs[one["VpcId"]].items():
            made = tags.get(f"kubernetes.io/cluster/{cluster}") == "owned"
            if made and name.startswith(f"eks-cluster-sg-{cluster}-") and not _is_there(scope.clients, cluster):
                yield _as_the_networks(one, "Tags", network, f"left by EKS with the cluster {cluster}, which is gone")


def log_groups(clients: Clients, stack: str | None) -> Iterator[Found]:
    """That EKS wrote anew after they were deleted with their cluster: no tag, no retention, no cluster of that name.

    Hosts and flow logs cannot: their roles may write into the group that is there, and make none. Whether a life of the
    stack holds the name, whoever removes one has to ask.

    Raises:
        botocore's errors.
    """
    before, after = CONTROL_PLANE_LOG
    logs, prefix = clients("logs"), f"{before}{cluster_name(stack or '')}"
    for item in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix).search("logGroups[]"):
        name = item["logGroupName"]
        cluster = name.removeprefix(before).removesuffix(after)
        of_stack = cluster.removeprefix(CLUSTER_PREFIX)
        if name != f"{before}{cluster}{after}" or "/" in cluster or (stack or of_stack) != of_stack:
            continue
        if (
            item.get("retentionInDays")
            or logs.list_tags_for_resource(resourceArn=item["arn"].removesuffix(":*"))["tags"]
        ):
            continue  # somebody's
        if not _is_there(clients, cluster):
            left_by = f"written anew by EKS after the end of the cluster {cluster}"
            facts = {**item, LEFT_BY: left_by}
            tags = {PROJECT_TAG: PROJECT, STACK_TAG: of_stack}
            yield Found(type=types.LOG_GROUP, id=name, arn=item["arn"], name=name, tags=tags, facts=facts)


def networks(ec2: Any, scope: Scope) -> dict[str, dict[str, dict[str, str]]]:
    """Ids of networks of ours, and of others' in which we have security groups; to names of our clusters there, and
    tags that say whose. In a network of ours there is one, and OWN is the same."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for operation, items in (("describe_security_groups", "SecurityGroups"), ("describe_vpcs", "Vpcs")):
        for one in listed(operation, items, lambda scope: {"Filters": scope.tag_filters})(ec2, scope):
            if scope.holds(tags := tag_map(one.get("Tags"))):
                clusters = found.setdefault(one["VpcId"], {})
                clusters[cluster_name(tags.get(STACK_TAG, ""))] = tags
                if operation == "describe_vpcs":
                    clusters[OWN] = tags
    return found


def _inside(ec2: Any, operation: str, items: str, vpcs: Collection[str]) -> Iterator[Item]:
    if vpcs:
        filters = {"Filters": [{"Name": "vpc-id", "Values": sorted(vpcs)}]}
        yield from ec2.get_paginator(operation).paginate(**filters).search(f"{items}[]")


def _is_pods(interface: Item) -> bool:
    return (
        interface["Status"] == "available"
        and interface.get("Description", "").startswith(PLUGIN_DESCRIPTION)
        and PLUGIN_NODE_TAG in tag_map(interface.get("TagSet"))
    )


def _alive(ec2: Any, nodes: set[str]) -> set[str]:
    """Those of these instances that may still come for their interfaces."""
    filters = [{"Name": "instance-id", "Values": sorted(nodes)}]
    pages = ec2.get_paginator("describe_instances").paginate(Filters=filters)
    found = pages.search("Reservations[].Instances[?State.Name!='terminated'][].InstanceId")
    return {*found}


def _is_there(clients: Clients, cluster: str) -> bool:
    try:
        clients("eks").describe_cluster(name=cluster)
    except AwsError as error:
        if is_gone(error):
            return False
        raise
    return True


def _as_the_networks(item: Item, key: str, network: dict[str, str], left_by: str) -> dict[str, Any]:
    """It belongs to whom its network does: the network's tags of ours are put beside its own."""
    ours = {name: value for name, value in network.items() if name.startswith(f"{PROJECT}:")}
    tags = tag_map(item.get(key)) | ours
    return {**item, key: [{"Key": name, "Value": value} for name, value in tags.items()], LEFT_BY: left_by}
