"""The real Karpenter, as its chart runs it: nodes are instances that it starts in the simulated account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.build import CONTROLLERS
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.kubernetes.hosting import Controller, Process, account_of, variables
from pulumi_rehearsal.servers import free_ports, running

NAMESPACE = "kube-system"


def karpenter(plane: ControlPlane, account: Mapping[str, str]) -> Controller:
    """Karpenter, which asks the account that these variables lead to."""
    log = plane.directory / "karpenter.log"

    @contextmanager
    def start(deployment: Object) -> Iterator[Process]:
        metrics, health = free_ports(2)
        own = {
            **variables(deployment),
            **account,
            "KUBECONFIG": str(plane.kubeconfig_of(NAMESPACE, account_of(deployment))),
            "CLUSTER_ENDPOINT": plane.api.url,
            "SYSTEM_NAMESPACE": NAMESPACE,
            "DISABLE_LEADER_ELECTION": "true",
            "METRICS_PORT": str(metrics),
            "HEALTH_PROBE_PORT": str(health),
            "GOGC": "50",
        }
        with running([CONTROLLERS.command("karpenter")], log, own) as process:
            yield Process(f"http://127.0.0.1:{health}/readyz", lambda: process.poll() is None)

    return Controller("karpenter", NAMESPACE, start, log=log)
