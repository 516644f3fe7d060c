"""Pulumi's own provider for Kubernetes under the engine: what it does otherwise than the version that is pinned."""

from __future__ import annotations

import json

import pytest

from pulumi_rehearsal.kubernetes import build, charts, provider_plugin
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.workspace import Workspace
from simulated.on_plane import workspace as workspace
from simulated.on_plane import write

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]


def test_it_adopts_what_is_there_already(workspace: Workspace, kubernetes: ControlPlane, namespace: str) -> None:
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}}
    kubernetes.api.create({**head, "data": {"whose": "another's"}})
    write(
        workspace,
        f"""
        metadata = {{"name": "settings", "namespace": "{namespace}"}}
        kubernetes.core.v1.ConfigMap("settings", metadata=metadata, data={{"mine": "1"}}, opts=here)
        """,
    )
    up = workspace.up()
    assert up.succeeded, up.messages
    found = kubernetes.api.get("v1", "ConfigMap", "settings", namespace)
    assert found is not None
    assert found["data"] == {"mine": "1", "whose": "another's"}
    assert "adopts" in provider_plugin.OLDER[0]


def test_it_leaves_nulls_out_of_a_releases_values(
    workspace: Workspace, kubernetes: ControlPlane, namespace: str
) -> None:
    build.ensure((build.CRDS,), print)
    charts.ensure(print)
    with charts.repository(["prometheus"]) as served:
        write(
            workspace,
            f"""
            kubernetes.helm.v3.Release(
                "prometheus", name="prometheus", chart="prometheus", version="0.0.0", namespace="{namespace}",
                repository_opts={{"repo": "{served.url}"}}, values={{"kept": 1, "none": None}}, opts=here,
            )
            """,
        )
        up = workspace.up()
        assert up.succeeded, up.messages
        found = kubernetes.api.get("v1", "ConfigMap", "prometheus-recorded", namespace)
        assert found is not None
        assert json.loads(found["data"]["values"]) == {"kept": 1}
        assert "nulls" in provider_plugin.OLDER[1]
        assert workspace.destroy().succeeded
    assert kubernetes.api.get("v1", "ConfigMap", "prometheus-recorded", namespace) is None


def test_a_field_that_does_not_exist_is_only_warned_of(workspace: Workspace, namespace: str) -> None:
    """Which is why each rehearsal asks the API server itself, strictly."""
    write(
        workspace,
        f"""
        inputs = {{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "x", "namespace": "{namespace}"}}}}
        pulumi.CustomResource("kubernetes:core/v1:ConfigMap", "x", {{**inputs, "datta": {{}}}}, here)
        """,
    )
    up = workspace.up()
    assert up.succeeded, up.messages


def test_the_report_says_which_provider_runs() -> None:
    assert provider_plugin.label().endswith(
        f"{build.PROVIDER.version}, where the program asks for {provider_plugin.pinned()}"
    )
