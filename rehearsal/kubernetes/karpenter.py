"""The real Karpenter, with its provider for kwok in place of EC2: it makes nodes of our catalog's instance types.

NodePools are the program's own. On their way to the API server three things change: the node class is the one that this
provider knows, the zones are named that the subnets of the program's EC2NodeClass are in, and empty nodes go sooner.

Stands for: Karpenter's provider for EC2.
Held by: nothing, Karpenter is its own; behind it is its provider for kwok.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from infra.catalog.instances import INSTANCE_TYPES, InstanceType
from ops.kinds.kind import Clients
from rehearsal.kubernetes.api import Api, Object
from rehearsal.kubernetes.build import KARPENTER
from rehearsal.kubernetes.charts import install_definitions
from rehearsal.kubernetes.control_plane import ControlPlane
from rehearsal.kubernetes.nodes import CAPACITY_TYPE, ZONE, node_resources
from rehearsal.servers import free_ports, running

NODE_CLASS = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}
NODE_CLASS_VERSION = "v1alpha1"
NAMESPACE = "kube-system"

EMPTY_FOR = "5s"
"""In place of the minutes that a node may be empty. Karpenter looks again 15 s later, which no setting changes."""

SPOT_DISCOUNT = 0.5
"""Of the price on demand; an assumption, so that Karpenter prefers spot. Real spot prices change by the hour."""


@contextmanager
def karpenter(plane: ControlPlane, zones: Sequence[str]) -> Iterator[None]:
    """Runs Karpenter until the block ends. Its CRDs must be there."""
    install_definitions(plane.api, "karpenter-kwok")
    node_class = {
        "apiVersion": f"{NODE_CLASS['group']}/{NODE_CLASS_VERSION}",
        "kind": NODE_CLASS["kind"],
        "metadata": {"name": NODE_CLASS["name"]},
    }
    plane.api.apply(node_class, "rehearsal")
    types = plane.directory / "instance-types.json"
    types.write_text(json.dumps([instance_type_of_karpenter(kind, zones) for kind in INSTANCE_TYPES.values()]))
    metrics, health = free_ports(2)
    variables = {
        "KUBECONFIG": str(plane.kubeconfig),
        "DISABLE_LEADER_ELECTION": "true",
        "SYSTEM_NAMESPACE": NAMESPACE,
        "INSTANCE_TYPES_FILE_PATH": str(types),
        "METRICS_PORT": str(metrics),
        "HEALTH_PROBE_PORT": str(health),
        "BATCH_IDLE_DURATION": "1s",
        "GOGC": "50",
    }
    with running([KARPENTER.command("karpenter")], plane.directory / "karpenter.log", variables):
        yield


def instance_type_of_karpenter(instance_type: InstanceType, zones: Sequence[str]) -> Object:
    """An instance type as Karpenter's provider for kwok reads it: what pods can have, and what it costs where."""

    def offering(zone: str, capacity_type: str, price: float) -> Object:
        labels = {CAPACITY_TYPE: capacity_type, ZONE: zone}
        requirements = [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]
        return {"Price": price, "Available": True, "Requirements": requirements}

    price = instance_type.usd_per_hour
    prices = {"on-demand": price, "spot": round(price * SPOT_DISCOUNT, 4)}
    return {
        "name": instance_type.name,
        "architecture": "amd64",
        "operatingSystems": ["linux"],
        "resources": node_resources(instance_type),
        "offerings": [offering(zone, kind, price) for zone in zones for kind, price in prices.items()],
    }


def for_kwok(object: Object, api: Api, clients: Clients) -> Object:
    """A NodePool as Karpenter's provider for kwok takes it; other objects as they are."""
    if object["kind"] != "NodePool":
        return object
    spec = object["spec"]
    template = spec["template"]
    node = template["spec"]
    requirements = list(node.get("requirements") or [])
    zones = _zones(api.get("karpenter.k8s.aws/v1", "EC2NodeClass", node["nodeClassRef"]["name"]), clients)
    if zones and not any(requirement["key"] == ZONE for requirement in requirements):
        requirements.append({"key": ZONE, "operator": "In", "values": zones})
    node = {**node, "nodeClassRef": NODE_CLASS, "requirements": requirements}
    changed = {**spec, "template": {**template, "spec": node}}
    if spec.get("disruption", {}).get("consolidateAfter", "Never") != "Never":
        changed["disruption"] = {**spec["disruption"], "consolidateAfter": EMPTY_FOR}
    return {**object, "spec": changed}


def _zones(node_class: Object | None, clients: Clients) -> list[str]:
    terms: list[Any] = node_class["spec"]["subnetSelectorTerms"] if node_class else []
    ids = [term["id"] for term in terms if "id" in term]
    if not ids:
        return []
    subnets = clients("ec2").describe_subnets(SubnetIds=ids)["Subnets"]
    return sorted({subnet["AvailabilityZone"] for subnet in subnets})
