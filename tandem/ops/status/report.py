"""What is known of a stack; what cannot be known is said to be unknown, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from tandem.tags import MAIN_MODEL


@dataclass(frozen=True)
class Unknown:
    """What cannot be told from here, and why."""

    why: str

    def __str__(self) -> str:
        return f"unknown: {self.why}"


@dataclass(frozen=True)
class Absent(Unknown):
    """What is not there, as AWS says itself: nothing was refused, and nothing failed."""

    def __str__(self) -> str:
        return f"none: {self.why}"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A GPU instance, which costs from its start on.

    Attributes:
        model: that it serves alone; the main one where several share it.
    """

    id: str
    model: str = MAIN_MODEL
    type: str
    zone: str
    purchase: str
    since: datetime | None
    state: str


@dataclass(frozen=True, kw_only=True)
class Host(Machine):
    """One GPU host of the group.

    Attributes:
        state: of its life in the group, in Auto Scaling's words; it is InService once it has made a token.
        target: of the load balancer, in its words.
        current: it runs the launch template's version that the group wants.
        replicas: vLLM servers that it runs, from its type; None for a type that the catalog lacks.
    """

    target: str
    version: str
    current: bool
    replicas: int | None

    @property
    def serves(self) -> bool:
        return self.state == "InService" and self.target == "healthy"


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Platform ec2: the main model's group, what it should be, and its hosts; and those of further models.

    Attributes:
        further: the groups of further models, by name.
        scaled: why a policy last changed how many are wanted, in Auto Scaling's words; empty where none has.
    """

    name: str
    minimum: int
    desired: int
    maximum: int
    hosts: tuple[Host, ...]
    scaled: str = ""
    further: Mapping[str, Fleet] = field(default_factory=dict)

    @property
    def each(self) -> Mapping[str, Fleet]:
        """Each group alone, by its model, the main one first."""
        return {MAIN_MODEL: replace(self, further={}), **self.further}

    @property
    def machines(self) -> tuple[Host, ...]:
        return (*self.hosts, *(host for one in self.further.values() for host in one.hosts))

    @property
    def replicas_serving(self) -> int:
        return sum(host.replicas or 0 for host in self.machines if host.serves)

    @property
    def serving(self) -> int:
        """Hosts of this group."""
        return sum(host.serves for host in self.hosts)

    @property
    def enough(self) -> bool:
        """As many hosts of each model serve as should."""
        return self.serving >= self.desired and all(one.enough for one in self.further.values())

    @property
    def stopped(self) -> bool:
        return self.maximum == 0 and all(one.stopped for one in self.further.values())

    @property
    def asleep(self) -> bool:
        """No host of the main model is wanted, as costGuard.idleAfter allows; within the stack's time, somebody may
        want one again."""
        return self.minimum == self.desired == 0 < self.maximum

    @property
    def summary(self) -> str:
        """Serving of wanted, in one line."""
        if self.further:
            return "; ".join(f"{model}: {one.summary}" for model, one in self.each.items())
        return f"{self.serving} of {self.desired} hosts, {self.replicas_serving} replicas"


@dataclass(frozen=True, kw_only=True)
class Model:
    """Platform eks: one model's replicas, as the load balancer sees them.

    Attributes:
        minimum, maximum: replicas between which KEDA scales, from the settings.
        targets: pods by state, in the load balancer's words; a pod registers once it is ready, which it is by tokens.
    """

    name: str
    minimum: int
    maximum: int
    targets: Mapping[str, int]

    @property
    def serving(self) -> int:
        return self.targets.get("healthy", 0)


@dataclass(frozen=True, kw_only=True)
class NodeGroup:
    """Platform eks: a managed node group, in EKS's words."""

    name: str
    state: str
    minimum: int
    desired: int
    maximum: int


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Platform eks: the cluster, the models on it, and its GPU nodes.

    Attributes:
        models: the main one first.
        version: of Kubernetes.
        state: of the control plane, in EKS's words.
        node_groups: managed ones; with Karpenter those of the controllers only.
        nodes: GPU instances, whoever started them.
        kubeconfig_command: how to speak to it; pods and their logs are told by the cluster only.
    """

    name: str
    version: str
    state: str
    models: tuple[Model, ...]
    node_groups: tuple[NodeGroup, ...]
    nodes: tuple[Machine, ...]
    kubeconfig_command: str

    @property
    def machines(self) -> tuple[Machine, ...]:
        return self.nodes

    @property
    def replicas_serving(self) -> int:
        return sum(model.serving for model in self.models)

    @property
    def enough(self) -> bool:
        """Each model has its minimum of replicas."""
        return all(model.serving >= model.minimum for model in self.models)

    @property
    def stopped(self) -> bool:
        """A schedule has set the GPUs' node group to 0; the controllers' has always nodes."""
        return any(group.desired == 0 for group in self.node_groups)

    @property
    def asleep(self) -> bool:
        """The main model has no replica, as its settings allow; a request would wake one up."""
        main = self.models[0]
        return main.minimum == 0 and main.serving == 0

    @property
    def summary(self) -> str:
        """Serving of wanted, in one line."""
        wanted = sum(model.minimum for model in self.models)
        return f"{self.replicas_serving} of {wanted} replicas, {len(self.nodes)} nodes"


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The gateway for teams.

    Attributes:
        ready: copies that the load balancer forwards to; one without its database is not ready.
        wanted: copies that ECS is to keep.
        database: its state in RDS's words: it serves in more of them than `available`, such as `backing-up`.
    """

    ready: int
    wanted: int
    database: str

    @property
    def enough(self) -> bool:
        """As many copies are ready as should be."""
        return self.ready >= self.wanted

    @property
    def summary(self) -> str:
        """Ready of wanted, in one line."""
        return f"{self.ready} of {self.wanted} copies ready, database {self.database}"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What serves, and what runs costs in US dollars an hour; each as a status has it."""

    servers: Fleet | Cluster | Unknown
    usd_per_hour: float | Unknown


@dataclass(frozen=True, kw_only=True)
class Status:
    """What is known. Each field is its value, or why it is unknown.

    Attributes:
        servers: what serves, by platform.
        running: image, model and revision that new servers of the main model are given.
        last_token: one that the API has made for this look; without a key, that its edge refuses who has none.
        clients: who has a key that works, by name.
        requests: of the last hour, and how many failed, as the load balancer counts them.
        queue: requests in the main model's servers, and how long some have waited.
        start: how long a machine of the main model took to its first token, when one last came.
        gateway: for teams, beside the direct way; None where settings have none.
        usd_per_hour: of what runs now, at list prices on demand: an upper bound where spot runs.
        cost_so_far: US dollars at list prices since the machines that run now were started; a lower bound.
        expires_at: when the schedule sets the fleet to 0.
        stopped: why nothing is to run, and what brings it back; empty where something is.
        other_lives: ids that hold the same name in the account, and are not this state's.
    """

    stack: str
    region: str
    url: str | Unknown
    servers: Fleet | Cluster | Unknown
    running: Mapping[str, str] | Unknown
    last_token: str | Unknown
    requests: str | Unknown
    queue: str | Unknown
    start: str | Unknown
    usd_per_hour: float | Unknown
    cost_so_far: float | Unknown
    expires_at: str | Unknown
    clients: tuple[str, ...] | Unknown = ()
    gateway: Gateway | Unknown | None = None
    stopped: str = ""
    other_lives: tuple[str, ...] = ()

    @property
    def well(self) -> bool:
        """As many servers, and copies of a gateway, as should serve, and the API makes tokens, or sleeps until it is
        asked for some."""
        servers = self.servers
        if isinstance(servers, Unknown) or not servers.enough:
            return False
        if self.gateway and (isinstance(self.gateway, Unknown) or not self.gateway.enough):
            return False
        return servers.asleep or not isinstance(self.last_token, Unknown)

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = asdict(self) | {"well": self.well}
        for name in found:
            if isinstance(value := getattr(self, name), Unknown):
                found[name] = {"absent" if isinstance(value, Absent) else "unknown": value.why}
        if not isinstance(self.servers, Unknown):
            found["servers"]["replicasServing"] = self.servers.replicas_serving
        return found
