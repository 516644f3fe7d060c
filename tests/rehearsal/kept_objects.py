"""Objects of a cluster that is not there, and its servers, which are ready at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pulumi_rehearsal.plugin import Checked, Difference, Provider, Subject, changed_paths
from pulumi_rehearsal.wire import Properties

KUBECTL = """#!/bin/sh
case "$*" in *--ignore-not-found*) exit ;; esac
cat <<'OBJECTS'
{}
OBJECTS
"""


@dataclass
class Objects(Provider):
    """Keeps what the program declares in its cluster.

    Stands for: the plugin pulumi-resource-kubernetes, as far as objects are kept and changed in place, and `kubectl`.
    Held by: nothing, it answers with what it is given; tests/rehearsal/kubernetes has a real API server.

    Attributes:
        kubectl: the command that shows all servers as ready.
    """

    name: str = "kubernetes"
    version: str = version("pulumi-kubernetes")
    kept: dict[str, Properties] = field(default_factory=dict)
    kubectl: Path = field(default=Path(os.devnull))

    def check(self, subject: Subject, inputs: Properties, old: Properties, seed: bytes) -> Checked:
        return Checked({**inputs, "metadata": {"name": subject.name, **(inputs.get("metadata") or {})}})

    def diff(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Difference:
        return Difference(changed_paths(old, new), frozenset())

    def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
        self._keep(subject, inputs)
        return subject.name, inputs

    def update(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Properties:
        self._keep(subject, new)
        return new

    def _keep(self, subject: Subject, inputs: Properties) -> None:
        self.kept[subject.name] = inputs
        self.show()

    def show(self) -> None:
        """What `kubectl` says from now on: of one object that may not be there, that it is not."""
        servers = [one for one in self.kept.values() if one.get("kind") == "Deployment"]
        shown = json.dumps({"items": [item for one in servers for item in _ready(one)]})
        self.kubectl.write_text(KUBECTL.format(shown))
        self.kubectl.chmod(0o755)

    def delete(self, subject: Subject, id: str, inputs: Properties, state: Properties) -> None:
        self.kept.pop(subject.name)


def _ready(deployment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A Deployment and its pods' set as they are when all replicas serve."""
    name, spec = deployment["metadata"]["name"], deployment["spec"]
    head = {"name": name, "uid": name, "generation": 1, "annotations": {"deployment.kubernetes.io/revision": "1"}}
    counts = dict.fromkeys(("updatedReplicas", "availableReplicas", "readyReplicas", "replicas"), int(spec["replicas"]))
    owned = {**head, "ownerReferences": [{"uid": name}]}
    return [
        {"kind": "Deployment", "metadata": head, "spec": spec, "status": {**counts, "observedGeneration": 1}},
        {"kind": "ReplicaSet", "metadata": owned, "spec": {"template": spec["template"]}, "status": counts},
    ]
