"""Whether a cluster that is there can hold the stack: what EKS and the cluster itself tell of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tandem.errors import UserError
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import MODEL_CACHE, NAMESPACE, OF_STACK, PRIORITY_CLASS
from tandem.ops.aws import is_gone
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, from_problem, or_fine
from tandem.ops.kinds.kubernetes import cluster_named
from tandem.ops.rollout.cluster import kubectl_of
from tandem.settings import Settings
from tandem.tags import PROJECT, PROJECT_TAG

TAKEN = {"Namespace": NAMESPACE, "PriorityClass": PRIORITY_CLASS, "PersistentVolume": MODEL_CACHE}
"""What a cluster has once, and a stack takes: infra/kubernetes/claim.py asks for the same before it makes them."""
ADD_ON = "`aws eks create-addon --cluster-name {cluster} --addon-name {name}`, by its owner"
CHART = "its owner installs the chart {name} (docs/operations.md, in your own cluster)"


@dataclass(frozen=True)
class Part:
    """What must run in the cluster, whoever has installed it.

    Attributes:
        kind, name: of an object that tells that it does; of a DaemonSet, what its name has in it.
        served: version of the definition that the stack's objects have; empty where it is no definition.
        purpose: why without it there are no servers.
        fix: of its absence.
    """

    kind: str
    name: str
    purpose: str
    fix: str
    chart: str
    served: str = ""


PARTS = (
    Part("DaemonSet", "eks-pod-identity-agent", "pods have no role of AWS's", ADD_ON, "eks-pod-identity-agent"),
    Part("CSIDriver", "efs.csi.aws.com", "pods cannot mount the model cache", ADD_ON, "aws-efs-csi-driver"),
    Part(
        "CustomResourceDefinition",
        "targetgroupbindings.elbv2.k8s.aws",
        "nobody leads the load balancer to pods",
        CHART,
        "aws-load-balancer-controller",
        "v1beta1",
    ),
    Part("CustomResourceDefinition", "scaledobjects.keda.sh", "no replica follows the load", CHART, "keda", "v1alpha1"),
    Part(
        "CustomResourceDefinition",
        "leaderworkersets.leaderworkerset.x-k8s.io",
        "nothing holds a pipeline together",
        CHART,
        "lws",
        "v1",
    ),
    Part("DaemonSet", "nvidia-device-plugin", "GPUs are not told to Kubernetes", CHART, "nvidia-device-plugin"),
)


def existing_cluster_fits(examination: Examination) -> Iterator[Finding]:
    """The cluster of `cluster.existing`; nothing of it is changed."""
    there = examination.settings.cluster.existing
    if there is None:
        return
    yield from or_fine(_complaints(examination, there.name), "the cluster that is there holds the stack", there.name)


def _complaints(examination: Examination, name: str) -> Iterator[Finding]:
    eks, settings = examination.clients("eks"), examination.settings
    try:
        cluster = cluster_named(eks, name)
    except eks.exceptions.ClientError as refused:
        if not is_gone(refused):
            raise
        what = f"the account has no EKS cluster {name} in {examination.region}"
        yield error(what, name, "a cluster there", "`aws eks list-clusters`, and cluster.existing.name")
        return
    yield from _by_eks(examination, cluster.facts, cluster.tags)
    try:
        with ExitStack() as up:
            kubectl = kubectl_of(cluster.facts, examination.region, up)
            yield from _missing(kubectl, settings, name)
            yield from _names(kubectl, examination.stack)
    except UserError as refused:
        for problem in refused.problems:
            yield from_problem(problem, "unknown")


def _by_eks(examination: Examination, facts: Mapping[str, Any], tags: Mapping[str, str]) -> Iterator[Finding]:
    """As infra/components/existing_cluster.py refuses it."""
    name, pinned = facts["name"], examination.pins.kubernetes.version
    if facts["status"] not in ("ACTIVE", "UPDATING"):
        yield error(f"the cluster {name} is not there for anybody yet, or any more", facts["status"], "ACTIVE", "wait")
    if tags.get(PROJECT_TAG) == PROJECT:
        fix = "serve the model as a further one of that stack (`models`), or name another cluster"
        yield error(f"the cluster {name} is of a stack of tandem's, and goes with it", name, "somebody else's", fix)
    network = examination.settings.network.existing
    vpc = facts["resourcesVpcConfig"].get("vpcId", "")
    if network and vpc != network.vpc_id:
        what = f"the cluster {name} is not in the stack's VPC"
        yield error(what, vpc, network.vpc_id, f"network.existing.vpcId {vpc}, and subnets of it")
    if facts["version"] != pinned:
        what = f"the cluster {name} has another Kubernetes than node images are pinned for, and EKS refuses such nodes"
        fix = f"`tandem pin --kubernetes --to {facts['version']}`, or have its owner upgrade it"
        yield error(what, facts["version"], pinned, fix)


def _missing(kubectl: Kubectl, settings: Settings, cluster: str) -> Iterator[Finding]:
    unneeded = {"lws": not settings.has_pipelines, "nvidia-device-plugin": settings.node_pool.image == "bottlerocket"}
    kinds = {part.kind for part in PARTS}
    found = kubectl.read(",".join(sorted(kinds)), "--all-namespaces")
    for part in PARTS:
        if unneeded.get(part.chart):
            continue
        there = [one for one in found if one["kind"] == part.kind and _is(part, one["metadata"]["name"])]
        fix = part.fix.format(cluster=cluster, name=part.chart)
        if not there:
            what = f"{part.chart} is not in the cluster {cluster}: without it {part.purpose}"
            yield error(what, f"no {part.kind} {part.name}", part.chart, fix)
        elif part.served:
            served = [one["name"] for one in there[0]["spec"]["versions"] if one["served"]]
            if part.served not in served:
                what = f"{part.chart} in the cluster {cluster} is of a version that does not know the stack's objects"
                yield error(what, ", ".join(served), f"{part.name} {part.served}", f"another version of it: {fix}")


def _is(part: Part, name: str) -> bool:
    return part.name in name if part.kind == "DaemonSet" else part.name == name


def _names(kubectl: Kubectl, stack: str) -> Iterator[Finding]:
    for kind, name in TAKEN.items():
        said = kubectl.run("get", kind, name, "--ignore-not-found", "--output", "json")
        if not said.strip():
            continue
        owner = json.loads(said)["metadata"].get("labels", {}).get(OF_STACK)
        if owner != stack:
            whose = f"the stack {owner}" if owner else "somebody else"
            what = f"the cluster has a {kind} {name} already, of {whose}"
            fix = "another cluster in cluster.existing.name; nothing that is there is taken over"
            yield error(what, name, "one stack in a cluster, and this name free", fix)
