"""Rollouts on platform eks: each model's Deployment or LeaderWorkerSet, through `kubectl`, and the way back."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.kubernetes.history import templates
from tandem.kubernetes.kubeconfig import kubeconfig
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.rollouts import PIPELINES, look, revisions, run_by
from tandem.ops.kinds import cluster_of
from tandem.ops.kinds.kind import Clients
from tandem.rollout import Rollout

MANAGER = "kubectl"
"""Field manager of `kubectl rollout undo`."""
DISOWN_TRIES = 10


@dataclass(frozen=True)
class Deployments:
    """The servers of one stack, as `Platform`."""

    kubectl: Kubectl

    def look(self) -> Sequence[Rollout]:
        return look(self.kubectl)[0]

    def cancel(self, rollout: Rollout) -> None:
        self.kubectl.run("rollout", "pause", _deployment(rollout))

    def runs(self, rollout: Rollout, version: str) -> Mapping[str, str]:
        if rollout.unit == PIPELINES:
            known = {name: run_by(template) for name, template in templates(self.kubectl, rollout.name).items()}
        else:
            known = revisions(self.kubectl, rollout.name)
        if version not in known:
            wrong, allowed = f"{rollout.name} has no such revision", ", ".join(known)
            raise UserError.of(key="--to", wrong=wrong, value=version, allowed=allowed)
        return known[version]

    def take(self, rollout: Rollout, version: str) -> None:
        self.go_on(rollout)  # one that is paused cannot be taken back
        if rollout.unit == PIPELINES:
            name, template = f"leaderworkerset/{rollout.name}", templates(self.kubectl, rollout.name)[version]
            change = [{"op": "replace", "path": "/spec/leaderWorkerTemplate", "value": template}]
            self.kubectl.run("patch", name, "--type", "json", "--patch", json.dumps(change), "--field-manager", MANAGER)
        else:
            name = _deployment(rollout)
            self.kubectl.run("rollout", "undo", name, f"--to-revision={version}")
        self._disown(name)

    def _disown(self, name: str) -> None:
        """What `kubectl` has written becomes nobody's, for which server-side apply would refuse `up`.

        The version that was read goes along, since controllers write all the time while pods come and go.
        """
        for left in reversed(range(DISOWN_TRIES)):
            shown = self.kubectl.one(name, "--show-managed-fields")["metadata"]
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
            self.kubectl.run("rollout", "resume", _deployment(rollout))


def _deployment(rollout: Rollout) -> str:
    """Raises:
    UserError: it is a LeaderWorkerSet.
    """
    if rollout.unit == PIPELINES:
        wrong, fix = "pipelines cannot be paused", "`--back`, or put the old pin back and `pulumi up`"
        raise UserError.of(key=rollout.name, wrong=wrong, allowed="with pipelineParallelSize 1", fix=fix)
    return f"deployment/{rollout.name}"


def of_stack(clients: Clients, stack: str, stack_id: str | None, region: str, up: ExitStack) -> Deployments:
    """The stack's servers, until the block ends; errors as of `kubectl`."""
    return Deployments(kubectl(clients, stack, stack_id, region, up))


def kubectl(clients: Clients, stack: str, stack_id: str | None, region: str, up: ExitStack) -> Kubectl:
    """Of the stack's cluster, until the block ends.

    Raises:
        UserError: there is none.
        botocore's errors.
    """
    cluster = cluster_of(clients, stack, stack_id)
    if cluster is None:
        wrong, allowed = "the stack has no EKS cluster in this account and region", "a stack that is up"
        raise UserError.of(key=stack, wrong=wrong, allowed=allowed, fix="`pulumi up`, or another --region")
    return kubectl_of(cluster.facts, region, up)


def kubectl_of(described: Mapping[str, Any], region: str, up: ExitStack) -> Kubectl:
    """Of a cluster as EKS describes it, until the block ends."""
    file = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="tandem-"))) / "kubeconfig"
    authority = described["certificateAuthority"]["data"]
    file.write_text(kubeconfig(region, described["name"], described["endpoint"], authority))
    return Kubectl(file)
