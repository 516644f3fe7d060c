"""Rollouts on platform eks: each model's Deployment, through `kubectl`, and the way back."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import Problem, UserError
from infra.kubernetes.kubeconfig import kubeconfig
from infra.kubernetes.shared import NAMESPACE
from ops.kinds import ours, types
from ops.kinds.kind import Clients
from ops.rollout.report import Rollout, State, Version

KUBECTL_SECONDS = 60
MANAGER = "kubectl"
"""Field manager of `kubectl rollout undo`."""
DISOWN_TRIES = 10
REVISION = "deployment.kubernetes.io/revision"
GIVES_UP = {
    *("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CrashLoopBackOff"),
    *("CreateContainerConfigError", "CreateContainerError", "RunContainerError"),
}
"""Why a container waits that will not start by waiting:
https://github.com/kubernetes/kubernetes/blob/v1.35.0/pkg/kubelet/images/types.go and pkg/kubelet/kuberuntime"""


@dataclass(frozen=True)
class Kubectl:
    """`kubectl` with a kubeconfig of its own, so that it never works on another cluster."""

    kubeconfig: Path
    command: str = "kubectl"

    def run(self, *arguments: str) -> str:
        """Raises:
        UserError: there is no `kubectl`, or the cluster refuses or does not answer.
        """
        if not shutil.which(self.command):
            fix = "https://kubernetes.io/docs/tasks/tools/"
            raise UserError(Problem(key="kubectl", wrong="is not on PATH", allowed="`kubectl`", fix=fix))
        command = [self.command, "--kubeconfig", str(self.kubeconfig), "--namespace", NAMESPACE, *arguments]
        limit = f"--request-timeout={KUBECTL_SECONDS // 2}s"
        try:
            done = subprocess.run([*command, limit], capture_output=True, text=True, timeout=KUBECTL_SECONDS)
        except subprocess.TimeoutExpired:
            raise _refused(f"no answer in {KUBECTL_SECONDS} s") from None
        if done.returncode:
            raise _refused(done.stderr.strip())
        return done.stdout

    def read(self, kind: str) -> list[dict[str, Any]]:
        """What there is in the servers' namespace."""
        return json.loads(self.run("get", kind, "--output", "json"))["items"]


def _refused(said: str) -> UserError:
    fix = "a private API is reached from inside the VPC only; who may is in cluster.admins: docs/kubernetes.md"
    return UserError(Problem(key="kubectl", wrong="the cluster does not do what it is asked", value=said, fix=fix))


@dataclass(frozen=True)
class Deployments:
    """The servers of one stack, as `Platform`."""

    kubectl: Kubectl

    def look(self) -> Sequence[Rollout]:
        sets, pods = self.kubectl.read("replicasets"), self.kubectl.read("pods")
        return [_rollout(one, sets, pods) for one in self.kubectl.read("deployments")]

    def cancel(self, rollout: Rollout) -> None:
        self.kubectl.run("rollout", "pause", f"deployment/{rollout.name}")

    def take(self, rollout: Rollout, version: str) -> None:
        self.go_on(rollout)  # one that is paused cannot be taken back
        self.kubectl.run("rollout", "undo", f"deployment/{rollout.name}", f"--to-revision={version}")
        self._disown(f"deployment/{rollout.name}")

    def _disown(self, name: str) -> None:
        """What `kubectl rollout undo` has written becomes nobody's, for which server-side apply would refuse `up`.

        The version that was read goes along, since controllers write all the time while pods come and go.
        """
        for left in reversed(range(DISOWN_TRIES)):
            shown = json.loads(self.kubectl.run("get", name, "--show-managed-fields", "--output", "json"))["metadata"]
            kept = [entry for entry in shown["managedFields"] if entry["manager"] != MANAGER]
            change = {"metadata": {"managedFields": kept, "resourceVersion": shown["resourceVersion"]}}
            try:
                self.kubectl.run("patch", name, "--type", "merge", "--patch", json.dumps(change))
            except UserError:
                if not left:
                    raise
            else:
                return

    def go_on(self, rollout: Rollout) -> None:
        if rollout.state == "held":
            self.kubectl.run("rollout", "resume", f"deployment/{rollout.name}")


def of_stack(clients: Clients, stack: str, stack_id: str | None, region: str, up: ExitStack) -> Deployments:
    """The stack's cluster, until the block ends.

    Raises:
        UserError: there is none.
        botocore's errors.
    """
    clusters = ours(clients, stack, types.CLUSTER, stack_id)
    if not clusters:
        wrong, allowed = "the stack has no EKS cluster in this account and region", "a stack that is up"
        raise UserError(Problem(key=stack, wrong=wrong, allowed=allowed, fix="`pulumi up`, or another --region"))
    facts = clusters[0].facts
    file = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="tandem-"))) / "kubeconfig"
    file.write_text(kubeconfig(region, clusters[0].name, facts["endpoint"], facts["certificateAuthority"]["data"]))
    return Deployments(Kubectl(file))


def _rollout(
    deployment: Mapping[str, Any], sets: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]
) -> Rollout:
    metadata, status = deployment["metadata"], deployment.get("status", {})
    own = [one for one in sets if _owner(one) == metadata["uid"]]
    wanted = metadata.get("annotations", {}).get(REVISION, "0")
    versions = tuple(
        _version(one, wanted)
        for one in sorted(own, key=lambda one: int(_revision(one)), reverse=True)
        if one["status"].get("replicas") or _revision(one) == wanted
    )
    new = {one["metadata"]["uid"] for one in own if _revision(one) == wanted}
    failures = tuple(line for pod in pods if _owner(pod) in new for line in _troubles(pod))
    return Rollout(
        name=metadata["name"],
        unit="pods",
        state=_state(deployment, failures),
        size=deployment["spec"].get("replicas", 1),
        versions=versions,
        before=_before(versions, own, wanted),
        reason=next((one.get("message", "") for one in _progress(status)), ""),
        failures=failures,
    )


def _owner(object: Mapping[str, Any]) -> str:
    return next((owner["uid"] for owner in object["metadata"].get("ownerReferences", ())), "")


def _revision(replica_set: Mapping[str, Any]) -> str:
    return replica_set["metadata"].get("annotations", {}).get(REVISION, "0")


def _version(replica_set: Mapping[str, Any], wanted: str) -> Version:
    status = replica_set["status"]
    ready, name = status.get("readyReplicas", 0), _revision(replica_set)
    image = replica_set["spec"]["template"]["spec"]["containers"][0]["image"]
    moving = status.get("replicas", 0) - ready
    return Version(name=name, runs={"image": image}, wanted=name == wanted, serving=ready, moving=moving)


def _troubles(pod: Mapping[str, Any]) -> Iterator[str]:
    status = pod.get("status", {})
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in GIVES_UP:
            yield f"{pod['metadata']['name']}: {waiting['reason']}: {waiting.get('message', '')}"


def _progress(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in status.get("conditions", ()) if one["type"] == "Progressing"]


def _state(deployment: Mapping[str, Any], failures: Sequence[str]) -> State:
    spec, status = deployment["spec"], deployment.get("status", {})
    if spec.get("paused"):
        return "held"
    if failures or any(one.get("reason") == "ProgressDeadlineExceeded" for one in _progress(status)):
        return "failing"
    size = spec.get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    counts = [status.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    return "done" if seen and counts == [size] * 3 else "running"


def _before(versions: Sequence[Version], sets: Sequence[Mapping[str, Any]], wanted: str) -> str | None:
    """Another revision that still serves, else the latest that is not the wanted one."""
    others = [version for version in versions if version.serving and not version.wanted]
    if others:
        return max(others, key=lambda version: version.serving).name
    earlier = [int(_revision(one)) for one in sets if _revision(one) != wanted]
    return str(max(earlier)) if earlier else None
