"""The cluster of platform `eks`: the stack's own, or one that is there."""

from __future__ import annotations

import pulumi

from tandem.pins import Pins
from tandem.settings import Settings
from tandem.settings.cluster import ExistingClusterSettings

from ..components.cluster import Cluster, ClusterArgs, file_system_role
from ..components.cluster_before import cluster_before
from ..components.cluster_name import refuse_taken_cluster
from ..components.existing_cluster import ExistingCluster, existing_cluster, refuse_move
from .context import StackContext

AnyCluster = Cluster | ExistingCluster


def cluster_name(context: StackContext) -> str:
    """Known before there is one."""
    there = context.settings.cluster.existing
    return there.name if there else context.name


def existing(context: StackContext, there: ExistingClusterSettings) -> tuple[ExistingCluster, pulumi.Input[str] | None]:
    """With the role by which its driver mounts the model cache; None for that of the nodes."""
    return _asked(
        context.name, there, context.settings, context.pins, context.here.provider
    ), there.file_system_role_arn


def own(context: StackContext) -> tuple[Cluster, pulumi.Input[str]]:
    """As `existing`."""
    settings, network = context.settings, context.network
    mount_role = file_system_role(
        f"{context.name}-file-system", context.name, settings.region, network.account_id, context.here
    )
    before = cluster_before(context.name, context.here)
    cluster = Cluster(
        context.name,
        ClusterArgs(
            region=settings.region,
            account_id=network.account_id,
            subnet_ids=[network.host_subnet_ids[zone] for zone in before.control_plane_zones(settings.zones)],
            version=context.pins.kubernetes.version,
            settings=settings.cluster,
            creator=before.creator,
            node_release=context.pins.kubernetes.releases["system"].version,
            addon_versions={name: addon.version for name, addon in context.pins.kubernetes.addons.items()},
            mount_role=mount_role,
            log_retention_days=settings.fleet.log_retention_days,
            node_tags=context.tags,
            keep_key_days=7 if settings.ephemeral else 30,
        ),
        context.here,
    )
    return cluster, mount_role.role_arn


def _asked(
    name: str, there: ExistingClusterSettings, settings: Settings, pins: Pins, provider: pulumi.ProviderResource | None
) -> ExistingCluster:
    network = settings.network.existing
    vpc_id = network.vpc_id if network else ""  # the settings are refused without one
    return existing_cluster(there.name, name, settings.region, vpc_id, pins.kubernetes.version, provider)


def refuse(name: str, stack: str, settings: Settings, pins: Pins, provider: pulumi.ProviderResource) -> None:
    """Raises a UserError where the stack cannot be in the cluster of its settings; before anything is made."""
    there = settings.cluster.existing
    refuse_move(stack, name, there.name if there else None, provider)
    if there:
        _asked(name, there, settings, pins, provider)


def free(name: str, stack: str, here: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """The cluster's name must be free before anything is made."""
    free = pulumi.ResourceOptions(transformations=[refuse_taken_cluster(name, stack, here)])
    return pulumi.ResourceOptions.merge(here, free)
