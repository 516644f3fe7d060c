"""What Helm charts would bring. Charts cannot be fetched here, so a release is recorded and its controllers do not run:
their CRDs are made real, and of what the controllers do, one thing is played, on which the order of removal depends.

Stands for: Helm releases and the controllers that they bring.
Held by: nothing, charts cannot be fetched here; the definitions of their kinds are from their modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rehearsal.kubernetes.api import Api, Object
from rehearsal.kubernetes.build import custom_resource_definitions

SERVED_SECONDS = 10


@dataclass(frozen=True)
class Controller:
    """What one controller does to objects.

    Attributes:
        finalizers: that it puts on objects, by kind, and takes away when they are to go. A controller that is gone
            before them never does.
    """

    finalizers: Mapping[str, str] = field(default_factory=dict)


CONTROLLERS = {
    # pkg/controllers/nodeclass/controller.go in karpenter-provider-aws v1.14.1
    "karpenter": Controller({"EC2NodeClass": "karpenter.k8s.aws/termination"}),
    # controllers/keda/*_finalizer.go in keda v2.20.2
    "keda": Controller(
        {
            "ScaledObject": "finalizer.keda.sh",
            "ScaledJob": "finalizer.keda.sh",
            "TriggerAuthentication": "finalizer.keda.sh",
            "ClusterTriggerAuthentication": "finalizer.keda.sh",
        }
    ),
    # controllers/elbv2/targetgroupbinding_controller.go in aws-load-balancer-controller
    "aws-load-balancer-controller": Controller({"TargetGroupBinding": "elbv2.k8s.aws/resources"}),
    "lws": Controller(),
    "secrets-store-csi-driver": Controller(),
}
"""By name of the chart."""


DEPENDENCIES = {"secrets-store-csi-driver-provider-aws": ("secrets-store-csi-driver",)}
"""Charts that a chart installs with it (`secrets-store-csi-driver.install` is true unless a value says otherwise)."""


def chart_name(chart: str) -> str:
    """The last part of what a release calls its chart: `oci://public.ecr.aws/karpenter/karpenter` is `karpenter`."""
    return chart.rstrip("/").rpartition("/")[2]


def finalizer(kind: str) -> tuple[str, str] | None:
    """The chart whose controller puts a finalizer on a kind, and the finalizer."""
    for chart, controller in CONTROLLERS.items():
        if kind in controller.finalizers:
            return chart, controller.finalizers[kind]
    return None


def install_definitions(api: Api, chart: str) -> list[Object]:
    """Makes the chart's CRDs, as `helm install` does; returns them once their kinds are served.

    Raises:
        NoSuchKind: one is not served in time.
    """
    charts = (chart, *DEPENDENCIES.get(chart, ()))
    definitions = [definition for one in charts for definition in custom_resource_definitions(one)]
    for definition in definitions:
        api.apply(definition, "helm", force=True)
    api.forget_kinds()
    for definition in definitions:
        spec = definition["spec"]
        version = next(version["name"] for version in spec["versions"] if version["served"])
        api.wait_until_served(f"{spec['group']}/{version}", spec["names"]["kind"], SERVED_SECONDS)
    return definitions
