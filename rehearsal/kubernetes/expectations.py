"""What a rehearsal expects of a cluster: the API server's objects in, what is wrong with them out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from rehearsal.expectations import expectation
from rehearsal.kubernetes.api import Object
from rehearsal.kubernetes.autoscaling import FALL_SECONDS, RISE_SECONDS, Answer
from rehearsal.kubernetes.nodes import GPU, ZONE
from rehearsal.kubernetes.provider import RELEASE
from rehearsal.operations import Operation

SERVERS = ("kubernetes:apps/v1:Deployment", "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet")


@expectation("the API server holds each object of the state")
def are_held(recorded: Iterable[str], found: Iterable[str]) -> Iterable[str]:
    yield from (f"not found: {object}" for object in sorted(set(recorded) - set(found)))


@expectation("each Deployment has its replicas ready")
def have_their_replicas(deployments: Iterable[Object]) -> Iterable[str]:
    for deployment in deployments:
        wanted, ready = deployment["spec"].get("replicas", 1), deployment.get("status", {}).get("readyReplicas", 0)
        if ready != wanted:
            yield f"{deployment['metadata']['name']}: {ready} of {wanted} replicas are ready"


@expectation("servers have their GPUs to themselves, and are spread over the zones where they must")
def share_no_gpu(pods: Iterable[Object], nodes: Iterable[Object]) -> Iterable[str]:
    by_name = {node["metadata"]["name"]: node for node in nodes}
    taken: Counter[str] = Counter()
    zones: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for pod in pods:
        if not (gpus := gpus_of(pod)):
            continue
        node = by_name.get(pod["spec"].get("nodeName", ""))
        if node is None:
            yield f"{pod['metadata']['name']} is on no node"
            continue
        taken[node["metadata"]["name"]] += gpus
        if skew := _allowed_skew(pod):
            zones[_owner(pod), skew][node["metadata"]["labels"][ZONE]] += 1
    for name, gpus in taken.items():
        if gpus > (there := int(by_name[name]["status"]["allocatable"].get(GPU, 0))):
            yield f"{name} has {there} GPUs, its pods ask for {gpus}"
    of_gpu_nodes = {node["metadata"]["labels"][ZONE] for node in by_name.values() if _has_gpus(node)}
    for (owner, skew), counts in zones.items():
        numbers = [counts[zone] for zone in of_gpu_nodes]
        if max(numbers) - min(numbers) > skew:
            yield f"{owner} is not spread: {', '.join(f'{zone} {counts[zone]}' for zone in sorted(of_gpu_nodes))}"


@expectation("a new image changes the servers, in place, and nothing else")
def changes_servers(operation: Operation) -> Iterable[str]:
    changes = sorted({(step.operation, step.type) for step in operation.changing()})
    if not changes or any(operation != "update" or type not in SERVERS for operation, type in changes):
        yield f"changed: {', '.join(f'{operation} {type}' for operation, type in changes) or 'nothing'}"


@expectation("no rollout takes servers away that it does not allow itself to miss")
def keep_serving(lowest: Mapping[str, int], deployments: Iterable[Object]) -> Iterable[str]:
    """Args:
    lowest: available replicas when there were fewest, by name.
    deployments: after it.
    """
    for deployment in deployments:
        name, promised = deployment["metadata"]["name"], promised_replicas(deployment)
        if lowest.get(name, promised) < promised:
            yield f"{name}: {lowest[name]} available for a while, {promised} promised"


@expectation(
    "load brings replicas and nodes in time, and all goes back after it, without a step in the wrong direction"
)
def follow_the_load(answer: Answer) -> Iterable[str]:
    if answer.rise_seconds is None:
        yield f"{answer.name}: no {answer.most} ready replicas after {RISE_SECONDS} s of load, but {answer.rise[-1]}"
    if answer.fall_seconds is None:
        left = f"{answer.fall[-1]} replicas on {answer.nodes[-1]} nodes"
        yield f"{answer.name}: {left} {FALL_SECONDS} s after the load, in place of {answer.least}"
    if answer.rise != sorted(answer.rise):
        yield f"{answer.name}: replicas under load were {_arrows(answer.rise)}"
    if answer.fall != sorted(answer.fall, reverse=True):
        yield f"{answer.name}: replicas after the load were {_arrows(answer.fall)}"


def _arrows(numbers: Iterable[int]) -> str:
    return " -> ".join(map(str, numbers))


@expectation("destroy leaves no object in the cluster")
def is_empty(left: Iterable[str]) -> Iterable[str]:
    yield from (f"left behind: {object}" for object in sorted(left))


@expectation("after expiry no node has a GPU")
def have_no_gpu(nodes: Iterable[Object]) -> Iterable[str]:
    yield from (f"still there: {node['metadata']['name']}" for node in nodes if _has_gpus(node))


def recorded_object(resource: Mapping[str, Any]) -> str | None:
    """The object that a resource of the state stands for, as `title` writes it; None when it stands for none."""
    type = resource["type"]
    if not type.startswith("kubernetes:") or type == RELEASE or resource.get("delete"):
        return None
    return f"{type.rpartition(':')[2]} {resource['id']}"


def promised_replicas(deployment: Object) -> int:
    """How many replicas its strategy always leaves."""
    wanted = deployment["spec"].get("replicas", 1)
    missing = deployment["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable", "25%")
    if isinstance(missing, str):
        missing = wanted * int(missing.removesuffix("%")) // 100
    return wanted - missing


def gpus_of(pod: Object) -> int:
    """GPUs that a pod takes from its node."""

    def most(containers: Iterable[Object]) -> list[int]:
        return [int(container.get("resources", {}).get("limits", {}).get(GPU, 0)) for container in containers]

    spec = pod["spec"]
    return max(sum(most(spec["containers"])), *most(spec.get("initContainers") or []), 0)


def _allowed_skew(pod: Object) -> int | None:
    """How uneven a pod's spread over the zones may be; None when it asks for none that must be met."""
    for constraint in pod["spec"].get("topologySpreadConstraints") or []:
        if constraint["topologyKey"] == ZONE and constraint["whenUnsatisfiable"] == "DoNotSchedule":
            return constraint["maxSkew"]
    return None


def _owner(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{"kind": "Pod", "name": pod["metadata"]["name"]}]
    return f"{owners[0]['kind']} {owners[0]['name']}"


def _has_gpus(node: Object) -> bool:
    return int(node["status"].get("allocatable", {}).get(GPU, 0)) > 0
