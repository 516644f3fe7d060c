"""What must hold of a cluster when all is up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.settings import Settings
from rehearsal.expectations import Verdict
from rehearsal.kubernetes import declared
from rehearsal.kubernetes import expectations as kubernetes
from rehearsal.kubernetes.cluster import Cluster, title


def of_cluster(cluster: Cluster, state: Sequence[Mapping[str, Any]], settings: Settings) -> list[Verdict]:
    """Asks the API server for each.

    Args:
        state: the engine's, of the stack.
    """
    api = cluster.api
    pods, nodes = api.list("v1", "Pod"), api.list("v1", "Node")
    return [
        kubernetes.are_held(filter(None, map(kubernetes.recorded_object, state)), map(title, cluster.objects())),
        kubernetes.are_known_to_the_last_field(declared.refusals(api, declared.manifests(state))),
        kubernetes.are_given_their_time(declared.waits(state), settings.fleet.launch_timeout_seconds),
        kubernetes.have_their_replicas(api.list("apps/v1", "Deployment")),
        kubernetes.share_no_gpu(pods, nodes),
        kubernetes.stand_apart(pods, nodes),
        kubernetes.wait_for_their_way_in(
            pods, api.list("v1", "Service"), cluster.bindings(), api.list("v1", "Namespace")
        ),
    ]
