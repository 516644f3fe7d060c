"""Sections of platform `eks`: the cluster, its GPU nodes, and how a model's replicas follow the load."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field

from tandem.settings.section import Section
from tandem.settings.types import (
    EVERYONE,
    NAMESPACE_NAME,
    ClientNetwork,
    ClusterName,
    HttpUrl,
    NamespaceName,
    PrincipalArn,
    RoleArn,
    TimeOfDay,
)

MONITORING = "monitoring"
"""Namespace of the Prometheus that the stack brings."""


class ExistingClusterSettings(Section):
    """An EKS cluster that is there. The stack has a node group and a namespace in it, and changes nothing it finds."""

    name: ClusterName = Field(
        description="The cluster, in network.existing, with its add-ons and controllers (docs/operations.md, in your "
        "own cluster)."
    )
    file_system_role_arn: RoleArn | None = Field(
        default=None,
        description="Role that its EFS driver has on nodes (service account efs-csi-node-sa), which mounts the model "
        "cache. Unset: it has none, and takes that of the stack's nodes.",
    )


class ClusterSettings(Section):
    """The EKS cluster; for platform eks only."""

    endpoint: Literal["public", "private"] = Field(
        default="public",
        description="Who reaches the Kubernetes API: everyone with credentials, or only the VPC; `pulumi up` then has "
        "to run in there.",
    )
    endpoint_cidrs: tuple[ClientNetwork, ...] = Field(
        default=(EVERYONE,), min_length=1, max_length=40, description="Who may use a public endpoint."
    )
    admins: tuple[PrincipalArn, ...] = Field(
        default=(),
        max_length=20,
        description="Roles that administer the cluster, besides the one that made it, which may be among them.",
    )
    system_instance_type: Literal["m6i.large", "m7i.large", "m7i.xlarge"] = Field(
        default="m7i.large", description="Nodes of the controllers; no GPU."
    )
    system_nodes: int = Field(default=2, ge=2, le=10, description="Number of those; two, so that one may be drained.")
    existing: ExistingClusterSettings | None = Field(
        default=None,
        description="Uses an EKS cluster that is there (docs/operations.md, in your own cluster), without the settings "
        "above. Unset: the stack makes its own. A stack stays where it was made.",
    )


class ReplacementWindowSettings(Section):
    """When Karpenter may replace nodes that work; what is broken or reclaimed is replaced at any time."""

    start: TimeOfDay = Field(default="02:00", description="From then on, in UTC: Karpenter knows no other clock.")
    hours: int = Field(default=4, ge=1, le=23, description="Length of the window, each day; what has begun goes on.")

    @property
    def minutes_and_hours(self) -> tuple[int, int]:
        """(minute of the day at which it opens, hours that it is open)."""
        hour, _, minute = self.start.partition(":")
        return 60 * int(hour) + int(minute), self.hours


class NodePoolSettings(Section):
    """GPU nodes; for platform eks only. Types, sizes and purchase are the fleet's."""

    provisioner: Literal["karpenter", "managed"] = Field(
        default="karpenter",
        description="karpenter adds and removes nodes as pods need them; managed is an EKS node group of "
        "fleet.hosts + spareHosts nodes, which a schedule can stop.",
    )
    image: Literal["al2023", "bottlerocket"] = Field(default="al2023", description="Family of the NVIDIA node image.")
    replacement_window: ReplacementWindowSettings | None = Field(
        default=None, description="Karpenter replaces nodes of an older image at these hours only. Unset: at any time."
    )
    empty_minutes: int = Field(default=10, ge=1, le=1440, description="Karpenter removes a node without pods after it.")


class ScalingSettings(Section):
    """How many servers a model has, by its requests: replicas on platform eks, hosts with fleet.followLoad on ec2."""

    min_replicas: int = Field(
        default=2, ge=0, le=400, description="Never fewer; N+1 of what the quiet hours need. 0: none without requests."
    )
    max_replicas: int = Field(default=4, ge=1, le=400, description="Never more.")
    waiting_requests_per_replica: int = Field(
        default=5, ge=1, le=1000, description="A replica (ec2: a host) comes when more requests wait for each."
    )
    running_requests_per_replica: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="A replica (ec2: a host) comes when more run in each, and goes when those that are left would have "
        "less than 0.8 of it. On ec2 those that wait count here, too.",
    )
    cooldown_seconds: int = Field(
        default=300,
        ge=30,
        le=3600,
        description="How long the load must have been lower before a replica goes; on ec2 a host, by whole minutes.",
    )
    fallback_replicas: int | None = Field(
        default=None, ge=1, le=400, description="At least this many while no metrics can be read. Unset: minReplicas."
    )
    min_available: int | None = Field(
        default=None, ge=1, le=400, description="Replicas that drains leave alone. Unset: drains take one at a time."
    )
    spread: Literal["prefer", "nodes", "zones"] = Field(
        default="prefer",
        description="prefer: over the zones as far as GPUs allow, not all on one node; nodes: each of minReplicas has "
        "a node of its own, or waits; zones: even over the zones as well, or they wait.",
    )
    prometheus_url: HttpUrl | None = Field(
        default=None, description="A Prometheus that is there already. Unset: a small one is installed."
    )

    prometheus_namespace: NamespaceName | None = Field(
        default=None,
        description="Namespace whose pods scrape the servers. Unset: that of prometheusUrl, NAME.NAMESPACE.svc.",
    )

    @property
    def scraped_from(self) -> str | None:
        """The namespace whose pods may ask for metrics; None where the settings do not say it."""
        if self.prometheus_namespace or not self.prometheus_url:
            return self.prometheus_namespace or MONITORING
        host = self.prometheus_url.partition("://")[2].partition("/")[0].partition(":")[0]
        found = re.fullmatch(rf"[a-z0-9-]+\.({NAMESPACE_NAME})(\.svc(\.[a-z0-9.-]+)?)?", host)
        return found[1] if found else None

    @property
    def fallback(self) -> int:
        """Replicas, at least, while no metrics can be read."""
        return self.fallback_replicas or max(1, self.min_replicas)
