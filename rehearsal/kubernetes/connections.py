"""Who may talk to whom: every pair of which one is a server's, by the NetworkPolicies that the API server holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.cluster import Cluster
from pulumi_rehearsal.kubernetes.network_policy import NAMESPACE_NAME, End, allows
from pulumi_rehearsal.kubernetes.nodes import GPU
from rehearsal.expectations import expectation
from tandem.ops.kinds.kind import Found
from tandem.ports import EDGE_METRICS_PORT, SERVER_PORT, SERVING_PORT

LOAD_BALANCER = "aws:lb/loadBalancer:LoadBalancer"
CLUSTER = "aws:eks/cluster:Cluster"
SUBNET = "aws:ec2/subnet:Subnet"

ANY_OTHER_PORT = 22
PIPELINE = "tandem/pipeline"
INSTANCE = "app.kubernetes.io/instance"


@dataclass(frozen=True)
class Destination:
    """Where a connection goes. `role` is its name in `PROMISED`."""

    end: End
    role: str
    port: int
    protocol: str = "TCP"

    @property
    def name(self) -> str:
        return f"{self.end.name}:{self.port}" + ("/udp" if self.protocol == "UDP" else "")


@dataclass(frozen=True)
class Connection:
    """A pair, and whether the policies let it through.

    Attributes:
        promised: whether docs/kubernetes.md says so, under "Who may do what".
    """

    source: str
    destination: str
    allowed: bool
    promised: bool


SERVER = "server"
PROMISED = {
    ("load balancer", "edge"),
    ("monitoring", "metrics"),
    (SERVER, "DNS"),
    (SERVER, "pod identity"),
    (SERVER, "HTTPS"),
}
"""Who may talk to whom; nobody else may. HTTPS goes anywhere, since hub and S3 have no fixed addresses."""


@expectation("only those talk to servers, and servers only to those, that the documentation names")
def are_as_promised(connections: Iterable[Connection]) -> Iterable[str]:
    for connection in connections:
        if connection.allowed and not connection.promised:
            yield f"{connection.source} may talk to {connection.destination}"
        if connection.promised and not connection.allowed:
            yield f"{connection.source} cannot talk to {connection.destination}"


def connections(cluster: Cluster, found: Sequence[Found], monitoring: Sequence[str]) -> list[Connection]:
    """Every pair of a stack's cluster.

    Args:
        found: what the account holds of the stack; its load balancers and its cluster say where they stand.
        monitoring: namespaces from which the settings let metrics be asked for.
    """
    api = cluster.api
    namespaces = {namespace["metadata"]["name"]: namespace for namespace in api.list("v1", "Namespace")}
    kinds = [("apps/v1", "Deployment"), ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")]
    workloads = [object for kind in kinds for object in api.list_where_served(*kind)]
    policies = api.list("networking.k8s.io/v1", "NetworkPolicy")
    ends = servers(workloads, namespaces, hosts_of(found))
    return table(policies, ends, balancers_of(found), hosts_of(found), monitoring)


def table(
    policies: Sequence[Object],
    servers: Sequence[End],
    balancers: Sequence[IPv4Network],
    hosts: Sequence[IPv4Network],
    monitoring: Sequence[str],
) -> list[Connection]:
    """Every pair of which one end is a server, or a pod beside it.

    Args:
        balancers: where load balancers stand; nowhere, and there is no row for them.
        hosts: where nodes stand, and so their pods, file systems, and the cluster's API.
        monitoring: namespaces whose pods may ask for metrics.
    """
    hosts = tuple(hosts)
    beside = [End(f"another pod in {name}", hosts, labels) for name, labels in _namespaces(servers).items()]
    within = [*servers, *beside]
    watchers = [_pod(f"a pod in {namespace}", namespace, hosts) for namespace in monitoring]
    stranger = _pod("a pod in another namespace", "elsewhere", hosts)
    dns = _pod("DNS", "kube-system", hosts, {"k8s-app": "kube-dns"})
    host = End("another host in the VPC", hosts)
    internet = End("the internet", (IPv4Network("203.0.113.0/24"),))
    sources = [
        *([("load balancer", End("load balancer", tuple(balancers)))] if balancers else []),
        *(("monitoring", watcher) for watcher in watchers),
        *((SERVER, server) for server in servers),
        *(("", end) for end in (*beside, stranger, dns, host, internet)),
    ]
    destinations = [
        *(Destination(server, "edge", SERVING_PORT) for server in servers),
        *(Destination(server, "metrics", EDGE_METRICS_PORT) for server in servers),
        *(Destination(server, "", port) for server in servers for port in (SERVER_PORT, ANY_OTHER_PORT)),
        *(Destination(end, "", SERVING_PORT) for end in beside),
        *(Destination(dns, "DNS", 53, protocol) for protocol in ("UDP", "TCP")),
        Destination(End("pod identity", _address("169.254.170.23")), "pod identity", 80),
        Destination(End("instance metadata", _address("169.254.169.254")), "", 80),
        *(Destination(end, "HTTPS", 443) for end in (internet, End("the cluster's API", hosts), stranger)),
        *(Destination(end, "", SERVING_PORT) for end in (stranger, *watchers)),
        Destination(internet, "", 80),
        Destination(End("EFS", hosts), "", 2049),
    ]
    return [
        _connection(policies, source, destination, (role, destination.role) in PROMISED)
        for role, source in sources
        for destination in destinations
        if source in within or destination.end in within
    ]


def _connection(policies: Sequence[Object], source: End, to: Destination, promised: bool) -> Connection:
    """What is promised must hold for all addresses of both, what is not, for none."""
    promised |= _are_one_pipeline(source, to.end)
    allowed = allows(policies, source, to.end, to.port, to.protocol, partly=not promised)
    return Connection(source.name, to.name, allowed, promised)


def servers(workloads: Iterable[Object], namespaces: Mapping[str, Object], hosts: Sequence[IPv4Network]) -> list[End]:
    """An end for each kind of pod that has GPUs."""
    return [
        End(name, tuple(hosts), namespaces[namespace]["metadata"]["labels"], template["metadata"].get("labels") or {})
        for workload in workloads
        for namespace in [workload["metadata"]["namespace"]]
        for name, template in _templates(workload)
        if any(GPU in (one.get("resources", {}).get("limits") or {}) for one in template["spec"]["containers"])
    ]


def balancers_of(found: Iterable[Found]) -> list[IPv4Network]:
    """Ranges of the subnets that load balancers stand in, as the account has them."""
    found = list(found)
    zones = [zone for one in found if one.type == LOAD_BALANCER for zone in one.facts["AvailabilityZones"]]
    return _ranges(found, {zone["SubnetId"] for zone in zones})


def hosts_of(found: Iterable[Found]) -> list[IPv4Network]:
    """Ranges of the cluster's subnets."""
    found = list(found)
    return _ranges(found, {id for one in found if one.type == CLUSTER for id in _vpc(one)["subnetIds"]})


def _vpc(cluster: Found) -> Mapping[str, Any]:
    return cluster.facts["resourcesVpcConfig"]


def _ranges(found: Iterable[Found], ids: set[str]) -> list[IPv4Network]:
    return [IPv4Network(one.facts["CidrBlock"]) for one in found if one.type == SUBNET and one.id in ids]


def _templates(workload: Object) -> Iterator[tuple[str, Object]]:
    """Templates of its pods; a pipeline has one for leaders and one for workers."""
    spec, name = workload["spec"], workload["metadata"]["name"]
    if parts := spec.get("leaderWorkerTemplate"):
        yield from [(name, parts["leaderTemplate"])] if "leaderTemplate" in parts else []
        yield f"{name}'s workers", parts["workerTemplate"]
    else:
        yield name, spec["template"]


def _namespaces(servers: Iterable[End]) -> dict[str, Mapping[str, str]]:
    return {server.namespace[NAMESPACE_NAME]: server.namespace for server in servers if server.namespace}


def _are_one_pipeline(source: End, target: End) -> bool:
    """Parts of a pipeline exchange what they compute on any port."""
    ends = (source, target)
    return all(PIPELINE in end.labels for end in ends) and len({end.labels.get(INSTANCE) for end in ends}) == 1


def _pod(name: str, namespace: str, hosts: tuple[IPv4Network, ...], labels: Mapping[str, str] | None = None) -> End:
    return End(name, hosts, {NAMESPACE_NAME: namespace}, labels or {})


def _address(address: str) -> tuple[IPv4Network, ...]:
    return (IPv4Network(address),)
