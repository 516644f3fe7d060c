"""What is allowed on platform `eks` and may surprise."""

from __future__ import annotations

from collections.abc import Iterator

from tandem import capacity
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.rules import cluster, hosts
from tandem.settings.schema import Settings
from tandem.settings.types import EVERYONE
from tandem.timing import MANAGED_DRAIN_SECONDS, SPOT_NOTICE_SECONDS


def warnings(settings: Settings) -> Iterator[str]:
    """What is allowed and may surprise."""
    for prefix, _, scaling in cluster.models(settings):
        if scaling.min_replicas == 0:
            yield (
                f"{prefix}scaling.minReplicas is 0: while no replica runs, clients get 503 until one has started, "
                f"which takes up to {settings.fleet.launch_timeout_seconds // 60} minutes"
            )
        elif scaling.min_replicas == 1:
            yield f"{prefix}scaling.minReplicas is 1: a node that goes takes the model away until another has started"
    beside = "network.egress is publicHosts" if settings.network.egress == "publicHosts" else ""
    if settings.network.existing and settings.load_balancer.internal:
        beside = "loadBalancer.scheme is internal with network.existing"
    if beside:
        yield (
            f"{beside}: nodes stand in the load balancer's subnets, so that pods of other namespaces can reach the "
            "servers' port as it can; they need a key for /v1, and none for /metrics"
        )
    longest = settings.timeouts.longest_generation_seconds
    if hosts.may_be_taken_back(settings) and longest > SPOT_NOTICE_SECONDS:
        yield (
            f"timeouts.longestGenerationSeconds is {longest} and spot gives {SPOT_NOTICE_SECONDS} s of notice: answers "
            "that run longer are cut off when a spot node is reclaimed"
        )
    start = settings.fleet.launch_timeout_seconds
    if settings.node_pool.provisioner == "managed" and start > MANAGED_DRAIN_SECONDS:
        yield (
            f"nodePool.provisioner is managed and a server may take {start // 60} minutes to start: at an update EKS "
            "waits 15 minutes for a node to be empty, and a disruption budget holds the next server until the last one "
            "serves. The update may end with PodEvictionFailure; `pulumi up` then goes on with the nodes that are left"
        )
    if settings.cluster.existing:
        pass  # its endpoint is its owner's
    elif settings.cluster.endpoint == "public" and EVERYONE in settings.cluster.endpoint_cidrs:
        yield (
            "the Kubernetes API answers the whole internet, to those with credentials: name who may reach it in "
            "cluster.endpointCidrs, or set cluster.endpoint to private"
        )
    if settings.cluster.endpoint == "private":
        yield "cluster.endpoint is private: `pulumi up` must run inside the VPC"
    if settings.fleet.rollout == "launchFirst" and any(
        name in INSTANCE_TYPES for name in settings.fleet.instance_types
    ):
        one_more = sum(inference.gpus for inference, _ in settings.scaled.values())
        most = capacity.gpus_of(settings, most=True) + one_more
        if capacity.nodes_for(settings, most) > capacity.most_nodes(settings):
            yield (
                "fleet.rollout is launchFirst and at maxReplicas no GPU is left for one more pod: a rollout then waits "
                "until the load is lower; raise fleet.maxHosts, or set terminateFirst"
            )
