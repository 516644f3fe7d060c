"""An EKS cluster of somebody's, made before any stack, and all that EKS says of clusters."""

from __future__ import annotations

import json
from typing import Any

from tandem import pins
from tests.others_network import OthersNetwork

NAME = "platform"
LENT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "pods.eks.amazonaws.com"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
            }
        ],
    }
)
PARTS = {
    "list_addons": ("addons", "describe_addon", "addonName"),
    "list_nodegroups": ("nodegroups", "describe_nodegroup", "nodegroupName"),
    "list_access_entries": ("accessEntries", "describe_access_entry", "principalArn"),
}


def others_cluster(clients: Any, network: OthersNetwork, name: str = NAME, **more: Any) -> None:
    """With nodes and an add-on of its owner's, and the group that EKS makes for it."""
    eks, subnets = clients("eks"), [*network.private.values()]
    role = clients("iam").create_role(RoleName=f"theirs-{name}", AssumeRolePolicyDocument=LENT)["Role"]["Arn"]
    given = {"version": pins.load().kubernetes.version} | more
    eks.create_cluster(name=name, roleArn=role, resourcesVpcConfig={"subnetIds": subnets}, **given)
    group = {"GroupName": f"eks-cluster-sg-{name}", "Description": "EKS", "VpcId": network.vpc}
    clients("ec2").create_security_group(**group)
    eks.create_addon(clusterName=name, addonName="eks-pod-identity-agent")
    eks.create_nodegroup(
        clusterName=name,
        nodegroupName="theirs",
        nodeRole=role,
        subnets=subnets,
        instanceTypes=["m7i.large"],
        scalingConfig={"minSize": 1, "desiredSize": 1, "maxSize": 1},
    )
    associated = {"namespace": "theirs", "serviceAccount": "theirs", "roleArn": role}
    eks.create_pod_identity_association(clusterName=name, **associated)


def clusters(eks: Any) -> dict[str, Any]:
    """Every cluster with all that EKS knows of what is in it."""
    return {name: _of(eks, name) for name in eks.list_clusters()["clusters"]}


def _of(eks: Any, name: str) -> list[Any]:
    found = [eks.describe_cluster(name=name)["cluster"]]
    for listed, (items, described, key) in PARTS.items():
        for one in getattr(eks, listed)(clusterName=name)[items]:
            answer = getattr(eks, described)(clusterName=name, **{key: one})
            found.append({part: value for part, value in answer.items() if part != "ResponseMetadata"})
    return [*found, *eks.list_pod_identity_associations(clusterName=name)["associations"]]
