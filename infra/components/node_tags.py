"""New tags replace the nodes of a cluster, and the preview says so: they are a part of what a node is made after."""

from __future__ import annotations

from typing import Any

import pulumi

INSTANCE_TAGS = "tagSpecifications"
"""The input of a launch template; an EC2NodeClass has `spec.tags`."""


def warn_of_new_tags(label: str, nodes: str) -> pulumi.ResourceHookBinding:
    """Hooks of a launch template or an EC2NodeClass: a preview and an `up` that change its tags say what follows.

    Karpenter takes new tags for drift (https://karpenter.sh/docs/concepts/disruption/#drift), and EKS rolls a new
    version of a launch template out (https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html).

    Args:
        label: of the resource; a hook's name is the stack's once.
        nodes: what people call them.
    """

    def warn(hook: pulumi.ResourceHookArgs) -> None:
        if _tags(hook.old_inputs or {}) != _tags(hook.new_inputs or {}):
            pulumi.log.warn(f"tags: new ones replace the {nodes}, one after another; pods move with them")

    ask = pulumi.ResourceHook(f"tags of {label}", warn, pulumi.ResourceHookOptions(on_dry_run=True))
    return pulumi.ResourceHookBinding(before_update=[ask])


def _tags(inputs: Any) -> Any:
    return inputs.get(INSTANCE_TAGS) or (inputs.get("spec") or {}).get("tags")
