"""Whether a cluster that is there can hold the stack: what EKS and the cluster itself tell of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tandem.errors import UserError
from tandem.kubernetes.existing import TAKEN, Seen, absent, behind, refusals, taken
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import GPU
from tandem.ops.aws import is_gone
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, from_problem, or_fine, warning
from tandem.ops.kinds.kubernetes import cluster_named
from tandem.ops.rollout.cluster import kubectl_of
from tandem.ports import SERVING_PORT
from tandem.settings import Settings

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

ON_NODES = ("eks-pod-identity-agent", "efs-csi-node", "nvidia-device-plugin")
"""DaemonSets, by a part of their names."""
ENFORCES = "--enable-network-policy=true"
"""Argument of Amazon's plugin."""
ENFORCERS = ("calico-node", "cilium", "antrea-agent")
"""DaemonSets of those that enforce network policies beside Amazon's plugin, by a part of their names."""
ELSEWHERE = [{"name": "AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG", "value": value} for value in ("true", "1", "t")]
"""Of Amazon's plugin: https://docs.aws.amazon.com/eks/latest/userguide/cni-custom-network.html"""


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
        yield from_problem(absent(name, examination.region, refused.response["Error"]["Message"]))
        return
    yield from _by_eks(examination, cluster.facts)
    try:
        with ExitStack() as up:
            kubectl = kubectl_of(cluster.facts, examination.region, up)
            found = kubectl.read(",".join(sorted({part.kind for part in PARTS})), "--all-namespaces")
            yield from _missing(found, settings, name)
            daemons = [one for one in found if one["kind"] == "DaemonSet"]
            yield from _on_nodes(daemons, name)
            yield from _network_plugin(daemons, name)
            yield from _names(kubectl, examination.stack)
    except UserError as refused:
        for problem in refused.problems:
            yield from_problem(problem, "unknown")


def _by_eks(examination: Examination, facts: Mapping[str, Any]) -> Iterator[Finding]:
    name, pinned, network = facts["name"], examination.pins.kubernetes.version, examination.settings.network.existing
    pages = examination.clients("eks").get_paginator("list_nodegroups").paginate(clusterName=name)
    seen = Seen(
        name=name,
        status=facts["status"],
        version=facts["version"],
        vpc_id=facts["resourcesVpcConfig"].get("vpcId", ""),
        ip_family=facts.get("kubernetesNetworkConfig", {}).get("ipFamily", "ipv4"),
        tags=facts.get("tags", {}),
        node_groups=[*pages.search("nodegroups")],
    )
    problems = [*refusals(seen, f"tandem-{examination.stack}", network.vpc_id if network else "", pinned)]
    yield from map(from_problem, problems)
    if not problems and behind(seen, pinned):
        what = (
            f"the owner of the cluster {name} has upgraded it: nodes stay as they are, and EKS makes no further group"
        )
        fix = f"`tandem pin --kubernetes --to {seen.version}`, then `pulumi up`"
        yield warning(what, value=seen.version, needed=pinned, fix=fix)


def _missing(found: Sequence[Mapping[str, Any]], settings: Settings, cluster: str) -> Iterator[Finding]:
    unneeded = {"lws": not settings.has_pipelines, "nvidia-device-plugin": settings.node_pool.image == "bottlerocket"}
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


def _on_nodes(daemons: Sequence[Mapping[str, Any]], cluster: str) -> Iterator[Finding]:
    """What runs on each node, and must on the stack's."""
    for name in ON_NODES:
        named = [one["spec"]["template"]["spec"].get("tolerations", []) for one in daemons if name in _name(one)]
        if named and not any(_tolerates(one) for tolerations in named for one in tolerations):
            yield error(
                f"{name} in the cluster {cluster} does not tolerate the taint of GPU nodes: it would not run there",
                json.dumps(named[0]),
                f'{{"key": "{GPU}", "operator": "Exists"}}, or {{"operator": "Exists"}}',
                f"its owner adds it to the tolerations of the DaemonSet {name}",
            )


def _network_plugin(daemons: Sequence[Mapping[str, Any]], cluster: str) -> Iterator[Finding]:
    """Whether it does what policies say, and leaves pods in their nodes' security groups."""
    containers = [one for daemon in daemons for one in daemon["spec"]["template"]["spec"]["containers"]]
    by_amazons = any(ENFORCES in one.get("args", []) for one in containers)
    if not by_amazons and not any(plugin in _name(one) for one in daemons for plugin in ENFORCERS):
        yield warning(
            f"nothing in the cluster {cluster} seems to enforce network policies: pods of others reach metrics "
            "without a key, and edges by the way between them, past the limits of their clients",
            value=f"no {ENFORCES}, {', '.join(ENFORCERS)}",
            needed="a network plugin that does",
            fix=f"its owner: `aws eks update-addon --cluster-name {cluster} --addon-name vpc-cni "
            """--configuration-values '{"enableNetworkPolicy": "true"}'`""",
        )
    if any(one in container.get("env", []) for container in containers for one in ELSEWHERE):
        yield warning(
            f"pods of the cluster {cluster} have the security groups of its ENIConfigs, and not those of their "
            "nodes, which let the load balancer in",
            value=f"{ELSEWHERE[0]['name']} on",
            needed=f"TCP {SERVING_PORT} from the load balancer's security group, once it is there",
            fix="its owner adds this to the security groups of its ENIConfigs",
        )


def _name(found: Mapping[str, Any]) -> str:
    return found["metadata"]["name"]


def _tolerates(toleration: Mapping[str, str]) -> bool:
    """The taint that infra/components/node_pool.py gives to nodes."""
    key, effect = toleration.get("key", GPU), toleration.get("effect", "NoSchedule")
    value = "true" if toleration.get("operator") == "Exists" else toleration.get("value")
    return (key, value, effect) == (GPU, "true", "NoSchedule")


def _names(kubectl: Kubectl, stack: str) -> Iterator[Finding]:
    problems = (taken(kubectl, kind, name, stack) for kind, name in TAKEN.items())
    yield from map(from_problem, filter(None, problems))
