"""Kubernetes objects as resources. A manifest is plain data, so that a reviewer, a golden file and the API server's own
schema all read the same thing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pulumi

Manifest = dict[str, Any]


class KubernetesObject(pulumi.CustomResource):
    """One object, declared by its manifest; its type token is the one of the provider's typed classes.

    Args:
        manifest: apiVersion, kind, metadata with a name, and whatever the kind has; outputs may be inside.
        prefix: of the resource's name in the stack, which is `PREFIX-KIND-NAME`.
    """

    def __init__(self, prefix: str, manifest: Manifest, opts: pulumi.ResourceOptions) -> None:
        group, kind = manifest["apiVersion"], manifest["kind"]
        token = f"kubernetes:{group if '/' in group else f'core/{group}'}:{kind}"
        name = f"{prefix}-{kind.lower()}-{manifest['metadata']['name']}"
        super().__init__(token, name, dict(manifest), opts)


def declare(prefix: str, manifests: Iterable[Manifest], opts: pulumi.ResourceOptions) -> list[KubernetesObject]:
    """Declares the objects, side by side."""
    return [KubernetesObject(prefix, manifest, opts) for manifest in manifests]


def named(kind: str, api_version: str, name: str, namespace: str | None = None) -> Manifest:
    """The head of a manifest."""
    metadata: Manifest = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}
