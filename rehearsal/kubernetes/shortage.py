"""What happens when there are no more GPUs to be had: batch work asks for more than the stack may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pulumi_rehearsal.kubernetes.api import Api, ApiError, Object
from pulumi_rehearsal.kubernetes.nodes import GPU, INSTANCE_TYPE, gpus_of
from pulumi_rehearsal.kubernetes.watch import seconds_until
from rehearsal.kubernetes.disruption import end_nodes, of_karpenter, servers, unscheduled
from tandem.catalog.instances import INSTANCE_TYPES

NAMESPACE = "rehearsal-batch"
"""Of the batch work; gone with it."""

SECONDS = 45
MOST_BEYOND = 4
"""Pods beyond the limits that are asked for before it counts that none waits."""

POOL = "karpenter.sh/nodepool"
WORK = "tandem.rehearsal/work"
"""Label that tells batch pods from the urgent one."""


@dataclass
class Shortage:
    """What became of more batch work than there are GPUs for.

    Attributes:
        limits: GPUs that each pool of Karpenter may have.
        gpus: GPUs that each had while pods waited for more.
        largest: GPUs of the largest node.
        waiting: pods that were on no node, each with what scheduler and Karpenter said about it.
        over_quota: the API server's words on a pod beyond a ResourceQuota; None when it took the pod.
        displaced: servers that had to go for batch work.
        preempted: batch pods that had to go for a pod with the servers' priority.
        runs: whether that pod got its GPUs; None when no batch pod had any.
    """

    limits: dict[str, int]
    gpus: dict[str, int] = field(default_factory=dict)
    largest: int = 0
    waiting: dict[str, list[str]] = field(default_factory=dict)
    over_quota: str | None = None
    displaced: list[str] = field(default_factory=list)
    preempted: list[str] = field(default_factory=list)
    runs: bool | None = None


def run_out_of_gpus(api: Api) -> Shortage:
    """Takes all GPUs that there may be for batch work, asks for one pod more, and takes all back.

    Pods as large as the largest node come first, then such as the smallest for what is left, then one by one until one
    waits. Karpenter calls its limits eventually consistent: 1.12 was seen to go beyond one by a node.
    """
    before, nodes, pools = servers(api), api.list("v1", "Node"), of_karpenter(api, "NodePool")
    shortage = Shortage({pool["metadata"]["name"]: int(pool["spec"]["limits"][GPU]) for pool in pools})
    sizes = [*filter(None, map(_gpus, nodes)), *(gpus for pool in pools for gpus in _gpus_of_types(pool))]
    smallest, largest = min(sizes), max(sizes)
    more = [limit - sum(map(_gpus, _of_pool(api, name))) for name, limit in shortage.limits.items()]
    free = _free(nodes, before)
    large = _pods("batch-large", largest, sum(gpus // largest for gpus in [*free, *more]))
    small = _pods("batch-small", smallest, sum(gpus % largest // smallest for gpus in [*free, *more]))
    more_pods = _pods("batch-more", smallest, MOST_BEYOND)
    shortage.largest = largest
    with _namespace(api):
        for pods in (large, small):
            for pod in pods:
                api.create(pod)
            seconds_until(lambda: all(map(_node, _batch(api))), SECONDS)
        for pod in more_pods:
            api.create(pod)
            seconds_until(lambda: all(_is_settled(api, pod, shortage) for pod in _batch(api)), SECONDS)
            if not all(map(_node, _batch(api))):
                break
        shortage.waiting = {pod["metadata"]["name"]: _said(api, pod) for pod in _batch(api) if not _node(pod)}
        shortage.gpus = {name: sum(map(_gpus, _of_pool(api, name))) for name in shortage.limits}
        _preempt(api, smallest, before[0]["spec"].get("priorityClassName"), shortage)
        shortage.over_quota = _over_quota(api, _pod("over-quota", smallest))
        left = {pod["metadata"]["uid"] for pod in servers(api)}
        shortage.displaced = [pod["metadata"]["name"] for pod in before if pod["metadata"]["uid"] not in left]
    names = {node["metadata"]["name"] for node in nodes}
    end_nodes(api, [node for node in api.list("v1", "Node") if node["metadata"]["name"] not in names])
    seconds_until(lambda: api.get("v1", "Namespace", NAMESPACE) is None, SECONDS)
    return shortage


def _free(nodes: list[Object], pods: list[Object]) -> list[int]:
    """GPUs of each node that no pod has."""
    free = Counter({node["metadata"]["name"]: _gpus(node) for node in nodes})
    free.subtract({node: gpus for node, gpus in _taken(pods).items() if node in free})
    return list(free.values())


def _taken(pods: list[Object]) -> Counter[str]:
    """GPUs that pods have, by node."""
    taken: Counter[str] = Counter()
    for pod in pods:
        taken[_node(pod) or ""] += gpus_of(pod)
    return taken


def _preempt(api: Api, gpus: int, priority_class: str | None, shortage: Shortage) -> None:
    """A pod with the servers' priority finds all GPUs taken."""
    ran = {pod["metadata"]["name"] for pod in _batch(api) if _node(pod)}
    if not ran:
        return
    api.create(_pod("urgent", gpus, priority_class))
    shortage.runs = seconds_until(lambda: any(map(_node, _batch(api, "urgent"))), SECONDS) is not None
    shortage.preempted = sorted(ran - {pod["metadata"]["name"] for pod in _batch(api)})


@contextmanager
def _namespace(api: Api) -> Iterator[None]:
    made = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    seconds_until(lambda: api.get("v1", "ServiceAccount", "default", NAMESPACE) is not None, SECONDS)
    try:
        yield
    finally:
        for pod in _batch(api) + _batch(api, "urgent"):
            api.delete(pod)
        api.delete(made)


def _pods(name: str, gpus: int, number: int) -> list[Object]:
    return [_pod(f"{name}-{index}", gpus) for index in range(number)]


def _pod(name: str, gpus: int, priority_class: str | None = None) -> Object:
    container = {"name": "work", "image": "batch:1", "resources": {"limits": {GPU: str(gpus)}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {WORK: name.partition("-")[0]}},
        "spec": {
            "tolerations": [{"key": GPU, "operator": "Exists"}],
            "containers": [container],
            **({"priorityClassName": priority_class} if priority_class else {}),
        },
    }


def _quota(gpus: int) -> Object:
    spec = {"hard": {f"requests.{GPU}": str(gpus)}}
    metadata = {"name": "gpus", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec}


def _over_quota(api: Api, pod: Object) -> str | None:
    """What the API server says to one pod more than a ResourceQuota allows, once it counts that."""
    api.create(_quota(sum(map(gpus_of, api.list("v1", "Pod", NAMESPACE)))))
    refusal: str | None = None

    def names_the_quota() -> bool:
        nonlocal refusal
        refusal = _refusal(api, pod)
        return refusal is not None and "exceeded quota" in refusal

    seconds_until(names_the_quota, SECONDS)
    return refusal


def _refusal(api: Api, pod: Object) -> str | None:
    try:
        api.create(pod, dryRun="All")
    except ApiError as error:
        return str(error)
    return None


def _is_settled(api: Api, pod: Object, shortage: Shortage) -> bool:
    """Whether a pod has its node, or Karpenter, where there is one, has said that it gets none."""
    said = _said(api, pod)
    return bool(_node(pod)) or (names_limits(said) if shortage.limits else bool(said))


def names_limits(said: list[str]) -> bool:
    """Whether Karpenter says that its pools have as many GPUs as they may."""
    return any("exceed limits for nodepool" in words for words in said)


def _said(api: Api, pod: Object) -> list[str]:
    about = f"involvedObject.uid={pod['metadata']['uid']}"
    events = api.list("v1", "Event", NAMESPACE, fieldSelector=about)
    return [*unscheduled(pod), *(event["message"] for event in events if event["type"] == "Warning")]


def _batch(api: Api, work: str = "batch") -> list[Object]:
    """The pods of the work that are not about to go."""
    pods = api.list("v1", "Pod", NAMESPACE, labelSelector=f"{WORK}={work}")
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _node(pod: Object) -> str | None:
    return pod["spec"].get("nodeName")


def _of_pool(api: Api, pool: str) -> list[Object]:
    return api.list("v1", "Node", labelSelector=f"{POOL}={pool}")


def _gpus(node: Object) -> int:
    return int(node["status"].get("allocatable", {}).get(GPU, 0))


def _gpus_of_types(pool: Object) -> list[int]:
    """GPUs of the instance types that a pool names."""
    requirements = pool["spec"]["template"]["spec"]["requirements"]
    return [INSTANCE_TYPES[name].gpus for one in requirements if one["key"] == INSTANCE_TYPE for name in one["values"]]
