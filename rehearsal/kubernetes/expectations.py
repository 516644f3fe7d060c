"""What a rehearsal expects of a cluster: the API server's objects in, what is wrong with them out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.declared import SERVERS
from pulumi_rehearsal.kubernetes.hosting import Controller
from pulumi_rehearsal.kubernetes.network_policy import selects
from pulumi_rehearsal.kubernetes.node_groups import GROUP_LABEL
from pulumi_rehearsal.kubernetes.nodes import GPU, ZONE, gpus_of, has_gpus
from pulumi_rehearsal.kubernetes.provider_plugin import RELEASE
from pulumi_rehearsal.operations import Operation
from rehearsal.expectations import expectation
from rehearsal.kubernetes.autoscaling import FALL_SECONDS, RISE_SECONDS, Answer
from rehearsal.kubernetes.disruption import BACK_SECONDS, Drain, ZoneLoss, covers
from rehearsal.kubernetes.lent_roles import LentRole
from rehearsal.kubernetes.shortage import Shortage, names_limits
from rehearsal.policy_calls import Call
from tandem.kubernetes.names import BASE_POOL, HOST, SERVES
from tandem.ops.rollout import Rollout
from tandem.timing import MANAGED_DRAIN_SECONDS

NODE_POOL = "karpenter.sh/nodepool"
TARGET_HEALTH = "target-health.elbv2.k8s.aws/"
AGENT = "eks-pod-identity-agent"


@expectation("the API server holds each object of the state")
def are_held(recorded: Iterable[str], found: Iterable[str]) -> Iterable[str]:
    yield from (f"not found: {object}" for object in sorted(set(recorded) - set(found)))


MOVE = "packages/pulumi-rehearsal/pulumi_rehearsal/modules/kubernetes/move.sh"
"""Moves the simulator's Kubernetes to another minor version."""


@expectation("the control plane is of the minor version of Kubernetes that the program asks EKS for")
def is_of_the_pinned_version(runs: str, asked: str) -> Iterable[str]:
    """Args:
    runs: as the API server tells it (`v1.35.4`). asked: of EKS, major.minor.
    """
    if not runs.startswith(f"v{asked}."):
        command = f"`{MOVE} {asked}`, and the next rehearsal builds it"
        yield f"{runs.removeprefix('v')} is rehearsed, {asked} is pinned: {command}"


@expectation("the API server knows each field of each object that reaches it")
def are_known_to_the_last_field(refusals: Iterable[str]) -> Iterable[str]:
    yield from refusals


@expectation("`up` does not fail before servers have had the time that a first start takes")
def are_given_their_time(waits: Mapping[str, float | None], launch_seconds: int) -> Iterable[str]:
    """Args:
    waits: seconds that the provider waits for each, none where it does not. launch_seconds: of a first start.
    """
    for name, seconds in waits.items():
        if seconds is not None and seconds < launch_seconds:
            yield f"{name}: `up` fails after {seconds:.0f} s, a first start may take {launch_seconds} s"


@expectation("controllers run until their release goes")
def kept_running(controllers: Iterable[Controller]) -> Iterable[str]:
    yield from (words for controller in controllers for words in controller.ended)


@expectation("controllers call AWS only as their roles allow, by resource and by tag")
def call_what_their_roles_allow(asked: Mapping[str, Sequence[Call]], lent: Mapping[str, LentRole]) -> Iterable[str]:
    """Args:
    asked: calls, by service account. lent: roles, by the same.
    """
    for account, calls in asked.items():
        for refused in lent.get(account, LentRole()).refuses(calls) if calls else ():
            yield f"{account} calls {refused}, which its role does not allow"


@expectation("roles that are lent to pods reach them")
def reach_their_pods(lent: Iterable[str], addons: Iterable[str]) -> Iterable[str]:
    """EKS takes associations without it: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-agent-setup.html.

    Args:
        lent: service accounts. addons: names of those of the cluster.
    """
    if AGENT not in addons:
        yield from (f"{account} gets no credentials: the cluster has no add-on {AGENT}" for account in sorted(lent))


@expectation("nodes of managed groups can be emptied in the time that EKS gives them")
def can_be_emptied(pods: Iterable[Object], nodes: Iterable[Object]) -> Iterable[str]:
    """An update of a group ends with PodEvictionFailure otherwise."""
    managed = {node["metadata"]["name"] for node in nodes if GROUP_LABEL in node["metadata"]["labels"]}
    for pod in pods:
        grace = pod["spec"].get("terminationGracePeriodSeconds", 0)
        daemon = any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences") or ())
        if pod["spec"].get("nodeName") in managed and not daemon and grace >= MANAGED_DRAIN_SECONDS:
            yield f"{pod['metadata']['name']} may take {grace} s to leave, EKS waits {MANAGED_DRAIN_SECONDS} s"


@expectation("each Deployment has its replicas ready")
def have_their_replicas(deployments: Iterable[Object]) -> Iterable[str]:
    for deployment in deployments:
        wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status", {})
        for counted, what in ("readyReplicas", "are ready"), ("updatedReplicas", "are of its last version"):
            if (found := status.get(counted, 0)) != wanted:
                yield f"{deployment['metadata']['name']}: {found} of {wanted} replicas {what}"


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
    of_gpu_nodes = {node["metadata"]["labels"][ZONE] for node in by_name.values() if has_gpus(node)}
    for (owner, skew), counts in zones.items():
        numbers = [counts[zone] for zone in of_gpu_nodes]
        if max(numbers) - min(numbers) > skew:
            yield f"{owner} is not spread: {', '.join(f'{zone} {counts[zone]}' for zone in sorted(of_gpu_nodes))}"


@expectation("replicas stand on as many nodes as they ask for, and none of the base on demand is empty")
def stand_apart(pods: Iterable[Object], nodes: Iterable[Object]) -> Iterable[str]:
    placed = [pod for pod in pods if gpus_of(pod) and pod["spec"].get("nodeName")]
    by_owner: dict[str, list[Object]] = defaultdict(list)
    for pod in placed:
        by_owner[_owner(pod)].append(pod)
    for owner, own in by_owner.items():
        least = min(least_nodes(own[0]), len(own))
        if len(there := {pod["spec"]["nodeName"] for pod in own}) < least:
            yield f"{owner} stands on {', '.join(sorted(there))}, and asks for {least} nodes"
    taken = {pod["spec"]["nodeName"] for pod in placed}
    for node in nodes:
        if node["metadata"]["labels"].get(NODE_POOL) == BASE_POOL and node["metadata"]["name"] not in taken:
            yield f"{node['metadata']['name']} of the base has no server"


@expectation("pods wait until the load balancer sends them requests")
def wait_for_their_way_in(
    pods: Sequence[Object], services: Iterable[Object], bindings: Iterable[Object]
) -> Iterable[str]:
    bound = {(one["metadata"]["namespace"], one["spec"]["serviceRef"]["name"]) for one in bindings}
    for service in services:
        place, name = service["metadata"]["namespace"], service["metadata"]["name"]
        for pod in pods if (place, name) in bound else ():
            labels = pod["metadata"].get("labels") or {}
            if pod["metadata"]["namespace"] == place and selects({"matchLabels": service["spec"]["selector"]}, labels):
                gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates", ())]
                if not any(gate.startswith(TARGET_HEALTH) for gate in gates):
                    yield f"{pod['metadata']['name']} has no readiness gate of the load balancer's"


@expectation("a new image changes the servers, in place, and nothing else")
def changes_servers(operation: Operation, deployments: Iterable[Object], digest: str) -> Iterable[str]:
    changes = _changes(operation)
    if not changes or any(not _of_servers(*change) for change in changes):
        yield f"changed: {', '.join(f'{operation} {type}' for operation, type in changes) or 'nothing'}"
    yield from _others(deployments, digest)


@expectation("once the pin is put back, servers run what it names, and nothing else was changed")
def are_back(operation: Operation, deployments: Iterable[Object], digest: str) -> Iterable[str]:
    """The way back may have left nothing to do: the provider compares with what runs."""
    for operation_, type in _changes(operation):
        if not _of_servers(operation_, type):
            yield f"changed: {operation_} {type}"
    yield from _others(deployments, digest)


def _changes(operation: Operation) -> list[tuple[str, str]]:
    """Beside what says that a version serves."""
    told = [step for step in operation.changing() if not step.name.endswith(SERVES)]
    return sorted({(step.operation, step.type) for step in told})


def _of_servers(operation: str, type: str) -> bool:
    return operation == "update" and type in SERVERS


def _others(deployments: Iterable[Object], digest: str) -> Iterator[str]:
    for deployment in deployments:
        images = [one["image"] for one in deployment["spec"]["template"]["spec"]["containers"]]
        if not any(image.endswith(digest) for image in images):
            yield f"{_name(deployment)} runs {', '.join(images)}"


@expectation("a version whose pods do not start is noticed, each model's by itself")
def are_noticed(noticed: Iterable[Rollout], deployments: Iterable[Object]) -> Iterable[str]:
    """Args:
    noticed: what `tandem rollout` called failing.
    """
    told = {one.name for one in noticed if one.failures}
    yield from (f"{name}: no pod that gave up was told of" for name in sorted({*map(_name, deployments)} - told))


@expectation("an `up` whose version was taken back says so")
def is_not_called_a_success(up: Operation, config_maps: Iterable[Object]) -> Iterable[str]:
    """Args:
    up: under way while somebody went back.
    config_maps: what a program has that waits for its servers; one that does not leaves it to the provider.
    """
    waits = any(_name(one).endswith(SERVES) for one in config_maps)
    said = "\n".join(up.messages)
    if waits and (up.succeeded or "another version is rolled out" not in said):
        yield f"it succeeded, or said something else: {said[-400:]}"


def _name(object: Object) -> str:
    return object["metadata"]["name"]


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


@expectation("a drain takes no more servers at once than their budget allows, and they come back elsewhere")
def leave_within_the_budget(drain: Drain, deployments: Iterable[Object], budgets: Sequence[Object]) -> Iterable[str]:
    yield from (f"{name} may be evicted although its budget is used up" for name in drain.beyond)
    yield from (f"{name} is still on {drain.node}" for name in drain.left)
    if drain.seconds is None:
        yield f"not all replicas are ready {BACK_SECONDS} s after the drain of {drain.node}"
    for deployment in deployments:
        name = deployment["metadata"]["name"]
        if name not in drain.lowest:
            continue
        place, template = deployment["metadata"]["namespace"], deployment["spec"]["template"]
        kept = [kept_by(budget, deployment) for budget in budgets if covers(budget, place, template)]
        if not kept:
            yield f"{name} has no PodDisruptionBudget"
        elif drain.lowest[name] < max(kept):
            yield f"{name}: {drain.lowest[name]} available for a while, {max(kept)} kept by its budget"


@expectation("a lost zone takes its own servers only, and they come back in the others")
def outlive_a_zone(loss: ZoneLoss, deployments: Iterable[Object]) -> Iterable[str]:
    for deployment in deployments:
        name = deployment["metadata"]["name"]
        rest = deployment["spec"].get("replicas", 1) - loss.servers[name]
        if loss.lowest.get(name, rest) < rest:
            yield f"{name}: {loss.lowest[name]} available for a while, {rest} are outside {loss.zone}"
    yield from (f"{name} still runs in {loss.zone}" for name in loss.left)
    if loss.seconds is None:
        yield f"not all replicas are ready {BACK_SECONDS} s after {loss.zone} was lost"
        yield from loss.waiting


@expectation("pods for which there may be no GPUs wait, or are refused by quota, and are told why")
def are_told_why(shortage: Shortage) -> Iterable[str]:
    for pool, limit in shortage.limits.items():
        if shortage.gpus[pool] > limit + shortage.largest:  # Karpenter may be late by a node
            yield f"{pool} has {shortage.gpus[pool]} GPUs, its limit is {limit}"
    if not shortage.waiting:
        yield "no pod had to wait"
    for name, said in shortage.waiting.items():
        if not any(f"Insufficient {GPU}" in words for words in said):
            yield f"{name} is not told by the scheduler that GPUs are lacking: {said}"
        if shortage.limits and not names_limits(said):
            yield f"{name} is not told by Karpenter that limits are reached: {said}"
    if "exceeded quota" not in (shortage.over_quota or ""):
        yield f"a pod over the quota got: {shortage.over_quota or 'accepted'}"


@expectation("servers come before batch work")
def come_first(shortage: Shortage) -> Iterable[str]:
    yield from (f"{name} had to go for batch work" for name in shortage.displaced)
    if shortage.runs is False:
        yield "a pod with the servers' priority got no GPU that batch work had"
    if shortage.runs and not shortage.preempted:
        yield "there was a GPU left, so that priority did not count"


def _arrows(numbers: Iterable[int]) -> str:
    return " -> ".join(map(str, numbers))


@expectation("destroy leaves no object in the cluster")
def is_empty(left: Iterable[str]) -> Iterable[str]:
    yield from (f"left behind: {object}" for object in sorted(left))


@expectation("after expiry no node has a GPU")
def have_no_gpu(nodes: Iterable[Object]) -> Iterable[str]:
    yield from (f"still there: {node['metadata']['name']}" for node in nodes if has_gpus(node))


def recorded_object(resource: Mapping[str, Any]) -> str | None:
    """The object that a resource of the state stands for, as `title` writes it; None when it stands for none."""
    type = resource["type"]
    if not type.startswith("kubernetes:") or type == RELEASE or resource.get("delete"):
        return None
    return f"{type.rpartition(':')[2].removesuffix('Patch')} {resource['id']}"


def promised_replicas(deployment: Object) -> int:
    """How many replicas its strategy always leaves."""
    wanted = deployment["spec"].get("replicas", 1)
    missing = deployment["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxUnavailable", "25%")
    if isinstance(missing, str):
        missing = wanted * int(missing.removesuffix("%")) // 100
    return wanted - missing


def kept_by(budget: Object, deployment: Object) -> int:
    """How many replicas a budget always leaves; parts of a replica are rounded up, as the API server does."""
    wanted = deployment["spec"].get("replicas", 1)

    def number(value: int | str) -> int:
        return -(-wanted * int(value.removesuffix("%")) // 100) if isinstance(value, str) else value

    spec = budget["spec"]
    return number(spec["minAvailable"]) if "minAvailable" in spec else wanted - number(spec["maxUnavailable"])


def _allowed_skew(pod: Object) -> int | None:
    """How uneven a pod's spread over the zones may be; None when it asks for none that must be met."""
    for constraint in pod["spec"].get("topologySpreadConstraints") or []:
        if constraint["topologyKey"] == ZONE and constraint["whenUnsatisfiable"] == "DoNotSchedule":
            return constraint["maxSkew"]
    return None


def least_nodes(pod: Object) -> int:
    """Over how many nodes its replicas must stand."""
    for constraint in pod["spec"].get("topologySpreadConstraints") or []:
        if constraint["topologyKey"] == HOST and constraint["whenUnsatisfiable"] == "DoNotSchedule":
            return constraint.get("minDomains", 1)
    return 1


def _owner(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{"kind": "Pod", "name": pod["metadata"]["name"]}]
    return f"{owners[0]['kind']} {owners[0]['name']}"
