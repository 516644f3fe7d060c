from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from rehearsal.kubernetes import build
from rehearsal.kubernetes.api import Api, Object
from rehearsal.kubernetes.control_plane import ControlPlane, control_plane
from rehearsal.kubernetes.nodes import add_nodes
from tests.infra.kubernetes.samples import manifests

_numbers = itertools.count(1)

ZONES = ("us-east-1a", "us-east-1b")


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[ControlPlane]:
    """A control plane with a node of four GPUs in each of two zones; the first run on a machine builds it."""
    build.ensure(build.TOOLS_OF_THE_CONTROL_PLANE, print)
    with control_plane() as plane:
        add_nodes(plane.api, ZONES, "g6.12xlarge")
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


def of_the_program(kind: str) -> Object:
    """The object of a kind that the program makes for its model."""
    return next(object for object in manifests("karpenter") if object["kind"] == kind)


def servers_of_the_program(replicas: int) -> Object:
    """The program's Deployment as to names, labels, annotations and ports; its pods wait for nothing but GPUs."""
    theirs = of_the_program("Deployment")
    metadata, template = theirs["metadata"], theirs["spec"]["template"]
    ours = deployment(metadata["namespace"], replicas, name=metadata["name"], selector=theirs["spec"]["selector"])
    pod = ours["spec"]["template"]
    pod["metadata"] = template["metadata"]
    pod["spec"]["containers"][0]["ports"] = template["spec"]["containers"][0]["ports"]
    pod["spec"]["topologySpreadConstraints"][0]["labelSelector"] = theirs["spec"]["selector"]
    return ours
