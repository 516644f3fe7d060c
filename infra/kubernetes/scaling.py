"""Replicas that follow the load: a KEDA ScaledObject on the requests that wait, and on those that run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from tandem.kubernetes.names import NAMESPACE
from tandem.scaling import ROOM

from .objects import Manifest, named

POLLING_SECONDS = 15
STEP_SECONDS = 60
RECENT_SECONDS = 300
"""CloudWatch has what a load balancer counts within a few minutes."""


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How many replicas a model has, and when.

    Attributes:
        service: name of the Deployment, or of the LeaderWorkerSet when `pipelined`.
        min_replicas: 0 stops the model without requests; see `wake_up`.
        waiting_requests, running_requests: of each replica; more of either brings another.
        cooldown_seconds: the load must have been lower so long before a replica goes.
        fallback_replicas: at least so many while no metrics can be read.
        prometheus_url: in the cluster.
        launch_seconds: what a first replica may take to its first token.
        longest_answer_seconds: a request may run so long after the load balancer has counted it.
        load_balancer_suffix, target_group_suffix, region: by which CloudWatch knows the load balancer and the model's
            target group; with min_replicas 0 only.
    """

    service: str
    pipelined: bool = False
    min_replicas: int
    max_replicas: int
    waiting_requests: int
    running_requests: int
    cooldown_seconds: int
    fallback_replicas: int
    prometheus_url: str
    launch_seconds: int
    longest_answer_seconds: int
    load_balancer_suffix: pulumi.Input[str] = ""
    target_group_suffix: pulumi.Input[str] = ""
    region: str = ""


def scaling_objects(scaling: Scaling) -> list[Manifest]:
    """The ScaledObject; with scale to zero, what it needs to notice the first request."""
    kind, version = (
        ("LeaderWorkerSet", "leaderworkerset.x-k8s.io/v1") if scaling.pipelined else ("Deployment", "apps/v1")
    )
    sleeps = scaling.min_replicas == 0
    scaled = named("ScaledObject", "keda.sh/v1alpha1", scaling.service, NAMESPACE) | {
        "spec": {
            "scaleTargetRef": {"apiVersion": version, "kind": kind, "name": scaling.service},
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            "pollingInterval": POLLING_SECONDS,
            # From the last replica to none, which may not yet have made a token; above that `behavior` decides.
            "cooldownPeriod": scaling.cooldown_seconds + (scaling.launch_seconds if sleeps else 0),
            "fallback": {
                "failureThreshold": 3,
                "replicas": scaling.fallback_replicas,
                # A blind autoscaler must not take servers from under a load.
                "behavior": "currentReplicasIfHigher",
            },
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(scaling)}},
            "triggers": [
                _prometheus(scaling, "waiting", scaling.waiting_requests),
                _prometheus(scaling, "running", scaling.running_requests),
                *([_wake_up(scaling), _stay_awake(scaling)] if sleeps else []),
            ],
        }
    }
    identity = named("TriggerAuthentication", "keda.sh/v1alpha1", scaling.service, NAMESPACE) | {
        "spec": {"podIdentity": {"provider": "aws"}}
    }
    return [identity, scaled] if sleeps else [scaled]


def _behavior(scaling: Scaling) -> Manifest:
    """Up by as many again; down one by one, and only when the highest need of the cooldown allows it.

    The targets are ROOM of what is wanted, and tolerated as far as that: a replica comes above what is wanted, as on
    hosts, and goes when those that are left have ROOM of it. The autoscaler's own 10 % is no room for two replicas.
    A quantity is spelt as Kubernetes spells it: KEDA writes the object back, and another spelling is a conflict.
    """
    return {
        "scaleUp": {
            "tolerance": f"{1000 * (1 / ROOM - 1):.0f}m",
            "stabilizationWindowSeconds": STEP_SECONDS,
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": STEP_SECONDS}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": scaling.cooldown_seconds,
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": STEP_SECONDS}],
        },
    }


def _prometheus(scaling: Scaling, requests: str, each: int) -> Manifest:
    selector = f'namespace="{NAMESPACE}",app_kubernetes_io_instance="{scaling.service}"'
    return {
        "type": "prometheus",
        "name": requests,
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": scaling.prometheus_url,
            "query": _load(f"vllm:num_requests_{requests}{{{selector}}}", f"up{{{selector}}}", scaling),
            "threshold": f"{each * ROOM:g}",
            # Nothing measured is an error, after which the fallback keeps what there is.
            "ignoreNullValues": "false",
        },
    }


def _load(metric: str, targets: str, scaling: Scaling) -> str:
    """The sum over all servers; nothing where there are servers and no figures of theirs.

    A model that sleeps has no servers, and one that wakes has none that answers yet: their load is 0. A server that
    Prometheus has known for as long as a start may take, and that has no figures, is one that it cannot ask.
    """
    total = f"sum({metric})"
    if scaling.min_replicas:
        return total
    return f"{total} or (vector(0) unless on() ({targets} and {targets} offset {scaling.launch_seconds}s))"


def _wake_up(scaling: Scaling) -> Manifest:
    """Notices a request that found no server: the load balancer answered it with 503, and counted it.

    Clients try again; the first replica takes as long as any start. The count is the load balancer's, so that a
    refused request wakes every model that sleeps.
    """
    return _counted(
        scaling, "refused", "HTTPCode_ELB_503_Count", {"LoadBalancer": scaling.load_balancer_suffix}, RECENT_SECONDS
    )


def _stay_awake(scaling: Scaling) -> Manifest:
    """Notices that a model serves without asking Prometheus, which may know none of its servers: KEDA sets a model to 0
    only when no trigger is active (pkg/scaling/executor/scale_scaledobjects.go, KEDA v2.20)."""
    group = {"TargetGroup": scaling.target_group_suffix, "LoadBalancer": scaling.load_balancer_suffix}
    seconds = RECENT_SECONDS + 60 * -(-scaling.longest_answer_seconds // 60)
    return _counted(scaling, "served", "RequestCount", group, seconds)


def _counted(
    scaling: Scaling, name: str, metric: str, dimensions: Mapping[str, pulumi.Input[str]], seconds: int
) -> Manifest:
    """A trigger that is active while the load balancer has counted something in the last seconds."""
    return {
        "type": "aws-cloudwatch",
        "name": name,
        "metricType": "AverageValue",
        "authenticationRef": {"name": scaling.service},
        "metadata": {
            "namespace": "AWS/ApplicationELB",
            "dimensionName": ";".join(dimensions),
            "dimensionValue": pulumi.Output.all(*dimensions.values()).apply(";".join),
            "metricName": metric,
            "metricStat": "Sum",
            "metricStatPeriod": "60",
            "metricCollectionTime": str(seconds),
            # It only wakes, or keeps awake: the number of replicas follows the queue.
            "targetMetricValue": "1000000",
            "activationTargetMetricValue": "0",
            "minMetricValue": "0",
            "awsRegion": scaling.region,
        },
    }
