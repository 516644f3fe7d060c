"""What stands for a stack's EKS cluster: a control plane, its nodes, and the provider that the engine talks to.

Stands for: an EKS cluster.
Held by: nothing, its API server is Kubernetes' own; that of EKS has not been compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from ops.kinds.kind import Clients
from rehearsal.cache import Progress
from rehearsal.kubernetes import build, prometheus_command
from rehearsal.kubernetes.api import Api, NoSuchKind, Object, countdown
from rehearsal.kubernetes.control_plane import ControlPlane, control_plane
from rehearsal.kubernetes.karpenter import for_kwok, karpenter
from rehearsal.kubernetes.keda import for_rehearsal, keda
from rehearsal.kubernetes.node_groups import let_nodes_join
from rehearsal.kubernetes.prometheus import Prometheus, prometheus
from rehearsal.kubernetes.provider import KubernetesProvider

BY_ITSELF_SECONDS = 30

# What controllers of the control plane make by themselves, again and again.
PASSING = {"Event", "Lease", "EndpointSlice", "Endpoints", "ControllerRevision", "CSINode"}

# What a Helm release leaves behind, as `helm uninstall` does too, and what stands for EC2 here.
NOT_OURS = {"CustomResourceDefinition", "APIService", "KWOKNodeClass"}
NAMESPACES_OF_CHARTS = {"keda"}


@dataclass(frozen=True)
class Cluster:
    """A stack's cluster in the rehearsal.

    Attributes:
        plane: the control plane.
        provider: serves the engine.
        clients: of the simulated account.
        stack: whose node groups join.
        prometheus: what KEDA asks for the load; the queue of each model is set there.
        at_first: objects that were there before the stack, by kind, namespace and name.
    """

    plane: ControlPlane
    provider: KubernetesProvider
    clients: Clients
    stack: str
    prometheus: Prometheus
    at_first: frozenset[str]

    @property
    def api(self) -> Api:
        return self.plane.api

    def has(self, api_version: str, kind: str) -> bool:
        """Whether the cluster serves a kind."""
        try:
            return bool(self.api.kind(api_version, kind))
        except NoSuchKind:
            return False

    def let_nodes_join(self) -> None:
        """Gives node groups the nodes that the simulated account says they have."""
        let_nodes_join(self.api, self.clients, self.stack)

    def objects(self) -> list[Object]:
        """What the stack has brought into the cluster, and what followed from it: pods, replica sets, nodes."""
        self.let_nodes_join()
        came = [object for object in _objects(self.api) if title(object) not in self.at_first]
        return [object for object in came if not NAMESPACES_OF_CHARTS & {*_place(object)}]


@contextmanager
def cluster(stack: str, clients: Clients) -> Iterator[Cluster]:
    """Starts a cluster without nodes, until the block ends; `ensure` has built what it needs."""
    with control_plane() as plane, prometheus(plane) as metrics:
        zones = [zone["ZoneName"] for zone in clients("ec2").describe_availability_zones()["AvailabilityZones"]]
        provider = KubernetesProvider(
            plane.api,
            before_objects=partial(let_nodes_join, plane.api, clients, stack),
            translate=lambda object: for_rehearsal(for_kwok(object, plane.api, clients), metrics.url),
            controllers={"karpenter": partial(karpenter, plane, zones), "keda": partial(keda, plane)},
            handled=frozenset({"ScaledObject"}),
        )
        with closing(provider):
            _wait_for_what_comes_by_itself(plane.api)
            at_first = frozenset(title(object) for object in _objects(plane.api))
            yield Cluster(plane, provider, clients, stack, metrics, at_first)


def ensure(progress: Progress) -> None:
    """Builds the control plane and the autoscalers, and takes Prometheus from its package, once.

    Raises:
        UserError: they cannot be had.
    """
    prometheus_command.ensure(progress)
    build.ensure((*build.TOOLS_OF_THE_CONTROL_PLANE, *build.AUTOSCALERS), progress)


def _place(object: Object) -> tuple[str, str]:
    """Its namespace; a namespace is its own."""
    metadata = object["metadata"]
    return metadata.get("namespace", ""), metadata["name"] if object["kind"] == "Namespace" else ""


def title(object: Object) -> str:
    """An object in a line: kind, namespace and name."""
    metadata = object["metadata"]
    return f"{object['kind']} {'/'.join(filter(None, (metadata.get('namespace'), metadata['name'])))}"


def _wait_for_what_comes_by_itself(api: Api) -> None:
    """Each namespace gets a service account and the authority's certificate."""
    for _ in countdown(BY_ITSELF_SECONDS):
        namespaces = {namespace["metadata"]["name"] for namespace in api.list("v1", "Namespace")}
        came = [
            {object["metadata"]["namespace"] for object in api.list("v1", kind, fieldSelector=f"metadata.name={name}")}
            for kind, name in (("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt"))
        ]
        if came == [namespaces, namespaces]:
            return
    raise TimeoutError(f"the controller manager does nothing for {BY_ITSELF_SECONDS} s")


def _objects(api: Api) -> list[Object]:
    kinds = {(kind.path, kind.plural): kind for kind in api.kinds()}.values()
    wanted = [kind for kind in kinds if kind.kind not in PASSING | NOT_OURS]
    return [object for kind in wanted for object in api.list(kind.api_version, kind.kind)]
