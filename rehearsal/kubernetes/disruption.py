"""What takes servers away although nothing is wrong with them: a node that is drained, a zone that is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pulumi_rehearsal.kubernetes.api import Api, ApiError, Object
from pulumi_rehearsal.kubernetes.network_policy import selects
from pulumi_rehearsal.kubernetes.nodes import ZONE, gpus_of
from pulumi_rehearsal.kubernetes.watch import lowest_available, seconds_until
from tandem.kubernetes.names import GROUP

BACK_SECONDS = 60
TOO_MANY_REQUESTS, NOT_FOUND = 429, 404
CLAIMED = "karpenter.sh/nodepool"

OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
"""Says that a node's machine is off, so that its pods go at once and without a grace:
https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown"""


@dataclass
class Drain:
    """How servers left a node, by evictions.

    Attributes:
        node: that was drained.
        refusals: of evictions beyond a budget, in the API server's words.
        beyond: servers whose eviction was allowed all the same.
        lowest: available replicas when there were fewest, by name of the Deployment.
        left: servers that are still on the node.
        seconds: until all replicas were ready elsewhere; None when they never were.
    """

    node: str
    refusals: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    lowest: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    seconds: float | None = None


@dataclass
class ZoneLoss:
    """How a stack took the loss of a zone.

    Attributes:
        zone: that was lost.
        servers: that were in it, by name of their Deployment.
        lowest: available replicas when there were fewest, by name of the Deployment.
        left: servers that run in the zone all the same.
        waiting: why servers are on no node, in the scheduler's words.
        seconds: until all replicas were ready in other zones; None when they never were.
    """

    zone: str
    servers: Counter[str]
    lowest: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    seconds: float | None = None


def drain(api: Api) -> Drain:
    """Drains the node that has most servers, as `kubectl drain` does, and gives it back."""
    seconds_until(lambda: _have_counted(api), BACK_SECONDS)
    [(name, _)] = Counter(pod["spec"].get("nodeName", "") for pod in servers(api)).most_common(1)
    found = Drain(name)

    def left() -> list[Object]:
        return [pod for pod in servers(api) if pod["spec"].get("nodeName") == name]

    def away_and_back() -> bool:
        for pod in left():
            evict(api, pod)
        return not left() and all_back(api)

    with lowest_available(api) as found.lowest, _cordoned(api, [name]):
        _evict_at_once(api, found)
        found.seconds = seconds_until(away_and_back, BACK_SECONDS)
        found.left = [pod["metadata"]["name"] for pod in left()]
    return found


def lose_zone(api: Api, join: Callable[[], None]) -> ZoneLoss:
    """Takes away the nodes of the zone that has most servers, while Karpenter cannot start others there.

    Args:
        join: lets nodes of node groups come back. They come back where they were, so after the servers, unless these
            have no other nodes to come.
    """
    [(zone, _)] = Counter(zone for zone, _ in _by_zone(api)).most_common(1)
    lost = api.list("v1", "Node", labelSelector=f"{ZONE}={zone}")  # a zone in which any node is left counts for spread

    def left() -> list[Object]:
        return [pod for place, pod in _by_zone(api) if place == zone]

    loss = ZoneLoss(zone, Counter(map(_deployment, left())))

    with _closed_to_karpenter(api, zone), lowest_available(api) as loss.lowest:
        for node in lost:
            api.patch(node, {"spec": {"taints": [*(node["spec"].get("taints") or []), OUT_OF_SERVICE]}})
        seconds_until(lambda: not left(), BACK_SECONDS)
        end_nodes(api, lost)
        loss.left = [pod["metadata"]["name"] for pod in left()]
        if not of_karpenter(api, "NodePool"):
            join()
        loss.seconds = seconds_until(lambda: all_back(api), BACK_SECONDS)
        loss.waiting = [reason for pod in servers(api) for reason in unscheduled(pod)]
    join()
    return loss


def servers(api: Api) -> list[Object]:
    """Pods with GPUs that are not about to go."""
    pods = api.list("v1", "Pod")
    return [pod for pod in pods if gpus_of(pod) and "deletionTimestamp" not in pod["metadata"]]


def deployments(api: Api) -> list[Object]:
    """Deployments of servers, not those of controllers."""
    return [one for one in api.list("apps/v1", "Deployment") if gpus_of(one["spec"]["template"])]


def all_back(api: Api) -> bool:
    """Whether each Deployment and LeaderWorkerSet has its replicas, ready, and no other."""
    for deployment in [*deployments(api), *api.list_where_served("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")]:
        status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
        if (status.get("readyReplicas", 0), status.get("replicas", 0)) != (wanted, wanted):
            return False
    return True


def unscheduled(pod: Object) -> Iterator[str]:
    """Why a pod is on no node, in the scheduler's words."""
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"{pod['metadata']['name']}: {condition['message']}"


def _by_zone(api: Api) -> list[tuple[str, Object]]:
    """Servers on nodes, each with its zone."""
    zones = {node["metadata"]["name"]: node["metadata"]["labels"].get(ZONE, "") for node in api.list("v1", "Node")}
    return [(zones[node], pod) for pod in servers(api) if (node := pod["spec"].get("nodeName")) in zones]


def end_nodes(api: Api, nodes: Iterable[Object]) -> None:
    """Ends nodes, those of Karpenter by what it made them for, and waits until they are gone."""
    names = {node["metadata"]["name"] for node in nodes}
    for claim in of_karpenter(api, "NodeClaim"):
        if claim["status"].get("nodeName") in names:
            api.delete(claim)
    for node in nodes:
        if CLAIMED not in node["metadata"]["labels"]:
            api.delete(node)

    def gone() -> bool:
        return not names & {node["metadata"]["name"] for node in api.list("v1", "Node")}

    if seconds_until(gone, BACK_SECONDS) is None:
        raise TimeoutError(f"still there {BACK_SECONDS} s after they were deleted: {', '.join(sorted(names))}")


def covers(budget: Object, namespace: str, pod: Object) -> bool:
    """Whether a budget counts a pod, or the pods of a template, in a namespace."""
    labels = pod["metadata"].get("labels") or {}
    return budget["metadata"]["namespace"] == namespace and selects(budget["spec"]["selector"], labels)


def _have_counted(api: Api) -> bool:
    """Whether each budget has seen all servers that it covers as healthy, which it does a little after they are."""
    pods = servers(api)
    for budget in api.list("policy/v1", "PodDisruptionBudget"):
        covered = sum(covers(budget, pod["metadata"]["namespace"], pod) for pod in pods)
        status = budget.get("status", {})
        if covered and (status.get("expectedPods"), status.get("currentHealthy")) != (covered, covered):
            return False
    return True


def _evict_at_once(api: Api, drain: Drain) -> None:
    """Evicts the node's servers, and asks without consequence for each other one that is beyond its budget then.

    Meanwhile all nodes are cordoned, or a new server might be ready before the next is asked for.
    """
    budgets = api.list("policy/v1", "PodDisruptionBudget")
    spare = {_name(budget): budget["status"]["disruptionsAllowed"] for budget in budgets}
    pods = sorted(servers(api), key=lambda pod: pod["spec"].get("nodeName") != drain.node)
    gone: set[str] = set()  # pipelines, all pods of which go with the first one
    others = {node["metadata"]["name"] for node in api.list("v1", "Node")} - {drain.node}
    with _cordoned(api, others):
        for pod in pods:
            elsewhere = pod["spec"].get("nodeName") != drain.node
            names = [_name(budget) for budget in budgets if covers(budget, pod["metadata"]["namespace"], pod)]
            exhausted = any(spare[name] <= 0 for name in names)
            pipeline = pod["metadata"]["labels"].get(GROUP)
            if pipeline in gone or (elsewhere and not exhausted):
                continue
            if refusal := evict(api, pod, dry=elsewhere):
                drain.refusals.append(refusal)
            elif exhausted:
                drain.beyond.append(pod["metadata"]["name"])
            elif pipeline:
                gone.add(pipeline)
            for name in names:
                spare[name] -= not refusal


def evict(api: Api, pod: Object, *, dry: bool = False) -> str | None:
    """Evicts a pod, if it is there; the API server's words when a budget forbids it."""
    metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    options = {"deleteOptions": {"dryRun": ["All"]}} if dry else {}
    try:
        api.request("POST", api.url_of(pod) + "/eviction", eviction | options)
    except ApiError as error:
        if error.status == NOT_FOUND:
            return None
        if error.status != TOO_MANY_REQUESTS:
            raise
        return f"{metadata['name']}: {error}"
    return None


@contextmanager
def _cordoned(api: Api, names: Iterable[str]) -> Iterator[None]:
    """No pod is put on these nodes. Karpenter may remove one meanwhile that became empty."""
    nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in names]
    for node in nodes:
        api.patch(node, {"spec": {"unschedulable": True}})
    try:
        yield
    finally:
        for node in nodes:
            if api.get("v1", "Node", node["metadata"]["name"]):
                api.patch(node, {"spec": {"unschedulable": None}})


@contextmanager
def _closed_to_karpenter(api: Api, zone: str) -> Iterator[None]:
    """Karpenter finds no capacity in a zone."""
    pools = of_karpenter(api, "NodePool")
    for pool in pools:
        requirements = pool["spec"]["template"]["spec"]["requirements"]
        _require(api, pool, [*requirements, {"key": ZONE, "operator": "NotIn", "values": [zone]}])
    try:
        yield
    finally:
        for pool in pools:
            _require(api, pool, pool["spec"]["template"]["spec"]["requirements"])


def _require(api: Api, pool: Object, requirements: list[Object]) -> None:
    api.patch(pool, {"spec": {"template": {"spec": {"requirements": requirements}}}})


def of_karpenter(api: Api, kind: str) -> list[Object]:
    """NodePools, or NodeClaims; none where there is no Karpenter."""
    return api.list_where_served("karpenter.sh/v1", kind)


def _name(object: Object) -> str:
    return f"{object['metadata']['namespace']}/{object['metadata']['name']}"


def _deployment(pod: Object) -> str:
    """Name of the Deployment that a pod belongs to; a ReplicaSet has that and the hash of the template."""
    metadata = pod["metadata"]
    [owner, *_] = metadata.get("ownerReferences") or [{"name": metadata["name"]}]
    return owner["name"].removesuffix(f"-{metadata.get('labels', {}).get('pod-template-hash', '')}")
