"""What must hold of a cluster when all is up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_rehearsal.kubernetes import declared
from pulumi_rehearsal.kubernetes.cluster import Cluster, title
from pulumi_rehearsal.kubernetes.instances import instances
from rehearsal.expectations import Verdict
from rehearsal.kubernetes import expectations as kubernetes
from rehearsal.kubernetes import promises
from tandem.ops.kinds.left_behind import cluster_name
from tandem.settings import Settings
from tandem.tags import STACK_TAG


def of_cluster(cluster: Cluster, state: Sequence[Mapping[str, Any]], settings: Settings) -> list[Verdict]:
    """Asks the API server for each.

    Args:
        state: the engine's, of the stack.
    """
    api = cluster.api
    pods, nodes, deployments = api.list("v1", "Pod"), api.list("v1", "Node"), api.list("apps/v1", "Deployment")
    held = [*cluster.objects(), *cluster.definitions()]
    return [
        kubernetes.is_of_the_pinned_version(*versions(cluster)),
        kubernetes.are_held(filter(None, map(kubernetes.recorded_object, state)), map(title, held)),
        kubernetes.are_known_to_the_last_field(declared.refusals(api, declared.manifests(state))),
        kubernetes.are_given_their_time(declared.waits(state), settings.fleet.launch_timeout_seconds),
        kubernetes.reach_their_pods(*_lent(cluster)),
        kubernetes.can_be_emptied(pods, nodes),
        kubernetes.have_their_replicas(deployments),
        kubernetes.share_no_gpu(pods, nodes),
        kubernetes.stand_apart(pods, nodes),
        kubernetes.wait_for_their_way_in(pods, api.list("v1", "Service"), cluster.bindings()),
        promises.are_given_what_is_promised(
            settings, deployments, api.list("policy/v1", "PodDisruptionBudget"), cluster.scaled()
        ),
        promises.may_join(cluster.node_classes(), instances(cluster.clients), state),
    ]


def versions(cluster: Cluster) -> tuple[str, str]:
    """Of Kubernetes: which runs, and which the program asked EKS for."""
    name = cluster_name(cluster.tags[STACK_TAG])
    asked = cluster.clients("eks").describe_cluster(name=name)["cluster"]["version"]
    return cluster.api.request("GET", "/version")["gitVersion"], asked


def _lent(cluster: Cluster) -> tuple[list[str], list[str]]:
    """Service accounts to which the account lends a role, and the cluster's add-ons."""
    eks, name = cluster.clients("eks"), {"clusterName": cluster_name(cluster.tags[STACK_TAG])}
    lent = eks.list_pod_identity_associations(**name)["associations"]
    return [one["serviceAccount"] for one in lent], eks.list_addons(**name)["addons"]
