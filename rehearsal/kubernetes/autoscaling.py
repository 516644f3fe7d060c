"""The closed loop: load rises, replicas rise, pods that wait bring nodes; load falls, and all goes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.keda import hastened
from pulumi_rehearsal.kubernetes.played_servers import PlayedServers
from pulumi_rehearsal.kubernetes.watch import seconds_until
from rehearsal.kubernetes.disruption import of_karpenter

RISE_SECONDS = 90
"""For KEDA's, the autoscaler's and Karpenter's own intervals, which are seconds here, and a minute more."""

FALL_SECONDS = 180
"""Replicas go one by one, after the cooldown, and then empty nodes: 40 s for four replicas on two quiet cores."""

EMPTY_FOR = "5s"
"""In place of the minutes that a node may be empty. Karpenter looks again 15 s later, which no setting changes."""

MORE_THAN_ENOUGH = 100
"""Times the threshold of one replica: as many replicas as there may be."""


@dataclass
class Answer:
    """How a model answered to load.

    Attributes:
        name: of its Deployment or LeaderWorkerSet.
        least, most: replicas that it may have.
        rise, fall: numbers of replicas in the order in which they came, while load was high, and after.
        nodes: before, at most, and after.
        rise_seconds: until all replicas were ready on their nodes; None when they never were.
        fall_seconds: until replicas and nodes were back; None when they never were.
    """

    name: str
    least: int
    most: int
    rise: list[int] = field(default_factory=list)
    fall: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    rise_seconds: float | None = None
    fall_seconds: float | None = None


def try_load(api: Api, servers: PlayedServers, scaled: Object) -> Answer:
    """Puts load on the model of a ScaledObject until all its replicas are there, and takes it away again.

    Args:
        servers: answer for its pods.
        scaled: its first trigger tells the load of one replica.
    """
    spec, namespace = scaled["spec"], scaled["metadata"]["namespace"]
    target = spec["scaleTargetRef"]
    name = target["name"]
    answer = Answer(name, max(1, spec.get("minReplicaCount", 0)), spec["maxReplicaCount"], nodes=[gpu_nodes(api)])

    def look(seen: list[int]) -> tuple[int, int]:
        live = api.get(target["apiVersion"], target["kind"], name, namespace) or {"spec": {}}
        replicas = live["spec"].get("replicas", 0)
        if not seen or seen[-1] != replicas:
            seen.append(replicas)
        return replicas, live.get("status", {}).get("readyReplicas", 0)

    def all_there() -> bool:
        return look(answer.rise) == (answer.most, answer.most)

    def all_back() -> bool:
        # the replicas that remain may well be on a node each, where two shared one before
        nodes = max(answer.nodes[0], answer.least)
        return look(answer.fall) == (answer.least, answer.least) and gpu_nodes(api) <= nodes

    threshold = float(spec["triggers"][0]["metadata"]["threshold"])
    with changed(api, scaled, hastened(scaled)), empty_nodes_go_soon(api):
        servers.waiting[name] = threshold * answer.most * MORE_THAN_ENOUGH
        answer.rise_seconds = seconds_until(all_there, RISE_SECONDS)
        answer.nodes.append(gpu_nodes(api))
        servers.waiting[name] = 0
        answer.fall_seconds = seconds_until(all_back, FALL_SECONDS)
        answer.nodes.append(gpu_nodes(api))
    return answer


@contextmanager
def empty_nodes_go_soon(api: Api, after: str = EMPTY_FOR) -> Iterator[None]:
    """In each pool whose empty nodes go at all."""
    with ExitStack() as changes:
        for pool in of_karpenter(api, "NodePool"):
            if pool["spec"].get("disruption", {}).get("consolidateAfter", "Never") != "Never":
                changes.enter_context(changed(api, pool, {"spec": {"disruption": {"consolidateAfter": after}}}))
        yield


@contextmanager
def changed(api: Api, object: Object, change: Object) -> Iterator[None]:
    """An object with a merge patch, which is taken back after the block."""
    api.patch(object, change)
    try:
        yield
    finally:
        api.patch(object, before(object, change))


def before(object: Object, change: Object) -> Object:
    """The patch that undoes a patch."""
    return {
        key: before(object.get(key) or {}, value) if isinstance(value, dict) else object.get(key)
        for key, value in change.items()
    }


def gpu_nodes(api: Api) -> int:
    """How many nodes Karpenter has made that are not about to go."""
    nodes = api.list("v1", "Node", labelSelector="karpenter.sh/nodepool")
    return sum("deletionTimestamp" not in node["metadata"] for node in nodes)
