"""Names in a cluster of somebody else's are taken only where they are free: what is there is never taken over.

The provider itself refuses what is there when it comes to it, after load balancer and nodes; an older one takes it
over, and deletes it with the stack. A preview hears of neither.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pulumi

from tandem.errors import UserError
from tandem.kubernetes.existing import taken
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import OF_STACK

from .objects import Manifest


class Claim:
    """Of a stack, on objects that a cluster has once; in its namespace all is its own.

    Attributes:
        hooks: by which the engine asks before it makes one, in a preview as well.
    """

    def __init__(self, stack: str, kubeconfig: str) -> None:
        self._stack = stack
        self._kubeconfig = kubeconfig
        ask = pulumi.ResourceHook("names in the cluster", self._refuse, pulumi.ResourceHookOptions(on_dry_run=True))
        self.hooks = pulumi.ResourceHookBinding(before_create=[ask])

    def labelled(self, manifest: Manifest) -> Manifest:
        """With whose it is."""
        metadata = manifest["metadata"]
        return {**manifest, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), OF_STACK: self._stack}}}

    def _refuse(self, hook: pulumi.ResourceHookArgs) -> None:
        wanted = hook.new_inputs or {}
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        with tempfile.TemporaryDirectory(prefix="tandem-") as directory:
            file = Path(directory) / "kubeconfig"
            file.write_text(self._kubeconfig)
            problem = taken(Kubectl(file), kind, name, self._stack)
        if problem:
            raise UserError(problem)
