"""How far a model's servers are, read from what `kubectl` shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from tandem.kubernetes.history import UNKNOWN, history, of_version, version_of, version_of_template
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import GROUP, SET, model_of
from tandem.kubernetes.waiting import no_node_yet
from tandem.rollout import Rollout, State, Version

Object = Mapping[str, Any]
TEMPLATE = "template"
"""Key of what a version runs: that of the pods' template (`version_of`)."""
PODS, PIPELINES = "pods", "pipelines"
"""Units of a Deployment's rollout, and of a LeaderWorkerSet's."""
PIPELINES_GROUP = "leaderworkerset.x-k8s.io"

REVISION, REVISIONS_BEFORE = "deployment.kubernetes.io/revision", "deployment.kubernetes.io/revision-history"
"""Of a ReplicaSet: its number, and those that it had before its template was gone back to, with commas:
https://github.com/kubernetes/kubernetes/blob/v1.35.0/pkg/controller/deployment/util/deployment_util.go"""
TOO_OFTEN = 2
"""Ends of a container, after which nobody expects the next run to be another. One may be: a first start over PCIe may
hang, and is ended by its probe. A kubelet's own word for it comes late: a server that dies after four minutes is in a
back-off of two minutes after half an hour."""

BACK_OFF = "CrashLoopBackOff"
GIVES_UP = {
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", BACK_OFF),
    *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
}
"""Why a container waits that will not start by waiting:
https://github.com/kubernetes/kubernetes/blob/v1.35.0/pkg/kubelet/images/types.go and pkg/kubelet/kuberuntime"""


def look(kubectl: Kubectl, *, pipelines: bool | None = None) -> tuple[list[Rollout], list[Object]]:
    """The rollouts of all models, and all pods. A model that becomes pipelines, or stops being some, has both kinds
    until `up` ends.

    Args:
        pipelines: with LeaderWorkerSets. None asks the cluster first: one that never had any does not know the word.

    Raises:
        UserError: the cluster does not answer.
    """
    found: dict[str, list[Object]] = {}
    if pipelines is None:
        pipelines = PIPELINES_GROUP in kubectl.run("get", "--raw", "/apis")
    kinds = "deployments,replicasets,pods" + (",leaderworkersets,controllerrevisions" if pipelines else "")
    for one in kubectl.read(kinds):
        found.setdefault(one["kind"], []).append(one)
    pods = found.get("Pod", [])
    return [
        *(_of_deployment(one, found.get("ReplicaSet", []), pods) for one in found.get("Deployment", [])),
        *(_of_pipelines(one, pods, found.get("ControllerRevision", [])) for one in found.get("LeaderWorkerSet", [])),
    ], pods


def revisions(kubectl: Kubectl, deployment: str) -> dict[str, Mapping[str, str]]:
    """What each revision of a Deployment runs that the cluster still has, by its number.

    Raises:
        UserError: the cluster does not answer.
    """
    own = [
        one
        for one in kubectl.read("replicasets")
        if any(owner["name"] == deployment for owner in one["metadata"].get("ownerReferences", ()))
    ]
    return {_revision(one): _runs(one) for one in sorted(own, key=lambda one: int(_revision(one)))}


def run_by(template: Object) -> Mapping[str, str]:
    """What a pipeline runs that is made from this."""
    image = template["leaderTemplate"]["spec"]["containers"][0]["image"]
    return {"image": image, TEMPLATE: version_of_template(template)}


def stage(pod: Object) -> str:
    """How far a pod is on its way to a first token, in a few words."""
    reached, containers = _true_conditions(pod), _containers(pod)
    if pod["metadata"].get("deletionTimestamp"):
        return "leaves"
    if "Ready" in reached:
        return "serves"
    if not pod["spec"].get("nodeName"):
        return f"waits for a node: {told}" if (told := no_node_yet(pod)) else "waits for a node"
    if "ContainersReady" in reached:
        return "waits for the load balancer"
    if given_up := [why for one in containers if (why := _gave_up(one)[0])]:
        return given_up[0]
    states = {one["name"]: one.get("state", {}) for one in containers}
    prepare = states.get("prepare", {})
    if "running" in states.get("vllm", {}) or prepare.get("terminated", {}).get("exitCode") == 0:
        return "starts"
    return "has the model brought" if {"running", "terminated"} & prepare.keys() else "pulls its images"


def keeps_ending(pod: Object, version: str) -> str:
    """What is wrong with a pod of this version whose containers do run, but ended again and again; empty while fine."""
    if version_of(pod) != version or pod["metadata"].get("deletionTimestamp") or "Ready" in _true_conditions(pod):
        return ""
    ends = {one["name"]: one.get("restartCount", 0) for one in _containers(pod)}
    name = max(ends, key=lambda name: ends[name], default="")
    return f"{pod['metadata']['name']}: {name} has ended {ends[name]} times" if ends.get(name, 0) >= TOO_OFTEN else ""


def ended(pod: Object) -> list[str]:
    """Its containers that have ended, of which that first that gave up or did so most often; all where none has, the
    server first."""
    latest_first = _containers(pod)[::-1]
    troubles = {one["name"]: (bool(_gave_up(one)[0]), one.get("restartCount", 0)) for one in latest_first}
    worst_first = sorted(troubles, key=lambda name: troubles[name], reverse=True)
    return [name for name in worst_first if any(troubles[name])] or worst_first


def _true_conditions(pod: Object) -> set[str]:
    return {one["type"] for one in pod.get("status", {}).get("conditions", ()) if one["status"] == "True"}


def _containers(pod: Object) -> list[Object]:
    """Their statuses, in the order in which they run."""
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _gave_up(container: Object) -> tuple[str, str]:
    """Why a container does not run and will not by waiting, and more on it; empty while it may.

    A back-off is shown by the kubelet itself only once it lasts longer than a minute. Until then it shows how the
    container ended, for the second time or later; after the first time it starts it again at once:
    https://github.com/kubernetes/kubernetes/blob/v1.35.4/pkg/kubelet/pod_workers.go, completeWork
    """
    state = container.get("state", {})
    waiting, ended = state.get("waiting", {}), state.get("terminated")
    if waiting.get("reason") in GIVES_UP:
        return waiting["reason"], waiting.get("message", "")
    done = ended and container["name"] == "prepare" and ended["exitCode"] == 0
    if ended and not done and container.get("restartCount"):
        return BACK_OFF, f"{ended.get('reason', 'ended')}, exit status {ended['exitCode']}"
    return "", ""


def _of_pipelines(one: Object, pods: Sequence[Object], revisions: Iterable[Object] = ()) -> Rollout:
    """Of a LeaderWorkerSet, by its pods: its status does not say of which version it tells."""
    name, spec = one["metadata"]["name"], one["spec"]
    wanted = version_of_template(spec["leaderWorkerTemplate"])
    own = [pod for pod in pods if pod["metadata"]["labels"].get(SET) == name]
    groups = [list(group) for _, group in groupby(sorted(own, key=_group), _group)]
    versions = tuple(
        _version_of_pipelines(version, wanted, spec["leaderWorkerTemplate"], groups)
        for version in sorted({wanted, *map(version_of, own)}, key=lambda version: version != wanted)
    )
    failures = tuple(line for pod in own if version_of(pod) == wanted for line in _troubles(pod))
    size = spec.get("replicas", 1)
    counts = [(version.wanted, version.serving, version.moving) for version in versions]
    state: State = "failing" if failures else "done" if counts == [(True, size, 0)] else "running"
    numbers = [(version_of_template(template), number) for number, template in history(revisions, name)]
    before = wanted if _went_back(one, wanted) else _before_pipelines(versions, numbers, wanted)
    return Rollout(
        name=name,
        model=model_of(name),
        unit=PIPELINES,
        state=state,
        size=size,
        versions=versions,
        before=before,
        failures=failures,
        began=_made(of_version(revisions, name, wanted)),
    )


def _version_of_pipelines(name: str, wanted: str, template: Object, groups: Sequence[Sequence[Object]]) -> Version:
    own = [group for group in groups if {version_of(pod) for pod in group} == {name}]
    serving = [group for group in own if len(group) == template["size"] and all(map(_serves, group))]
    pods = [pod for group in groups for pod in group if version_of(pod) == name]
    image = (pods[0] if pods else template["workerTemplate"])["spec"]["containers"][0]["image"]
    moving = len(own) - len(serving)
    runs = {"image": image, TEMPLATE: name}
    return Version(name=name, runs=runs, wanted=name == wanted, serving=len(serving), moving=moving)


def _before_pipelines(versions: Sequence[Version], numbers: Sequence[tuple[str, int]], wanted: str) -> str | None:
    """Args:
    numbers: of versions, the oldest first; one that was gone back to has several.
    """
    first, latest = dict(reversed(numbers)), dict(numbers)
    there = [(first[name], latest[name], name) for name in latest]
    return _before([one for one in versions if one.name in latest], there, first.get(wanted), wanted)


def _group(pod: Object) -> str:
    return pod["metadata"]["labels"].get(GROUP, "")


def _serves(pod: Object) -> bool:
    return stage(pod) == "serves"


def _of_deployment(deployment: Object, sets: Sequence[Object], pods: Sequence[Object]) -> Rollout:
    metadata, status = deployment["metadata"], deployment.get("status", {})
    own = [one for one in sets if _owner(one) == metadata["uid"]]
    wanted = metadata.get("annotations", {}).get(REVISION, "0")
    versions = tuple(
        _version(one, wanted)
        for one in sorted(own, key=lambda one: int(_revision(one)), reverse=True)
        if one["status"].get("replicas") or _revision(one) == wanted
    )
    new = {one["metadata"]["uid"] for one in own if _revision(one) == wanted}
    firsts = {_revision(one): _first_revision(one) for one in own}
    there = [(first, int(name), name) for name, first in firsts.items()]
    earlier = _before(versions, there, firsts.get(wanted), wanted)
    refused = [one["message"] for one in status.get("conditions", ()) if one["type"] == "ReplicaFailure"]
    failures = (*refused, *(line for pod in pods if _owner(pod) in new for line in _troubles(pod)))
    return Rollout(
        name=metadata["name"],
        model=model_of(metadata["name"]),
        unit=PODS,
        state=_state(deployment, failures),
        size=deployment["spec"].get("replicas", 1),
        versions=versions,
        before=wanted if _went_back(deployment, version_of(deployment["spec"]["template"])) else earlier,
        reason=next((one.get("message", "") for one in _progress(status)), ""),
        failures=failures,
        began=_made(
            [one["metadata"] for one in own if _revision(one) == wanted and _first_revision(one) == int(wanted)]
        ),
    )


def _made(versions: Sequence[Object]) -> datetime | None:
    """When the only one was made of what tells of versions; several, or none, are of one that has served before."""
    stamps = [one["creationTimestamp"] for one in versions if "creationTimestamp" in one]
    return datetime.fromisoformat(stamps[0]) if len(stamps) == 1 else None


def _owner(object: Object) -> str:
    return next((owner["uid"] for owner in object["metadata"].get("ownerReferences", ())), "")


def _revision(replica_set: Object) -> str:
    return replica_set["metadata"].get("annotations", {}).get(REVISION, "0")


def _first_revision(replica_set: Object) -> int:
    """The number that a ReplicaSet had at first; going back to it gives it a new one."""
    before = replica_set["metadata"].get("annotations", {}).get(REVISIONS_BEFORE)
    return int(before.partition(",")[0] if before else _revision(replica_set))


def _version(replica_set: Object, wanted: str) -> Version:
    status = replica_set["status"]
    ready, name = status.get("readyReplicas", 0), _revision(replica_set)
    moving = status.get("replicas", 0) - ready
    return Version(name=name, runs=_runs(replica_set), wanted=name == wanted, serving=ready, moving=moving)


def _runs(replica_set: Object) -> dict[str, str]:
    template = replica_set["spec"]["template"]
    return {"image": template["spec"]["containers"][0]["image"], TEMPLATE: version_of(template)}


def _troubles(pod: Object) -> Iterator[str]:
    """What has given up in a pod that is to stay."""
    if pod["metadata"].get("deletionTimestamp"):
        return
    for container in _containers(pod):
        why, more = _gave_up(container)
        if why:
            yield f"{pod['metadata']['name']}: {why}: {more}"


def _progress(status: Object) -> list[Object]:
    return [one for one in status.get("conditions", ()) if one["type"] == "Progressing"]


def _state(deployment: Object, failures: Sequence[str]) -> State:
    spec, status = deployment["spec"], deployment.get("status", {})
    if spec.get("paused"):
        return "held"
    if failures or any(one.get("reason") == "ProgressDeadlineExceeded" for one in _progress(status)):
        return "failing"
    size = spec.get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = [status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    return "done" if seen and counts == [size] * 3 else "running"


def _went_back(made: Object, wanted: str) -> bool:
    """Whether new pods are of another version than the last `up` made: then the way back leads nowhere else."""
    return version_of(made) not in (UNKNOWN, wanted)


def _before(
    versions: Iterable[Version], there: Iterable[tuple[int, int, str]], first: int | None, wanted: str
) -> str | None:
    """Another version that still serves, else the latest of those that came before the wanted one first did: one that
    was gone back from came after it.

    Args:
        there: first and latest number, and name of each version that the cluster still has.
        first: number of the wanted one; None where the cluster has none yet.
    """
    others = [version for version in versions if version.serving and not version.wanted]
    if others:
        return max(others, key=lambda version: version.serving).name
    earlier = [(latest, name) for began, latest, name in there if name != wanted and (first is None or began < first)]
    return max(earlier)[1] if earlier else None
