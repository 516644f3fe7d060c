"""Pulumi's own provider for Kubernetes in a workspace: the engine starts it, as a plugin that is installed.

It reaches the control plane by the program's own kubeconfig, which asks the `aws` command for a token.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pulumi_rehearsal.kubernetes.build import KUBECTL, PROVIDER
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane

RELEASE = "kubernetes:helm.sh/v3:Release"

OLDER = (
    "it creates objects by server-side apply and adopts one that is there already; the pinned one refuses",
    "it leaves out nulls in a release's values; the pinned one hands them on",
)
"""What the version that the module proxy has does otherwise than the version that the program pins."""

AWS = """#!/bin/sh
case " $* " in
*" eks get-token "*) cat <<'TOKEN'
{token}
TOKEN
;;
*" eks update-kubeconfig "*) echo "$KUBECONFIG leads to the cluster already"
;;
*) {otherwise}
;;
esac
"""


def pinned() -> str:
    """The version of the provider that the program's SDK asks for."""
    return version("pulumi-kubernetes")


def label() -> str:
    """Which provider runs, for the report."""
    return f"Pulumi's provider for Kubernetes {PROVIDER.version}, where the program asks for {pinned()}"


def install(home: Path, commands: Path, plane: ControlPlane) -> None:
    """Installs the plugin, the `aws` command that lets its kubeconfig log in, and `kubectl`.

    Args:
        home: PULUMI_HOME.
        commands: a directory that comes first on PATH.
    """
    plugin = home / "plugins" / f"resource-kubernetes-v{pinned()}"
    plugin.mkdir(parents=True)
    for name in ("pulumi-resource-kubernetes", *(Path(file).name for file in PROVIDER.files)):
        try:
            os.link(PROVIDER.command(name), plugin / name)
        except OSError:  # another file system
            shutil.copy(PROVIDER.command(name), plugin / name)
    aws = commands / "aws"
    own = shutil.which("aws")
    otherwise = (
        f'exec "{own}" "$@"'
        if own
        else "echo 'aws: only eks get-token and update-kubeconfig are played here' >&2; exit 252"
    )
    aws.write_text(AWS.format(token=json.dumps(_credential(plane.token)), otherwise=otherwise))
    aws.chmod(0o755)
    (commands / "kubectl").symlink_to(KUBECTL.command("kubectl"))


def _credential(token: str) -> Mapping[str, Any]:
    """As `aws eks get-token` prints it."""
    head = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential"}
    return head | {"spec": {}, "status": {"token": token}}
