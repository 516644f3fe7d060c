"""Platform `eks`: pods on Kubernetes, on nodes of Karpenter's or of a managed node group."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from tandem import capacity
from tandem.catalog import prices
from tandem.errors import Problem
from tandem.platforms.platform import CostItem, Platform
from tandem.settings.schema import Settings
from tandem.timing import NODE_HOOK

if TYPE_CHECKING:
    from tandem.pins import Pins


def nodes(settings: Settings) -> Platform:
    """As nodePool.provisioner says."""
    return {"karpenter": KarpenterNodes, "managed": ManagedNodes}[settings.node_pool.provisioner](settings)


class Nodes(Platform):
    """What both kinds of nodes have: a control plane, and nodes without GPUs for its controllers."""

    keeps_pipelines = True
    knows_its_type = False
    sees_gpus = False  # the agent of a pod has none of its GPUs
    makes_spot_role = False

    def _replicas(self, *, missing: bool) -> int:
        return self.settings.scaling.min_replicas - missing

    @property
    def drain_time(self) -> timedelta:
        return max(NODE_HOOK, timedelta(seconds=self.settings.timeouts.termination_grace_seconds))

    @property
    def other_types(self) -> Sequence[str]:
        return () if self.settings.cluster.existing else (self.settings.cluster.system_instance_type,)

    @property
    def other_costs(self) -> Sequence[CostItem]:
        region, cluster = self.settings.region, self.settings.cluster
        if cluster.existing:
            return ()
        usd = cluster.system_nodes * prices.on_demand(cluster.system_instance_type, region)
        return (
            CostItem("EKS cluster", 1, prices.parts(region).eks_cluster_hour),
            CostItem("controllers' nodes", cluster.system_nodes, usd),
        )

    @property
    def charts(self) -> Sequence[str]:
        if self.settings.cluster.existing:
            return ()
        pool = self.settings.node_pool
        optional = {
            "karpenter": pool.provisioner == "karpenter",
            "karpenter-crd": pool.provisioner == "karpenter",
            "lws": self.settings.has_pipelines,
            "nvidia-device-plugin": pool.image == "al2023",
            "prometheus": any(scaling.prometheus_url is None for _, scaling in self.settings.scaled.values()),
        }
        return ("aws-load-balancer-controller", "keda", *(name for name, wanted in optional.items() if wanted))

    def machine_image(self, pins: Pins) -> str | None:
        settings = self.settings
        return settings.fleet.machine_image_id or pins.kubernetes.node_image_id(
            settings.node_pool.image, settings.region
        )

    def missing_pins(self, pins: Pins) -> list[Problem]:
        settings = self.settings
        pool, image = settings.node_pool, settings.fleet.machine_image_id
        managed = pool.provisioner == "managed"
        return pins.missing_kubernetes(
            settings.region, settings.models_served, pool.image, managed=managed, machine_image=image
        )

    @property
    def pin_command(self) -> str:
        return "tandem pin --kubernetes"


class KarpenterNodes(Nodes):
    """They follow the pods."""

    @property
    def hosts_at_first(self) -> int:
        """As many as the pods at their minimum need."""
        return capacity.nodes_that_serve(self.settings, most=False)

    @property
    def launched_ahead(self) -> int:
        """One a pool, each before the node goes that it replaces, whatever fleet.rollout says.

        A pool's limit does not count the node that goes, so that a full pool has a node more meanwhile (in
        sigs.k8s.io/karpenter v1.14.0 SimulateScheduling in pkg/controllers/disruption/helpers.go, and Create in
        pkg/controllers/provisioning/provisioner.go). A Capacity Block has no node more.
        """
        fleet = self.settings.fleet
        if fleet.capacity_block is not None:
            return 0
        return self.on_demand_ahead + (self.settings.max_group_size > fleet.on_demand_base)

    @property
    def on_demand_ahead(self) -> int:
        """The pool of the base is on demand."""
        return int(self.settings.fleet.on_demand_base > 0)


class ManagedNodes(Nodes):
    """EKS's own Auto Scaling group, as large as it was made."""

    @property
    def hosts_at_first(self) -> int:
        return self.settings.group_size

    @property
    def launched_ahead(self) -> int:
        """Up to two a zone (https://docs.aws.amazon.com/eks/latest/userguide/managed-node-update-behavior.html)."""
        return 0 if self.settings.fleet.rollout == "terminateFirst" else 2 * len(self.settings.zones)

    @property
    def rebalances(self) -> bool:
        return True
