"""EKS: what a cluster, its nodes and its add-ons take."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Any

from pulumi_rehearsal.aws.checks.base import Check, Refusal
from pulumi_rehearsal.aws.lifecycle import Resource

NO_CLUSTERS = ("cac1-az3", "use1-az3", "usw1-az2")
"""Zones in which AWS makes no control plane, by their ids:
https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html ("Subnet requirements for clusters")."""

_CLUSTER, _NODE_GROUP = "aws:eks/cluster:Cluster", "aws:eks/nodeGroup:NodeGroup"
_ADDON, _INVALID = "aws:eks/addon:Addon", "InvalidParameterException"
ACCOUNTS = {"aws-efs-csi-driver": {"efs-csi-controller-sa"}}
"""The service accounts to which an add-on lends a role itself; of an add-on that is not named, all are believed."""
_RESERVED = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
_PUBLIC_ADDRESSES = "https://docs.aws.amazon.com/vpc/latest/userguide/vpc-ip-addressing.html#subnet-public-ip"


def _addon_accounts(addon: Resource) -> Iterator[Refusal]:
    name = addon.inputs["addonName"]
    for lent in addon.inputs.get("podIdentityAssociations") or []:
        if lent["serviceAccount"] not in ACCOUNTS.get(name, {lent["serviceAccount"]}):
            yield Refusal(
                f"Service account {lent['serviceAccount']} in pod identity configuration is not supported for addon "
                f"{name}",
                _INVALID,
                operation="EKS: CreateAddon",
            )


def _subnets(resource: Resource, ids: list[str]) -> list[dict[str, Any]]:
    return resource.region.call("ec2", "describe_subnets", SubnetIds=ids)["Subnets"]


def _cluster_zones(cluster: Resource) -> Iterator[Refusal]:
    subnets = _subnets(cluster, cluster.inputs["vpcConfig"]["subnetIds"])
    if len({subnet["AvailabilityZone"] for subnet in subnets}) < 2:
        yield Refusal("Subnets specified must be in at least two different AZs", _INVALID)
    for subnet in subnets:
        if subnet["AvailabilityZoneId"] in NO_CLUSTERS:
            yield Refusal(
                f"Cannot create cluster '{cluster.inputs['name']}' because {subnet['AvailabilityZone']}, the targeted "
                "availability zone, does not currently have sufficient capacity to support the cluster.",
                "UnsupportedAvailabilityZoneException",
            )


def _cluster_keeps_zones(cluster: Resource) -> Iterator[Refusal]:
    before, after = (
        {subnet["AvailabilityZone"] for subnet in _subnets(cluster, inputs["vpcConfig"]["subnetIds"])}
        for inputs in (cluster.old or cluster.inputs, cluster.inputs)
    )
    if before != after:
        yield Refusal(
            f"Provided subnets belong to the AZs '{','.join(sorted(after))}'. But they should belong to the exact set "
            f"of AZs '{','.join(sorted(before))}' in which subnets were provided during cluster creation.",
            _INVALID,
            operation="EKS: UpdateClusterConfig",
        )


def _endpoint_ranges(cluster: Resource) -> Iterator[Refusal]:
    """EKS names all that it was given. Source of what is reserved:
    https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html."""
    given = cluster.inputs["vpcConfig"].get("publicAccessCidrs") or []
    if any(IPv4Network(cidr).subnet_of(IPv4Network(reserved)) for cidr in given for reserved in _RESERVED):
        yield Refusal(f"The following CIDRs are invalid in publicAccessCidrs: [{','.join(given)}]", _INVALID)


def _minor(version: str) -> int:
    return int(version.split(".")[1].split("-")[0])


def _cluster_version(cluster: Resource) -> Iterator[Refusal]:
    before, after = cluster.old.get("version"), cluster.inputs.get("version")
    if before and after and _minor(after) - _minor(before) not in (0, 1):
        yield Refusal(
            f"Unsupported Kubernetes minor version update from {before} to {after}",
            _INVALID,
            operation="EKS: UpdateClusterVersion",
        )


def _release(group: Resource) -> Iterator[Refusal]:
    """A call without a version keeps the group's own, which is the cluster's of when it was made."""
    release, old = group.inputs.get("releaseVersion"), group.old
    before = old.get("version") or ".".join(old.get("releaseVersion", "").split(".")[:2])
    version = group.inputs.get("version") or before or _version_of(group)
    named = not group.inputs.get("amiType", "").startswith("BOTTLEROCKET")  # whose releases have versions of their own
    if named and release and release != old.get("releaseVersion") and _minor(release) != _minor(version):
        yield Refusal(
            f"Requested release version {release} is not valid for kubernetes version {version}.",
            _INVALID,
            operation=f"EKS: {'CreateNodegroup' if group.is_new else 'UpdateNodegroupVersion'}",
        )


def _node_counts(group: Resource) -> Iterator[Refusal]:
    for block in ("nodeRepairConfig", "updateConfig"):
        given = {name: value for name, value in (group.inputs.get(block) or {}).items() if name.startswith("max")}
        for name, value in given.items():
            other = f"{name.removesuffix('Count')}Percentage"
            if other in given:
                yield Refusal(f'"{block}.{name}": conflicts with {block}.{other}', property=block)
            if name.endswith("Percentage") and not 1 <= value <= 100:
                yield Refusal(f"expected {block}.{name} to be in the range (1 - 100), got {value}", property=block)
            elif value < 1:
                yield Refusal(f"expected {block}.{name} to be at least (1), got {value}", property=block)


def _version_of(group: Resource) -> str:
    return group.region.call("eks", "describe_cluster", name=group.inputs["clusterName"])["cluster"]["version"]


def _public_nodes(group: Resource) -> Iterator[Refusal]:
    for subnet in _subnets(group, group.inputs["subnetIds"]):
        if not subnet["MapPublicIpOnLaunch"] and _is_public(group, subnet):
            yield Refusal(
                f"One or more Amazon EC2 Subnets of [{subnet['SubnetId']}] for node group "
                f"{group.inputs['nodeGroupName']} does not automatically assign public IP addresses to instances "
                "launched into it. If you want your instances to be assigned a public IP address, then you need to "
                f"enable auto-assign public IP address for the subnet. See IP addressing in VPC guide: "
                f"{_PUBLIC_ADDRESSES}",
                "Ec2SubnetInvalidConfiguration",
            )


def _is_public(group: Resource, subnet: dict[str, Any]) -> bool:
    """Whether the subnet's table leads to an internet gateway."""
    filters = [{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
    tables = group.region.call("ec2", "describe_route_tables", Filters=filters)["RouteTables"]
    return any((route.get("GatewayId") or "").startswith("igw-") for table in tables for route in table["Routes"])


CHECKS = (
    Check(
        "accounts of an add-on",
        (_ADDON,),
        "An add-on lends a role to the service accounts that it names, and to no other.",
        "https://github.com/terraform-aws-modules/terraform-aws-eks/issues/3520",
        "apply",
        _addon_accounts,
    ),
    Check(
        "cluster zones",
        (_CLUSTER,),
        "A cluster has subnets in two zones or more, none of them a zone that EKS does not serve.",
        "https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html",
        "apply",
        _cluster_zones,
    ),
    Check(
        "cluster keeps its zones",
        (_CLUSTER,),
        "The subnets of a cluster change within the zones that it was made with, neither more nor fewer.",
        "https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html",
        "apply",
        _cluster_keeps_zones,
    ),
    Check(
        "endpoint ranges",
        (_CLUSTER,),
        "A public endpoint is asked from public addresses.",
        "https://github.com/aws/aws-cdk/issues/33176",
        "apply",
        _endpoint_ranges,
    ),
    Check(
        "cluster version",
        (_CLUSTER,),
        "A cluster goes to the next minor version of Kubernetes, and never back.",
        "https://docs.aws.amazon.com/eks/latest/userguide/update-cluster.html",
        "apply",
        _cluster_version,
    ),
    Check(
        "node release",
        (_NODE_GROUP,),
        "A release of the node image is of the node group's version of Kubernetes, which a change gives along.",
        "https://github.com/eksctl-io/eksctl/issues/7976",
        "apply",
        _release,
    ),
    Check(
        "counts of nodes",
        (_NODE_GROUP,),
        "How many nodes may be missing or be repaired at once is a number from 1, or a percentage up to 100, not both.",
        "https://github.com/hashicorp/terraform-provider-aws/pull/44894",
        "plan",
        _node_counts,
    ),
    Check(
        "nodes in public subnets",
        (_NODE_GROUP,),
        "A public subnet gives nodes an address, or they cannot join.",
        "https://github.com/aws/amazon-vpc-cni-k8s/pull/878",
        "apply",
        _public_nodes,
    ),
)
