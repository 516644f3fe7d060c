"""The controllers that every cluster needs, as Helm charts; Karpenter is a component of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from tandem.pins import Chart
from tandem.settings.cluster import MONITORING

from .. import policies
from .helm_chart import HelmChart, HelmChartArgs
from .pod_role import PodRole, Pods

PROMETHEUS_URL = f"http://prometheus-server.{MONITORING}.svc"
EVERYWHERE = [{"operator": "Exists"}]
LOAD_BALANCER_ACCOUNT = "aws-load-balancer-controller"


@dataclass(frozen=True, kw_only=True)
class ControllersArgs:
    """What the controllers need.

    Attributes:
        region, vpc_id, cluster_name: what the load balancer controller is told.
        account_id: of the stack.
        charts: name to pinned chart.
        target_group_arns: the only ones in which pods may be registered.
        device_plugin: GPUs are told to Kubernetes by NVIDIA's plugin; Bottlerocket brings its own.
        pipelines: replicas over several nodes, which LeaderWorkerSet holds together.
        prometheus: installs a small one.
        wakes_up: KEDA reads CloudWatch, to notice requests while no replica runs.
    """

    region: str
    account_id: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    cluster_name: pulumi.Input[str]
    charts: Mapping[str, Chart]
    target_group_arns: list[pulumi.Input[str]]
    device_plugin: bool
    pipelines: bool
    prometheus: bool
    wakes_up: bool


class Controllers(pulumi.ComponentResource):
    """Helm releases.

    Attributes:
        releases: what the objects of these controllers depend on, so that finalizers find their controller when a
            stack goes.
    """

    def __init__(
        self,
        name: str,
        args: ControllersArgs,
        kubernetes: pulumi.ProviderResource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tandem:index:Controllers", name, None, opts)
        self._name = name
        self._args = args
        self._kubernetes = kubernetes
        self._child = pulumi.ResourceOptions(parent=self)
        self.releases: list[pulumi.Resource] = [self._load_balancer(), self._autoscaler()]
        if args.device_plugin:
            self.releases.append(self._chart("nvidia-device-plugin", "kube-system", {"tolerations": EVERYWHERE}))
        if args.pipelines:
            self.releases.append(self._chart("lws", "lws-system", {}))
        if args.prometheus:
            self.releases.append(self._chart("prometheus", MONITORING, PROMETHEUS_VALUES))
        self.register_outputs({})

    def _chart(self, chart: str, namespace: str, values: Mapping[str, Any], role: PodRole | None = None) -> HelmChart:
        return HelmChart(
            f"{self._name}-{chart}",
            HelmChartArgs(
                name=chart,
                chart=self._args.charts[chart],
                namespace=namespace,
                values=values,
                after=[role] if role else [],
            ),
            self._kubernetes,
            self._child,
        )

    def _pods(self, namespace: str, service_account: str) -> Pods:
        return Pods(
            account_id=self._args.account_id,
            cluster=self._name,
            namespace=namespace,
            service_accounts=[service_account],
        )

    def _load_balancer(self) -> HelmChart:
        """Registers pods with the stack's own target groups; it makes no load balancer, and may not."""
        args = self._args
        pods = self._pods("kube-system", LOAD_BALANCER_ACCOUNT)
        role = PodRole(f"{self._name}-load-balancer", "Load balancer controller: registers pods", pods, self._child)
        role.grant(
            "targets",
            policies.allow(
                [
                    "elasticloadbalancing:DescribeTargetGroups",
                    "elasticloadbalancing:DescribeTargetHealth",
                    "ec2:DescribeAvailabilityZones",
                    "ec2:DescribeInstances",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSecurityGroups",
                    "ec2:DescribeSubnets",
                    "ec2:DescribeVpcs",
                ],
                ["*"],
                policies.in_region(args.region),
                sid="DescribeKnowsNoResources",
            ),
            policies.allow(
                ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
                args.target_group_arns,
            ),
        )
        role.lend(args.cluster_name)
        values = {
            "clusterName": args.cluster_name,
            "region": args.region,
            "vpcId": args.vpc_id,
            "serviceAccount": {"name": LOAD_BALANCER_ACCOUNT},
            # A pod that is made without its gate counts as ready and gets no request; made later, it has one.
            "podMutatorWebhookConfig": {"failurePolicy": "Fail"},
            # Services of type LoadBalancer are nobody's business here.
            "enableServiceMutatorWebhook": False,
        }
        return self._chart("aws-load-balancer-controller", "kube-system", values, role)

    def _autoscaler(self) -> HelmChart:
        if not self._args.wakes_up:
            return self._chart("keda", "keda", {})
        pods = self._pods("keda", "keda-operator")
        role = PodRole(f"{self._name}-keda", "KEDA: sees requests that found no server", pods, self._child)
        region = policies.in_region(self._args.region)
        role.grant(
            "metrics", policies.allow(["cloudwatch:GetMetricData"], ["*"], region, sid="DescribeKnowsNoResources")
        )
        role.lend(self._args.cluster_name)
        return self._chart("keda", "keda", {}, role)


PROMETHEUS_VALUES = {
    # What the autoscaler asks, and no more; a Prometheus that is there already is named in scaling.prometheusUrl.
    "alertmanager": {"enabled": False},
    "kube-state-metrics": {"enabled": False},
    "prometheus-node-exporter": {"enabled": False},
    "prometheus-pushgateway": {"enabled": False},
    "server": {"retention": "2d", "persistentVolume": {"enabled": False}, "global": {"scrape_interval": "15s"}},
}
