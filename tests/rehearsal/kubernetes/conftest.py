from __future__ import annotations

from pulumi_rehearsal.kubernetes.api import Object
from simulated.plane import api as api
from simulated.plane import deployment
from simulated.plane import kubernetes as kubernetes
from simulated.plane import namespace as namespace
from tests.infra.kubernetes.samples import manifests


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
    (edge,) = [one for one in template["spec"]["initContainers"] if one["name"] == "edge"]
    pod["spec"]["containers"][0]["ports"] = edge["ports"]
    pod["spec"]["topologySpreadConstraints"][0]["labelSelector"] = theirs["spec"]["selector"]
    return ours
