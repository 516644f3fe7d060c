"""A control plane for tests, and objects to put on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from pulumi_rehearsal.instance_types import type_named
from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane, control_plane
from pulumi_rehearsal.kubernetes.nodes import add_nodes

_numbers = itertools.count(1)

ZONES = ("us-east-1a", "us-east-1b")


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[ControlPlane]:
    """A control plane with a node of four GPUs in each of two zones; the first run on a machine builds it."""
    build.ensure(build.TOOLS_OF_THE_CONTROL_PLANE, print)
    with control_plane() as plane:
        add_nodes(plane.api, ZONES, type_named("g6.12xlarge", {}))
        yield plane


@pytest.fixture
def namespace(kubernetes: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own; what is in it goes with it."""
    name = f"test-{next(_numbers)}"
    made = kubernetes.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kubernetes.api.delete(made)


@pytest.fixture
def api(kubernetes: ControlPlane) -> Api:
    return kubernetes.api


def deployment(namespace: str, replicas: int = 2, gpus: int = 2, name: str = "server", **more: object) -> Object:
    """Servers of two GPUs, spread over the zones."""
    labels = {"app": name}
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": labels},
    }
    container = {"name": "server", "image": "server:1", "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "topologySpreadConstraints": [spread],
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                },
            },
            **more,
        },
    }
