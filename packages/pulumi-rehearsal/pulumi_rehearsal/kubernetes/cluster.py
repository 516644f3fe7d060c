"""What stands for a stack's EKS cluster: a control plane, its nodes, and the controllers that charts bring.

Stands for: an EKS cluster.
Held by: nothing, its API server is Kubernetes' own; that of EKS has not been compared.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Lock

import urllib3
from botocore.exceptions import ClientError

from pulumi_rehearsal import policy_evaluator
from pulumi_rehearsal.account_gaps import AccountGaps, account_gaps
from pulumi_rehearsal.aws_wire import Answer, Call
from pulumi_rehearsal.cache import Progress
from pulumi_rehearsal.instance_types import Catalog
from pulumi_rehearsal.kubernetes import build, charts, prometheus_command
from pulumi_rehearsal.kubernetes.api import Api, ApiError, Object, countdown
from pulumi_rehearsal.kubernetes.charts import Repository, repository
from pulumi_rehearsal.kubernetes.control_plane import QUICK, ControlPlane, Pace, control_plane
from pulumi_rehearsal.kubernetes.hosting import Controller, hosted
from pulumi_rehearsal.kubernetes.instances import let_instances_join
from pulumi_rehearsal.kubernetes.karpenter import karpenter
from pulumi_rehearsal.kubernetes.keda import keda
from pulumi_rehearsal.kubernetes.load_balancer import load_balancer_controller
from pulumi_rehearsal.kubernetes.node_groups import let_nodes_join
from pulumi_rehearsal.kubernetes.pipelines import pipeline_controller
from pulumi_rehearsal.kubernetes.played_servers import Metrics
from pulumi_rehearsal.kubernetes.prometheus import Prometheus, prometheus
from pulumi_rehearsal.meanwhile import meanwhile
from pulumi_rehearsal.moto import Clients, SimulatedAccount

logger = logging.getLogger(__name__)

JOIN_SECONDS = 1.0
CALLERS = {
    "aws-load-balancer-controller": "aws-load-balancer-controller",
    "karpenter": "karpenter",
    "keda": "keda-operator",
}
"""Controllers that call AWS, with their service accounts."""

BY_ITSELF_SECONDS = 30

# What controllers of the control plane make by themselves, again and again; an address that has lost its Service goes
# with a repair, every three minutes.
PASSING = {"Event", "Lease", "EndpointSlice", "Endpoints", "IPAddress", "ControllerRevision", "CSINode"}

# What a Helm release leaves behind, as `helm uninstall` does too.
NOT_OURS = {build.DEFINITION, "APIService"}
NAMESPACES_OF_CHARTS = {"keda", "lws-system", "monitoring"}


@dataclass(frozen=True)
class Cluster:
    """A stack's cluster in the rehearsal.

    Attributes:
        plane: the control plane.
        clients: of the simulated account.
        tags: of the node groups that join.
        catalog: what is known of instance types.
        prometheus: what KEDA asks for the load; the queue of each application is set there.
        charts: the repository that releases come from.
        controllers: that charts bring.
        asked: by controller, what it asks of the account.
        at_first: objects that were there before the stack, by kind, namespace and name.
    """

    plane: ControlPlane
    clients: Clients
    tags: Mapping[str, str]
    catalog: Catalog
    prometheus: Prometheus
    charts: Repository
    controllers: Sequence[Controller]
    asked: Mapping[str, AccountGaps]
    at_first: frozenset[str]
    _groups: Lock = field(default_factory=Lock)

    @property
    def api(self) -> Api:
        return self.plane.api

    def bindings(self) -> list[Object]:
        """What leads to pods from the load balancer; none where its controller is not installed."""
        return self.api.list_where_served("elbv2.k8s.aws/v1beta1", "TargetGroupBinding")

    def node_classes(self) -> list[Object]:
        """Of Karpenter, where it is installed."""
        return self.api.list_where_served("karpenter.k8s.aws/v1", "EC2NodeClass")

    def scaled(self) -> list[Object]:
        """What KEDA follows the load with; none where it is not installed."""
        return self.api.list_where_served("keda.sh/v1alpha1", "ScaledObject")

    def definitions(self) -> list[Object]:
        """What kinds there are beside Kubernetes' own."""
        return self.api.list("apiextensions.k8s.io/v1", build.DEFINITION)

    def calls(self) -> dict[str, list[tuple[Call, Answer]]]:
        """What controllers have called, and what they were answered, by their service accounts."""
        return {CALLERS[name]: gaps.seen for name, gaps in self.asked.items()}

    def let_nodes_join(self) -> None:
        """Gives node groups the nodes that the simulated account says they have."""
        let_nodes_join(self.api, self.clients, self.tags, self.catalog)

    @contextmanager
    def groups_stay_as_they_are(self) -> Iterator[None]:
        """No node of a node group joins by itself in this block."""
        with self._groups:
            yield

    @contextmanager
    def nodes_joining(self) -> Iterator[None]:
        """Nodes of node groups, and instances of Karpenter, join as the account has them, until the block ends."""

        def join() -> None:
            try:
                let_instances_join(self.api, self.clients, self.catalog)
                if self._groups.acquire(blocking=False):
                    try:
                        self.let_nodes_join()
                    finally:
                        self._groups.release()
            except (ApiError, ClientError, TimeoutError, urllib3.exceptions.HTTPError) as error:
                logger.info("nodes do not join: %s", error)  # a group may go while it is looked at

        with meanwhile(join, JOIN_SECONDS, "joining"):
            yield

    def objects(self) -> list[Object]:
        """What the stack has brought into the cluster, and what followed from it: pods, replica sets, nodes.

        Pods of nodes that are gone are not among them: the control plane takes those of daemons away a minute later.
        """
        with self._groups:
            self.let_nodes_join()
        came = [object for object in _objects(self.api) if title(object) not in self.at_first]
        nodes = {node["metadata"]["name"] for node in self.api.list("v1", "Node")}
        return [one for one in came if not NAMESPACES_OF_CHARTS & {*_place(one)} and not _is_orphan(one, nodes)]


@contextmanager
def cluster(
    account: SimulatedAccount,
    region: str,
    *,
    tags: Mapping[str, str] | None = None,
    charts: Iterable[str] = (),
    catalog: Catalog | None = None,
    metrics: Metrics | None = None,
    pace: Pace = QUICK,
) -> Iterator[Cluster]:
    """Starts a cluster without nodes, until the block ends; `ensure` has built what it needs.

    Args:
        tags: of the node groups that are its own; all are where there are none.
        charts: names of those that the program may install.
        catalog: instance types, for what is better known of them than moto knows.
        metrics: what its pods tell Prometheus.
    """
    clients, known = account.clients(region), catalog or {}
    with ExitStack() as up:
        plane = up.enter_context(control_plane(pace))
        monitoring = up.enter_context(prometheus(plane, metrics, pace))
        served = up.enter_context(repository(charts))
        asked = {name: up.enter_context(account_gaps(account.url, known)) for name in CALLERS}
        variables = {name: account.environment(region) | {"AWS_ENDPOINT_URL": gaps.url} for name, gaps in asked.items()}
        controllers = [
            karpenter(plane, variables["karpenter"]),
            load_balancer_controller(plane, variables["aws-load-balancer-controller"]),
            pipeline_controller(plane),
            *keda(plane, monitoring.url, variables["keda"]),
        ]
        _wait_for_what_comes_by_itself(plane.api)
        at_first = frozenset(title(object) for object in _objects(plane.api))
        found = Cluster(plane, clients, tags or {}, known, monitoring, served, controllers, asked, at_first)
        up.enter_context(hosted(plane, controllers))
        up.enter_context(found.nodes_joining())
        yield found


def ensure(progress: Progress) -> None:
    """Builds the control plane, controllers and provider, and takes Prometheus from its package, and what evaluates
    policies, once.

    Raises:
        SetupError: they cannot be had.
    """
    prometheus_command.ensure(progress)
    build.ensure((*build.TOOLS_OF_THE_CONTROL_PLANE, *build.IN_THE_CLUSTER, build.PROVIDER), progress)
    charts.ensure(progress)
    policy_evaluator.ensure(progress)


def _place(object: Object) -> tuple[str, str]:
    """Its namespace; a namespace is its own."""
    metadata = object["metadata"]
    return metadata.get("namespace", ""), metadata["name"] if object["kind"] == "Namespace" else ""


def _is_orphan(object: Object, nodes: set[str]) -> bool:
    """Whether it is a pod whose node is gone."""
    node = object["spec"].get("nodeName") if object["kind"] == "Pod" else None
    return node is not None and node not in nodes


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
    api.forget_kinds()  # an API beside the server goes with its release
    kinds = {(kind.path, kind.plural): kind for kind in api.kinds()}.values()
    wanted = [kind for kind in kinds if kind.kind not in PASSING | NOT_OURS]
    return [object for kind in wanted for object in api.list_where_served(kind.api_version, kind.kind)]
