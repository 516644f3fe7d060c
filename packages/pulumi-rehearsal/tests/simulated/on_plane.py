"""A stack with nothing in it but a provider for the control plane of the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from pulumi_rehearsal import engine
from pulumi_rehearsal.kubernetes import build, provider_plugin
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.workspace import Workspace, open_workspace

PROGRAM = """
import json, os
import pulumi, pulumi_kubernetes as kubernetes

config = pulumi.Config()
server = kubernetes.Provider("server", kubeconfig=config.require("kubeconfig"), enable_server_side_apply=True)
here = pulumi.ResourceOptions(provider=server)
"""


@pytest.fixture
def workspace(kubernetes: ControlPlane, tmp_path: Path) -> Iterator[Workspace]:
    """A stack with nothing in it but a provider for the control plane."""
    build.ensure((build.PROVIDER,), print)
    (tmp_path / "infra").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: plugin\nmain: infra\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    with open_workspace("dev", engine.ensure(print), "", {}, tmp_path) as workspace:
        provider_plugin.install(workspace.directory / "home", workspace.directory / "bin", kubernetes)
        workspace.pulumi("config", "set", "kubeconfig", kubeconfig(kubernetes))
        yield workspace
        assert workspace.destroy().succeeded


def kubeconfig(plane: ControlPlane) -> str:
    """As the program's own: it asks the `aws` command for a token."""
    cluster = {"server": plane.api.url, "certificate-authority-data": plane.authority.base64}
    login = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": ["eks", "get-token"]}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"exec": login}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


def write(workspace: Workspace, program: str) -> None:
    (workspace.directory / "infra" / "__main__.py").resolve().write_text(PROGRAM + dedent(program))
