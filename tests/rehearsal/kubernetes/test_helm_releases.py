"""Secrets of Helm's, as a killed `up` leaves them, on a real control plane with the real `kubectl`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from tandem.ops import helm_releases
from tandem.ops.rollout.cluster import Kubectl

NAMESPACE = "kube-system"
OWN = {(NAMESPACE, "karpenter"): "urn:karpenter", (NAMESPACE, "keda"): "urn:keda"}


def secret(release: str, revision: int, status: str, **labels: str) -> Object:
    """As Helm's storage driver writes it:
    https://github.com/helm/helm/blob/v3.18.4/pkg/storage/driver/secrets.go (`newSecretsObject`)."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "helm.sh/release.v1",
        "metadata": {
            "name": f"sh.helm.release.v1.{release}.v{revision}",
            "namespace": NAMESPACE,
            "labels": {"owner": "helm", "name": release, "status": status, "version": str(revision), **labels},
        },
        "stringData": {"release": "H4sI"},
    }


@pytest.fixture
def left(api: Api) -> Iterator[list[Object]]:
    """An upgrade and an install that were cut off, what was deployed before, and what is not the stack's."""
    made = [
        secret("karpenter", 1, "superseded"),
        secret("karpenter", 2, "deployed"),
        secret("karpenter", 3, "pending-upgrade"),
        secret("keda", 1, "pending-install"),
        secret("somebodys", 1, "pending-install"),
        secret("keda", 9, "pending-install", owner="somebody"),
    ]
    objects = [api.create(one) for one in made]
    yield objects
    for one in objects:
        if is_there(api, one):
            api.delete(one)


def is_there(api: Api, one: Object) -> bool:
    return api.get("v1", "Secret", one["metadata"]["name"], NAMESPACE) is not None


def test_only_what_says_pending_goes_and_only_of_the_stacks_releases(
    kubernetes: ControlPlane, api: Api, left: list[Object]
) -> None:
    kubectl = Kubectl(kubernetes.kubeconfig, str(build.KUBECTL.command("kubectl")))
    stuck = helm_releases.pending(kubectl, OWN)
    assert {(one.urn, one.status, one.secret) for one in stuck} == {
        ("urn:karpenter", "pending-upgrade", "sh.helm.release.v1.karpenter.v3"),
        ("urn:keda", "pending-install", "sh.helm.release.v1.keda.v1"),
    }
    helm_releases.forget(kubectl, stuck)
    assert helm_releases.pending(kubectl, OWN) == []
    there = [one["metadata"]["name"] for one in left if is_there(api, one)]
    assert there == [left[place]["metadata"]["name"] for place in (0, 1, 4, 5)]
    helm_releases.forget(kubectl, stuck)  # again, after an interruption
