"""The settings. Each field: its type, its default, what it is for and why the default is what it is.

Names carry their units. In stack files they are written in camelCase under the project's namespace, one key a section:

    config:
      tandem:region: us-east-1
      tandem:fleet: {instanceTypes: [g6.12xlarge], hosts: 2}
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tandem.settings.cluster import MONITORING, ClusterSettings, NodePoolSettings, ScalingSettings
from tandem.settings.edge import ClientSettings, EdgeSettings
from tandem.settings.fleet import FleetSettings
from tandem.settings.gateway import GatewaySettings
from tandem.settings.inference import InferenceSettings
from tandem.settings.network import GlobalNameSettings, LoadBalancerSettings, NetworkSettings
from tandem.settings.observing import (
    AlarmSettings,
    CanarySettings,
    JudgeSettings,
    LogSettings,
    MetricsSettings,
    ObjectiveSettings,
    TracingSettings,
)
from tandem.settings.section import Section
from tandem.settings.types import (
    ClientName,
    DomainName,
    Duration,
    Email,
    FileSystemId,
    HubToken,
    Instant,
    PolicyArn,
    Region,
    ServiceName,
    TagKey,
    TagValue,
    TimeOfDay,
    TimeZone,
    ports_of,
)
from tandem.subnets import nat_zones
from tandem.tags import MAIN_MODEL
from tandem.tasks import answers


class ModelCacheSettings(Section):
    """The EFS file system that keeps weights and compile caches between hosts."""

    provisioned_mibps: int | None = Field(
        default=None,
        ge=1,
        le=3414,
        description="Provisioned throughput in MiB/s, $6 a month each. Unset: Elastic, which costs nothing at rest "
        "and $0.03 for each GB read; right for a cache that is read when hosts start.",
    )
    infrequent_access_after_days: Literal[1, 7, 14, 30, 60, 90, 180, 270, 365] | None = Field(
        default=30,
        description="Moves files unread for this long to the cheaper class ($0.016 instead of $0.30 a GB and month).",
    )
    file_system_id: FileSystemId | None = Field(
        default=None,
        description="A model cache that a stack of this name has left (`tandem audit` lists it): its models are there "
        "at once, and it stays when this stack goes. Unset: a new one. The two settings above are then its own.",
    )


class TimeoutSettings(Section):
    """One chain: each link waits longer than the one before it, so that the client always hears an answer."""

    client_seconds: int = Field(
        default=300, ge=10, le=3600, description="What clients are told to wait for the next byte."
    )
    load_balancer_idle_seconds: int = Field(
        default=310, ge=1, le=4000, description="The load balancer drops a connection that is silent for this long."
    )
    edge_keepalive_seconds: int = Field(
        default=320, ge=1, le=4200, description="How long nginx keeps idle connections from the load balancer open."
    )
    server_keepalive_seconds: int = Field(
        default=330,
        ge=1,
        le=4400,
        description="How long vLLM keeps idle connections from nginx open; its own default is 5 s.",
    )
    longest_generation_seconds: int = Field(
        default=300, ge=10, le=3600, description="The longest answer; a server that stops waits this long for it."
    )
    deregistration_delay_seconds: int = Field(
        default=300, ge=0, le=3600, description="How long the load balancer lets running requests finish."
    )
    termination_grace_seconds: int = Field(
        default=420, ge=30, le=7200, description="All a leaving host gets, before it is gone. Spot gives only 120 s."
    )


class ModelSettings(Section):
    """A further model of one stack, under a host name of its own."""

    host_name: DomainName = Field(description="Where it is served; a name in loadBalancer.hostedZoneId.")
    inference: InferenceSettings = Field(description="What is served.")
    fleet: FleetSettings | None = Field(
        default=None,
        description="Its own hosts (ec2), of which all is said anew. Unset: as many more as `fleet` says. On eks "
        "models share nodes.",
    )
    scaling: ScalingSettings = Field(default_factory=ScalingSettings, description="How many replicas.")
    objectives: ObjectiveSettings = Field(
        default_factory=ObjectiveSettings, description="What clients are promised, which the main model's do not say."
    )
    canary: CanarySettings | None = Field(default=None, description="Its own questions. Unset: none.")


class BusinessHoursSettings(Section):
    """When a stack runs; outside these hours its fleet is at 0."""

    start: TimeOfDay = Field(default="08:00", description="Hosts start.")
    stop: TimeOfDay = Field(default="20:00", description="Hosts stop.")
    days: Literal["MON-FRI", "MON-SAT", "SUN-THU", "*"] = Field(default="MON-FRI", description="On these days.")
    time_zone: TimeZone = Field(default="Etc/UTC", description="Whose clock; daylight saving is followed.")


class CostGuardSettings(Section):
    """Money stops by itself: schedules in the account set the fleet to 0."""

    expires_after: Duration | None = Field(default=None, description="Life of the stack from its first `up`.")
    expires_at: Instant | None = Field(default=None, description="The same as a moment.")
    idle_after: Duration | None = Field(
        default=None,
        description="Hosts go to 0 after this long without a request, counted from when a host is in service (ec2); by "
        "the minute to 1d, by the hour to 7d. `pulumi up --refresh` brings them back. The alarm costs $0.30 a month.",
    )
    max_usd: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Spend cap. Billing data is hours late, so it is turned into time at the price of maxHosts of the "
        "dearest type on demand, those that overlap in a rollout, and the time that all take to leave; the sooner of "
        "cap and expiry wins. fleet.rollout terminateFirst, with nothing that overlaps, buys the most time.",
    )
    monthly_budget_usd: float | None = Field(
        default=None,
        ge=0.01,
        le=10_000_000,
        description="AWS Budget of the stack: mail at 80 % and 100 %, and forecast.",
    )
    alert_emails: tuple[Email, ...] = Field(
        default=(), max_length=10, description="Who hears of budget and expiry. Each must confirm the subscription."
    )
    business_hours: BusinessHoursSettings | None = Field(default=None, description="Runs only at these hours.")


class BatchSettings(Section):
    """Machines that come for a file of requests (`tandem batch`), and go: of the fleet's types, at most for so much."""

    max_usd: float = Field(
        gt=0,
        le=1_000_000,
        description="What one batch may cost, counted on demand; its machines end when it could be spent.",
    )
    max_hosts: int = Field(default=1, ge=1, le=50, description="Machines that work at a batch together.")
    spot: bool = Field(
        default=True,
        description="Spot machines: what one had answered when AWS takes it away is kept, and another goes on.",
    )


class Settings(Section):
    """All settings of one stack."""

    region: Region = Field(description="AWS region. No default: this is where the money goes.")
    platform: Literal["ec2", "eks"] = Field(
        default="ec2", description="ec2: GPU hosts in an Auto Scaling group. eks: pods on Kubernetes."
    )
    ephemeral: bool = Field(
        default=False,
        description="true: destroy removes everything at once. false: the model cache and the access logs are "
        "protected and kept, and secrets can be restored for 30 days.",
    )
    require_pins: bool = Field(
        default=False, description="Refuses an empty pin in images/pins.toml (image digest, revision, machine image)."
    )
    tags: dict[TagKey, TagValue] = Field(
        default_factory=dict, max_length=40, description="Tags on everything, such as a cost centre."
    )
    permissions_boundary: PolicyArn | None = Field(
        default=None,
        description="A policy that bounds each role of the stack, such as policies/tandem-boundary.json, which the "
        "shipped rights of who deploys ask for. Roles get it in place.",
    )
    hugging_face_token: HubToken | None = Field(
        default=None, description="For gated models. Set with `pulumi config set --secret`."
    )
    clients: dict[ClientName, ClientSettings] = Field(
        default_factory=dict,
        max_length=200,
        description="Clients whose keys this file declares, by digest, beside those that `tandem keys` makes. The "
        "first of them, and the end of the last, replaces servers, which look at one secret more or less; changes in "
        "between replace none. A secret has room for 64 KiB, some 200 clients of two keys.",
    )
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    model_cache: ModelCacheSettings = Field(default_factory=ModelCacheSettings)
    load_balancer: LoadBalancerSettings = Field(default_factory=LoadBalancerSettings)
    global_name: GlobalNameSettings | None = Field(
        default=None, description="One name in front of the stacks of several regions."
    )
    fleet: FleetSettings = Field(default_factory=FleetSettings)
    inference: InferenceSettings = Field(default_factory=InferenceSettings)
    scaling: ScalingSettings = Field(default_factory=ScalingSettings)
    models: dict[ServiceName, ModelSettings] = Field(
        default_factory=dict,
        max_length=20,
        description="Further models by name, each with a host name of its own.",
    )
    cluster: ClusterSettings = Field(default_factory=ClusterSettings)
    node_pool: NodePoolSettings = Field(default_factory=NodePoolSettings)
    edge: EdgeSettings = Field(default_factory=EdgeSettings)
    logs: LogSettings = Field(default_factory=LogSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    objectives: ObjectiveSettings = Field(default_factory=ObjectiveSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    alarms: AlarmSettings = Field(default_factory=AlarmSettings)
    canary: CanarySettings | None = Field(
        default=None,
        description="Questions whose answers are known, which servers are asked; {} for the default ones. Unset: none.",
    )
    batch: BatchSettings | None = Field(
        default=None, description="A bucket and machines for `tandem batch`; on eks Karpenter's. Unset: none."
    )
    gateway: GatewaySettings | None = Field(
        default=None, description="LiteLLM for teams, beside the direct way: keys, budgets, limits. Unset: none."
    )
    timeouts: TimeoutSettings = Field(default_factory=TimeoutSettings)
    cost_guard: CostGuardSettings = Field(default_factory=CostGuardSettings)

    @property
    def zones(self) -> tuple[str, ...]:
        """The stack's availability zones, in their own order: that of the stack file means nothing."""
        there = self.network.existing
        named = there.private_subnet_ids if there else self.network.zones
        return tuple(sorted(named)) or (f"{self.region}a", f"{self.region}b")

    @property
    def nat_zones(self) -> list[str]:
        """Zones in which the stack makes a NAT gateway: none in a network that is there."""
        return [] if self.network.existing else nat_zones(self.zones, self.network.egress)

    @property
    def group_size(self) -> int:
        """Hosts that the group runs: the load's and the spare ones."""
        return self.fleet.hosts + self.fleet.spare_hosts

    @property
    def models_served(self) -> tuple[str, ...]:
        """What is served, each model once, the main one first."""
        further = (model.inference.model for model in self.models.values())
        return tuple(dict.fromkeys([self.inference.model, *further]))

    @property
    def names_served(self) -> tuple[str, ...]:
        """What clients send as `model`, each name once, the main model's first."""
        return tuple(dict.fromkeys(name for inference, _ in self.scaled.values() for name in inference.names))

    @property
    def served_beside(self) -> tuple[str, ...]:
        """Repositories of all models' adapters and drafts, each once."""
        found = (model for inference, _ in self.scaled.values() for model in inference.beside.values())
        return tuple(dict.fromkeys(found))

    def of(self, name: str) -> Settings:
        """The settings as if one model, the main one or a further one by its name, were all that the stack serves."""
        if not self.models:
            return self
        if name == MAIN_MODEL:
            return self.model_copy(update={"models": {}})
        one = self.models[name]
        own: dict[str, Any] = {key: getattr(one, key) for key in ("inference", "scaling", "objectives", "canary")}
        own |= {"load_balancer": self.load_balancer.model_copy(update={"domain_name": one.host_name})}
        return self.model_copy(
            update={**own, "fleet": one.fleet or self.fleet, "batch": None, "gateway": None, "models": {}}
        )

    @property
    def each(self) -> dict[str, Settings]:
        """The settings as each model's own, by its name, the main one first."""
        return {name: self.of(name) for name in (MAIN_MODEL, *self.models)}

    @property
    def groups(self) -> dict[str, Settings]:
        """The settings of each group of GPU machines by its first model: hosts serve one model each, nodes all."""
        return self.each if self.platform == "ec2" else {MAIN_MODEL: self}

    @property
    def scaled(self) -> dict[str, tuple[InferenceSettings, ScalingSettings]]:
        """What each model serves and how it scales, by its name, the main one first."""
        further = {name: (model.inference, model.scaling) for name, model in self.models.items()}
        return {MAIN_MODEL: (self.inference, self.scaling), **further}

    @property
    def paths(self) -> tuple[str, ...]:
        """API paths that some model answers."""
        return tuple(
            path
            for path in self.load_balancer.paths
            if any(answers(inference.task, path) for inference, _ in self.scaled.values())
        )

    @property
    def ways(self) -> dict[str, tuple[str, ...]]:
        """API paths that lead to each model, by its name, the main one first: those that it answers, and to a further
        one also the main one's, which would lead there in spite of the host name. None depends on a third model."""
        main = self.inference.task
        return {
            name: tuple(path for path in self.load_balancer.paths if answers(one.task, path) or answers(main, path))
            for name, (one, _) in self.scaled.items()
        }

    @property
    def promised(self) -> dict[str, ObjectiveSettings]:
        """The objectives of each model, by its name, the main one first."""
        return {MAIN_MODEL: self.objectives, **{name: model.objectives for name, model in self.models.items()}}

    @property
    def canaries(self) -> dict[str, CanarySettings | None]:
        """The canary of each model, by its name, the main one first."""
        return {MAIN_MODEL: self.canary, **{name: model.canary for name, model in self.models.items()}}

    @property
    def judges(self) -> list[JudgeSettings]:
        """Of canaries."""
        return [one.judge for one in self.canaries.values() if one and one.judge]

    @property
    def server_ports(self) -> tuple[int, ...]:
        """TCP ports that servers reach anywhere, beside HTTPS and what a platform's machines need."""
        judged = (port for one in self.judges for port in ports_of(one.url))
        return tuple(dict.fromkeys((*self.tracing.ports, *judged)))

    @property
    def alarmed(self) -> bool:
        """Whether alarms are made: of the certificate, and where machines tell CloudWatch of themselves, of models."""
        return not self.ephemeral if self.alarms.enabled is None else self.alarms.enabled

    @property
    def has_dashboard(self) -> bool:
        """Whether a dashboard is made. The provider gives it no tags, so what removes ephemeral stacks by theirs, and
        nothing else, could not remove it."""
        return self.metrics.cloudwatch and not self.ephemeral

    @property
    def always_on(self) -> bool:
        """Whether the main model has servers at any hour: nothing stops it, or the stack, for good or for a while."""
        guard = self.cost_guard
        ends = (guard.expires_after, guard.expires_at, guard.max_usd, self.fleet.capacity_block)
        stops = any((*ends, guard.business_hours, guard.idle_after))
        return self.group_size > 0 and self.scaling.min_replicas > 0 and not stops

    @property
    def follows_load(self) -> bool:
        """Whether hosts follow the load; nodes do so with Karpenter in any case."""
        return self.platform == "ec2" and self.fleet.follow_load

    @property
    def sleeps(self) -> bool:
        """Whether hosts that follow the load go to 0 without requests, and come with the next one."""
        return self.follows_load and (self.group_size == 0 or self.cost_guard.idle_after is not None)

    @property
    def has_pipelines(self) -> bool:
        """Whether a replica of any model is several pods."""
        return any(inference.is_pipeline for inference, _ in self.scaled.values())

    @property
    def monitoring_namespaces(self) -> list[str]:
        """Of the cluster: whose pods may ask the servers for metrics."""
        return sorted({scaling.scraped_from or MONITORING for _, scaling in self.scaled.values()})

    @property
    def max_group_size(self) -> int:
        """Hosts that the group may ever run."""
        return self.group_size if self.fleet.max_hosts is None else self.fleet.max_hosts
