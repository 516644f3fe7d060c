"""Why an EKS cluster of somebody else's cannot hold a stack, by what EKS tells of it and by names in it that are taken.

A preview (infra/components/existing_cluster.py, infra/kubernetes/claim.py) and `tandem doctor` say it in these words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tandem.errors import Problem
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import MODEL_CACHE, NAMESPACE, OF_STACK, PRIORITY_CLASS
from tandem.tags import PROJECT, PROJECT_TAG

TAKEN = {"Namespace": NAMESPACE, "PriorityClass": PRIORITY_CLASS, "PersistentVolume": MODEL_CACHE}
"""What a cluster has once, and a stack takes."""
OLDER = 3
"""Minor versions that nodes may be behind the API server: https://kubernetes.io/releases/version-skew-policy/#kubelet"""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What EKS tells of a cluster.

    Attributes:
        version: of Kubernetes, major.minor.
        ip_family: of its pods, `ipv4` or `ipv6`.
        node_groups: their names.
    """

    name: str
    status: str
    version: str
    vpc_id: str
    ip_family: str
    tags: Mapping[str, str]
    node_groups: Iterable[str]


def own_groups(stack_name: str, groups: Iterable[str]) -> list[str]:
    """Those of a stack's own, as infra/components/node_group_name.py names them.

    Args:
        stack_name: `tandem-STACK`.
    """
    own = re.compile(rf"{re.escape(stack_name)}-gpu-[0-9a-f]+")
    return [group for group in groups if own.fullmatch(group)]


def behind(seen: Seen, pinned: str) -> int:
    """Minor versions that nodes of the pinned one are behind it."""
    newer, older = (int(version.partition(".")[2]) for version in (seen.version, pinned))
    return newer - older


def refusals(seen: Seen, stack_name: str, vpc_id: str, pinned: str) -> Iterator[Problem]:
    """Why the stack cannot be in it.

    Nodes that are there stay as they are when its owner upgrades it, and so does the stack.

    Args:
        stack_name: `tandem-STACK`.
        vpc_id: in which the stack stands.
        pinned: version of Kubernetes that node images are pinned for.
    """
    if seen.status not in ("ACTIVE", "UPDATING"):
        yield problem(f"is {seen.status}", seen.name, "a cluster that is ACTIVE", "wait, or ask its owner")
    if seen.tags.get(PROJECT_TAG) == PROJECT:
        yield problem(
            "is a cluster that a stack of tandem has made, and goes with that stack",
            seen.name,
            "a cluster of somebody else's",
            "serve the model as a further one of that stack (`models`), or name another cluster",
        )
    if vpc_id != seen.vpc_id:
        yield problem(
            f"is in {seen.vpc_id}, where network.existing.vpcId is {vpc_id}",
            seen.name,
            "a cluster in the stack's VPC",
            f"`pulumi config set --path tandem:network.existing.vpcId {seen.vpc_id}`, with its subnets",
        )
    most = OLDER if own_groups(stack_name, seen.node_groups) else 0
    if not 0 <= behind(seen, pinned) <= most:
        yield problem(
            f"runs Kubernetes {seen.version}, and node images are pinned for {pinned}: EKS refuses such nodes",
            seen.name,
            f"a cluster of {pinned}",
            f"`tandem pin --kubernetes --to {seen.version}`, or have its owner upgrade it",
        )
    if seen.ip_family != "ipv4":
        yield problem(
            f"gives its pods addresses of {seen.ip_family}, and load balancer and edges know pods by those of IPv4",
            seen.name,
            "a cluster whose pods have IPv4 addresses, which EKS decides when it makes one",
            "name another cluster",
        )


def problem(wrong: str, value: str | None, allowed: str, fix: str) -> Problem:
    """With the cluster of the settings."""
    return Problem(key="cluster.existing", wrong=wrong, value=value, allowed=allowed, fix=fix)


def absent(name: str, region: str, why: str) -> Problem:
    """With the cluster that the settings name, and AWS does not.

    Args:
        why: in AWS's words.
    """
    return problem(
        f"AWS does not tell of this cluster: {why}",
        name,
        f"a cluster that the account has in {region}",
        "`aws eks list-clusters`, and cluster.existing.name",
    )


def taken(kubectl: Kubectl, kind: str, name: str, stack: str) -> Problem | None:
    """What is said of a name that somebody other than the stack has.

    Raises:
        UserError: the cluster refuses, or does not answer.
    """
    said = kubectl.run("get", kind, name, "--ignore-not-found", "--output", "json")
    if not said.strip() or (owner := json.loads(said)["metadata"].get("labels", {}).get(OF_STACK)) == stack:
        return None
    return Problem(
        key=f"{kind} {name}",
        wrong=f"is in the cluster already, and is the stack {owner}'s" if owner else "is in the cluster already",
        value=owner or "not of a stack of tandem's",
        allowed="one stack in a cluster, and these names free",
        fix="another cluster in cluster.existing.name; nothing that is there is taken over or changed",
    )
