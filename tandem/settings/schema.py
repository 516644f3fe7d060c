"""The settings. Each field: its type, its default, what it is for and why the default is what it is.

Names carry their units. In stack files they are written in camelCase under the project's namespace, one key a section:

    config:
      tandem:region: us-east-1
      tandem:fleet: {instanceTypes: [g6.12xlarge], hosts: 2}
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import Field

from tandem.catalog.instances import GPUS_PER_REPLICA
from tandem.settings.cluster import MONITORING, ClusterSettings, NodePoolSettings, ScalingSettings
from tandem.settings.gateway import GatewaySettings
from tandem.settings.observing import (
    AlarmSettings,
    CanarySettings,
    JudgeSettings,
    MetricsSettings,
    ObjectiveSettings,
)
from tandem.settings.section import Section
from tandem.settings.types import (
    EVERYONE,
    ApiPath,
    CertificateArn,
    ClientName,
    ClientNetwork,
    DomainName,
    Duration,
    Email,
    FileSystemId,
    HeaderName,
    HostedZoneId,
    HubToken,
    Instant,
    KeyDigest,
    LogDestinationArn,
    MachineImageId,
    MirrorUrl,
    ModelId,
    NotThere,
    ParserName,
    PolicyArn,
    PrivateNetwork,
    ProjectPath,
    Region,
    RequestRate,
    ReservationId,
    S3Uri,
    SecretArn,
    ServedName,
    ServerArgument,
    ServiceName,
    Streams,
    SubnetId,
    TagKey,
    TagValue,
    TimeOfDay,
    TimeZone,
    TracesUrl,
    VpcId,
    Zone,
    ports_of,
)
from tandem.subnets import nat_zones
from tandem.tags import MAIN_MODEL
from tandem.tasks import Task, answers

LogRetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827]
"""The periods that CloudWatch Logs knows, up to five years."""


class ExistingNetworkSettings(Section):
    """A VPC and subnets that are there. The stack makes security groups in it, and changes nothing that it finds."""

    vpc_id: VpcId = Field(description="The VPC, with DNS support and DNS hostnames on.")
    private_subnet_ids: dict[Zone, SubnetId] = Field(
        max_length=4,
        description="Zone to the subnet of its hosts, mount target, and an internal load balancer, in two to four "
        "zones. Each leads out by a NAT or another network, since hosts have no public address.",
    )
    public_subnet_ids: dict[Zone, SubnetId] = Field(
        default_factory=dict,
        max_length=4,
        description="Zone to the subnet of the load balancer, in the same zones, each with a route to an internet "
        "gateway. Unset with loadBalancer.scheme: internal.",
    )


class NetworkSettings(Section):
    """Where the stack lives and how its hosts reach the outside."""

    cidr_block: PrivateNetwork = Field(
        default=IPv4Network("10.20.0.0/16"),
        description="Address range of the VPC. Give each stack its own if they may ever be peered.",
    )
    zones: tuple[Zone, ...] = Field(
        default=(),
        max_length=4,
        description="Availability zones, two to four. Empty: the region's a and b. The load balancer needs two; "
        "choose zones that offer the instance types.",
    )
    egress: Literal["natPerZone", "singleNat", "publicHosts"] = Field(
        default="natPerZone",
        description="The hosts' way out. natPerZone survives the loss of a zone ($0.045 an hour each, and $0.045 for "
        "each GB); singleNat saves the others; publicHosts gives hosts a public address and no inbound rule at all, "
        "and costs $0.005 an hour and host.",
    )
    interface_endpoints: tuple[
        Literal[
            "ec2", "ssm", "ssmmessages", "ec2messages", "secretsmanager", "logs", "monitoring", "autoscaling", "sts"
        ],
        ...,
    ] = Field(
        default=(),
        description="AWS services reached without leaving the VPC, $0.01 an hour each and zone. None by default: "
        "traffic to them is TLS either way. The S3 gateway endpoint is always there and free.",
    )
    flow_log_retention_days: LogRetentionDays | None = Field(
        default=None, description="Keeps VPC flow logs this long; unset keeps none. Costs $0.50 for each GB written."
    )
    existing: ExistingNetworkSettings | None = Field(
        default=None,
        description="Uses a VPC and subnets that are there (docs/operations.md, in your own VPC), without the settings "
        "above. Unset: the stack makes its own. A stack stays where it was made.",
    )


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
        description="Moves files unread for so long to the cheaper class ($0.016 instead of $0.30 a GB and month).",
    )
    file_system_id: FileSystemId | None = Field(
        default=None,
        description="A model cache that a stack of this name has left (`tandem audit` lists it): its models are there "
        "at once, and it stays when this stack goes. Unset: a new one. The two settings above are then its own.",
    )


class LoadBalancerSettings(Section):
    """The only way in: HTTPS, the listed API paths, a limit on each client address."""

    domain_name: DomainName | None = Field(
        default=None,
        description="Host name of the API. Unset: the load balancer's own name with a self-signed certificate, "
        "which is good enough for a test stack only.",
    )
    hosted_zone_id: HostedZoneId | None = Field(
        default=None, description="Route 53 zone of domainName: the certificate is validated and the name set there."
    )
    certificate_arn: CertificateArn | None = Field(
        default=None, description="An existing ACM certificate for domainName, where DNS is not in Route 53."
    )
    scheme: Literal["internetFacing", "internal"] = Field(
        default="internetFacing",
        description="internal: without public addresses, for clients whose network has a route to this VPC (peering, "
        "a VPN). hostedZoneId is a public zone nevertheless: only there ACM finds the proof. A change makes another "
        "load balancer, and then removes the first, which deletionProtection refuses: turn that off by an `up` before. "
        "For some minutes nobody is served.",
    )
    client_cidrs: tuple[ClientNetwork, ...] = Field(
        default=(EVERYONE,),
        min_length=1,
        max_length=20,
        description="Who may connect to port 443, and to 80 where redirectHttp has it. Everyone by default; keys guard "
        "the rest.",
    )
    redirect_http: bool = Field(
        default=True,
        description="Port 80 leads to https. false: nothing listens there, so that a client with http:// in its "
        "address fails before it has sent its key in the clear.",
    )
    paths: tuple[ApiPath, ...] = Field(
        default=(
            *("/v1/chat/completions", "/v1/completions", "/v1/responses"),
            *("/v1/embeddings", "/v1/score", "/v1/rerank", "/v1/models"),
        ),
        min_length=1,
        max_length=50,
        description="Paths that are forwarded; all else is a 404. Of them the load balancer, and each edge, has those "
        "that the model answers, by its inference.task. vLLM's API key guards /v1 only: /invocations would serve "
        "completions to anyone.",
    )
    requests_per_minute_per_ip: int = Field(
        default=100, ge=10, le=1_000_000, description="Above this a client address gets 429 from the firewall (WAF)."
    )
    access_log_retention_days: int | None = Field(
        default=90, ge=1, le=3650, description="Keeps the load balancer's access logs in S3 so long; null for none."
    )
    deletion_protection: bool = Field(
        default=False, description="Refuses to delete the load balancer until this is turned off again."
    )

    @property
    def internal(self) -> bool:
        """Whether only networks with a route to the VPC reach it."""
        return self.scheme == "internal"


class GlobalNameSettings(Section):
    """One name in front of the stacks of several regions: Route 53 answers with one that works."""

    domain_name: DomainName = Field(description="The name that clients use, the same in every region's stack.")
    hosted_zone_id: HostedZoneId = Field(description="Route 53 zone of that name; the certificate is validated there.")
    routing: Literal["latency", "weighted"] = Field(
        default="latency",
        description="latency: the nearest region. weighted: by weight. Either way a region that fails is left out. "
        "All stacks of one name must have the same.",
    )
    weight: int = Field(
        default=100, ge=0, le=255, description="Share among the regions, for weighted. 0: only when no other works."
    )
    serving: bool = Field(
        default=True, description="false takes this region out of the name, so that its clients go elsewhere."
    )
    outside_check: bool = Field(
        default=True,
        description="Asks this region's own name over HTTPS from several continents whether it makes tokens, $1.50 a "
        "month. Without it only the load balancer's own health checks count.",
    )


class CapacityBlockSettings(Section):
    """GPUs reserved for a span of days (Capacity Blocks for ML)."""

    reservation_id: ReservationId = Field(description="The reservation that was bought.")
    zone: Zone = Field(description="The zone that it is in; hosts start only there.")
    ends_at: Instant = Field(description="When it ends: the fleet is at 0 half an hour before, when AWS reclaims it.")


class CapacityReservationSettings(Section):
    """GPUs that stand ready at the price on demand, used or not, until somebody cancels them (On-Demand Capacity
    Reservations)."""

    by_zone: dict[Zone, ReservationId] = Field(
        min_length=1,
        max_length=4,
        description="Each zone's reservation, of the one type in fleet.instanceTypes; hosts start in these zones only.",
    )
    when_full: Literal["onDemand", "wait"] = Field(
        default="onDemand",
        description="What starts when they are full, expired or cancelled. onDemand: a host on demand, if AWS has "
        "one, which is paid beside what is reserved. wait: none, until a reservation has room; a rollout then needs "
        "room for a host more, or fleet.rollout: terminateFirst.",
    )


class FleetSettings(Section):
    """The GPU hosts: an Auto Scaling group."""

    instance_types: tuple[str, ...] = Field(
        default=("g6.12xlarge",),
        min_length=1,
        max_length=10,
        description="Types that may serve, in order of preference. More types, fewer failed starts.",
    )
    hosts: int = Field(default=1, ge=0, le=100, description="Hosts that the expected load needs.")
    spare_hosts: int = Field(
        default=0, ge=0, le=20, description="Hosts beyond that (N+1): one lost host then takes no capacity away."
    )
    max_hosts: int | None = Field(
        default=None,
        ge=1,
        le=120,
        description="Upper bound of the group and of what it can cost. Unset: hosts + spareHosts, which a managed node "
        "group has; with Karpenter it alone bounds nodes, by GPUs: so many of the type with the most, of smaller ones "
        "more; hosts beside it are refused.",
    )
    follow_load: bool = Field(
        default=False,
        description="Hosts follow the requests, by `scaling`, between hosts + spareHosts and maxHosts (ec2); with "
        "hosts: 0 to none and back. Some $2 a month, and $3 a host, which reports every ten seconds. false: there are "
        "hosts + spareHosts; where it was true, from the next `pulumi up --refresh` on.",
    )
    on_demand_base: int = Field(
        default=0, ge=0, le=100, description="The first so many hosts are on demand, whatever the percentage says."
    )
    on_demand_percentage: int = Field(
        default=100,
        ge=0,
        le=100,
        description="Share of on-demand hosts above the base; the rest is spot, up to 70 % cheaper and gone with two "
        "minutes' notice.",
    )
    capacity_block: CapacityBlockSettings | None = Field(
        default=None, description="Starts hosts in a Capacity Block instead; excludes spot."
    )
    capacity_reservations: CapacityReservationSettings | None = Field(
        default=None,
        description="Starts hosts in On-Demand Capacity Reservations that you have made; excludes spot. Unset: on "
        "ec2 hosts on demand take open ones by themselves, as AWS has it; Karpenter takes none that is not named.",
    )
    rollout: Literal["launchFirst", "terminateFirst"] = Field(
        default="launchFirst",
        description="How a change of the hosts is rolled out. launchFirst needs quota and capacity for one host more; "
        "terminateFirst is for accounts that have no spare GPU.",
    )
    hold_after_first_host: Duration | None = Field(
        default=None,
        description="A rollout waits so long, up to 2d, once its first new host serves (ec2, two hosts or more): time "
        "for `tandem rollout --check`, which goes on at once or goes back. Unset: it does not wait.",
    )
    launch_timeout_seconds: int = Field(
        default=3600,
        ge=600,
        le=7200,
        description="A host that has made no token by then is replaced. A cold download of 60 GB takes 10 to 40 "
        "minutes.",
    )
    root_volume_gib: int = Field(
        default=200, ge=100, le=16384, description="Encrypted gp3 root volume; room for the image where NVMe lacks."
    )
    machine_image_id: MachineImageId | None = Field(
        default=None, description="Another machine image than images/pins.toml pins for the region."
    )
    registry_mirror: MirrorUrl | None = Field(
        default=None,
        description="A pull-through cache of docker.io that hosts ask first, for a registry that limits pulls. Unset: "
        "docker.io itself.",
    )
    registry_login_secret_arn: SecretArn | None = Field(
        default=None,
        description="A secret whose text is JSON with `username` and `password`: hosts log in to the image's registry "
        "with it before they pull. Unset: anonymously.",
    )
    log_retention_days: LogRetentionDays = Field(default=30, description="Keeps the logs of servers and edges so long.")

    @property
    def reservation_ids(self) -> tuple[str, ...]:
        """Of the Capacity Block, or of the reservations."""
        if self.capacity_block is not None:
            return (self.capacity_block.reservation_id,)
        return () if self.capacity_reservations is None else tuple(self.capacity_reservations.by_zone.values())

    @property
    def reserved_zones(self) -> tuple[str, ...]:
        """Where alone hosts start, because they are reserved there; empty for in all of the stack's zones."""
        if self.capacity_block is not None:
            return (self.capacity_block.zone,)
        return () if self.capacity_reservations is None else tuple(self.capacity_reservations.by_zone)


_FIXED = "vLLM 0.32 ends with an AssertionError when it is to guess fewer tokens than the most, as with many requests"
_UNSIZED = "what it takes of a GPU is not known here, and no server of tandem's was ever started with it"
OTHER_METHODS = {
    "mtp": "guesses by layers of the model's own checkpoint, which sizing takes as not loaded",
    **dict.fromkeys(("dflash", "dspark", "mlp_speculator"), _UNSIZED),
    **dict.fromkeys(("medusa", "suffix", "ngram_gpu"), _FIXED),
}
"""Of vLLM's (`vllm/config/speculative.py`; the assertions in `vllm/v1/spec_decode/`), and why they are none here."""


class SpeculationSettings(Section):
    """Tokens that are guessed, and checked together in one step: fewer steps for answers that repeat what was said."""

    method: Annotated[Literal["ngram", "draft", "eagle", "eagle3"], NotThere(OTHER_METHODS)] = Field(
        default="ngram",
        description="What guesses. ngram: what followed the last tokens where they stood before, in prompt or answer; "
        "good for answers that quote (code, summaries, extraction). draft: a small model of the same vocabulary. "
        "eagle, eagle3: a head that was trained for this very model, and reads what it has worked out.",
    )
    model: ModelId | None = Field(
        default=None,
        description="The draft's or the head's repository on the hub, pinned, compared and kept as the model is. "
        "Unset: for ngram, which needs none.",
    )
    model_config_file: ProjectPath | None = Field(
        default=None,
        description="Its own config.json, for sizing. Unset: a draft is sized by tandem's catalog; what is not there "
        "is not counted, which a warning says.",
    )
    tokens: int = Field(default=4, ge=1, le=64, description="Guessed for a request in a step, at most.")
    prompt_lookup_max: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Last tokens, at most, that must have stood before. Unset: as promptLookupMin, else vLLM's own 5.",
    )
    prompt_lookup_min: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="The same, at least; fewer guess more, and worse. Unset: as promptLookupMax, else vLLM's own 5.",
    )
    up_to_requests: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Nothing is guessed in steps of more requests. There arithmetic takes longer than reading the "
        "weights, and each wrong guess costs: 4 of them lengthened a step of an 8B model on an H200 by an eighth with "
        "32 requests, by a third with 64. Steps without a guess, too, make some 23 % fewer tokens than a server "
        "without speculation.",
    )


class RoutingSettings(Section):
    """Which of several servers a request goes to, so that what it begins with has been read there before. vLLM keeps
    what it has read (prefix caching), each server for itself."""

    by: Literal["prefix", "session"] = Field(
        default="prefix",
        description="prefix: requests of one conversation meet by what it begins with, up to the first message of its "
        "user; of a prompt that is one text, its first 256 characters (tokens, where it is a list). session: by a "
        "header, and by prefix where a request has none.",
    )
    header: HeaderName = Field(default="X-Session-Id", description="Names the session; clients choose its value.")
    up_to_requests: int = Field(
        default=32,
        ge=1,
        le=256,
        description="A server is preferred for its cache until it has so many requests. On hosts the next one then "
        "takes what is beyond, and once all have as many, the least busy one; on pods the one that the load balancer "
        "chose. Fewer keep load even, more keep caches warm.",
    )


class AdapterSettings(Section):
    """A LoRA adapter of a model. Its commit and its files are pinned in images/pins.toml, as a model's are."""

    model: ModelId = Field(description="The adapter's repository on the hub: adapter_config.json and safetensors.")
    rank: int = Field(
        ge=1,
        le=512,
        description="`r` of its adapter_config.json, or the largest of its rank_pattern. Servers reserve memory by it "
        "before they have read the file, and refuse to start with an adapter of a higher one.",
    )


class InferenceSettings(Section):
    """What vLLM serves."""

    model: ModelId = Field(default="Qwen/Qwen3-8B", description="The model. The default is ungated and fits 2 x 24 GB.")
    served_model_name: ServedName | None = Field(
        default=None, description="Name that clients send as `model`. Unset: the model's id."
    )
    task: Task = Field(
        default="generate",
        description="What it does. embed: texts as vectors (/v1/embeddings, and /v1/score and /v1/rerank by how alike "
        "they are), also of a model that was made to generate; score: /v1/score and /v1/rerank, of a model with one "
        "label.",
    )
    weights: Literal["efs", "nvme", "s3"] = Field(
        default="nvme",
        description="Where weights are loaded from. nvme: downloaded once to EFS, copied to each host's NVMe, so "
        "restarts are fast; efs: read in place; s3: streamed from weightsS3Uri.",
    )
    weights_s3_uri: S3Uri | None = Field(default=None, description="Where the weights are for `weights: s3`.")
    model_config_file: ProjectPath | None = Field(
        default=None,
        description="The model's own config.json, for sizing a model that tandem's catalog lacks. Unset: such a model "
        "is not sized, and only a start tells whether it fits.",
    )
    quantization: Literal["fp8", "awq", "awq_marlin", "gptq", "gptq_marlin", "compressed-tensors", "mxfp4"] | None = (
        Field(default=None, description="Unset: what the checkpoint says. fp8 quantizes a bf16 checkpoint at load.")
    )
    tensor_parallel_size: Literal[1, 2, 4, 8] = Field(
        default=GPUS_PER_REPLICA,
        description="GPUs of one host over which a server spreads the model. A host runs as many servers as it has "
        "such groups of GPUs, the best linked ones together.",
    )
    pipeline_parallel_size: Literal[1, 2] = Field(
        default=1, description="Hosts that one replica spans, for a model that no host holds; 2 needs platform eks."
    )
    kv_cache_dtype: Literal["auto", "fp8"] = Field(
        default="auto", description="fp8 doubles the tokens that fit, at a small loss of accuracy."
    )
    max_model_len: int | None = Field(
        default=None, ge=128, le=10_485_760, description="Longest prompt and answer in tokens. Unset: the model's own."
    )
    gpu_memory_utilization: float | None = Field(
        default=None,
        ge=0.1,
        le=0.98,
        description="Share of GPU memory that vLLM budgets. Unset: chosen by sizing for the smallest GPU of the "
        "fleet, since a running server takes more than its budget.",
    )
    max_num_seqs: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Requests in one batch. Unset: vLLM's own, 256; from 70 GiB of GPU memory 1024 (A100: 256). Pods "
        "take that of the fleet's smallest GPU.",
    )
    max_num_batched_tokens: int | None = Field(
        default=None,
        ge=128,
        le=131_072,
        description="Tokens in one step. Unset: vLLM's own, by GPU size, 2048 to 16384; fewer, 1024 at least, where a "
        "step of those would hold up all answers for more than 0.2 s, as with a 70B model on H200.",
    )
    max_queued_requests: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Requests of a replica that wait beside the batch; more get 503 at once, not a timeout. One for "
        "vectors or scores counts once, however many texts it has.",
    )
    speculation: SpeculationSettings | None = Field(
        default=None,
        description="Speculative decoding; {} for the defaults. Answers are as likely as without, requests with min_p "
        "or logit_bias are refused by vLLM. It gives nothing where answers do not repeat what was said: look at the "
        "acceptance. Unset: none.",
    )
    routing: RoutingSettings | None = Field(
        default=None,
        description="Sends requests that begin alike to the same server: of a host (docs/host.md, warm caches), or of "
        "all of a model's pods (docs/kubernetes.md); {} for the defaults. Unset: by load alone.",
    )
    tool_call_parser: ParserName | None = Field(default=None, description="Turns on tool calls with this parser.")
    reasoning_parser: ParserName | None = Field(default=None, description="Separates reasoning from the answer.")
    media_domains: tuple[DomainName, ...] = Field(
        default=(),
        max_length=50,
        description="Hosts, each by its whole name, from which vLLM may fetch images, sound and video that a request "
        "names by URL; it follows no redirect. None by default: such media then come inside the request (data: URLs) "
        "only, for whoever may name any URL reaches with it whatever the server reaches.",
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Lets vLLM run code that comes with the model. Refused for a model without pinned revision and "
        "manifest: whoever may write to its repository would run code on the hosts.",
    )
    adapters: dict[ServedName, AdapterSettings] = Field(
        default_factory=dict,
        max_length=32,
        description="LoRA adapters by the name that clients send as `model`. Each is downloaded, compared and kept as "
        "the model is. A change replaces servers, as one of any argument of theirs.",
    )
    adapters_at_once: int | None = Field(
        default=None,
        ge=1,
        le=32,
        description="Adapters of one batch, each of which takes GPU memory from the KV cache; requests for others "
        "wait. Unset: all of them.",
    )
    extra_arguments: tuple[ServerArgument, ...] = Field(
        default=(),
        max_length=50,
        description="Arguments of `vllm serve` for what no setting covers. Sizing does not count what they take.",
    )

    @property
    def gpus(self) -> int:
        """Of one replica, over all its hosts."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    @property
    def served_name(self) -> str:
        """What clients send as `model`."""
        return self.served_model_name or self.model

    @property
    def names(self) -> tuple[str, ...]:
        """All that its servers answer to as `model`: the model's, then its adapters'."""
        return (self.served_name, *self.adapters)

    @property
    def makes_tokens(self) -> bool:
        """Whether its task is to generate."""
        return self.task == "generate"

    @property
    def slots(self) -> int:
        """Adapters of one batch, for which GPUs have room."""
        return min(len(self.adapters), self.adapters_at_once or len(self.adapters))

    @property
    def beside(self) -> dict[str, str]:
        """Repositories that come from the hub beside the model's own, by the setting that names each."""
        guesses = self.speculation and self.speculation.model
        found = {f"adapters.{name}.model": adapter.model for name, adapter in self.adapters.items()}
        return found | ({"speculation.model": guesses} if guesses else {})

    @property
    def largest_rank(self) -> int:
        """Of its adapters; 0 without any."""
        return max((adapter.rank for adapter in self.adapters.values()), default=0)

    @property
    def is_pipeline(self) -> bool:
        """Whether a replica is several hosts, one stage on each."""
        return self.pipeline_parallel_size > 1


class ClientSettings(Section):
    """Who may ask, and how much. Beside a client of the same name that `tandem keys` made, keys add up and limits of
    this one win."""

    sha256: tuple[KeyDigest, ...] = Field(
        min_length=1, max_length=8, description="Digests of the client's keys; two while one takes the other's place."
    )
    requests_per_second: RequestRate | None = Field(
        default=None, description="Above this: 429, at each edge by itself. Unset: no limit by name."
    )
    streams: Streams | None = Field(default=None, description="Requests at once, likewise; above this: 429.")
    models: tuple[ServedName, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="What it may ask for, by the names that it sends. Unset: every model.",
    )


class EdgeSettings(Section):
    """Of nginx before each server, and its limits by client address."""

    requests_per_second_per_client: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Of one address, at each edge, by clients that have no requestsPerSecond of their own; above this: "
        "429. Who has one is held to that alone.",
    )
    connections_per_client: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Requests at once, likewise, by clients that have no streams of their own.",
    )
    max_body_mib: int = Field(default=16, ge=1, le=512, description="Largest request body; images are sent inline.")
    revoked_streams: Literal["finish", "cut"] = Field(
        default="finish",
        description="What becomes of an answer that is on its way when its key is revoked; a new request is refused "
        "within 60 s either way.",
    )


class LogSettings(Section):
    """What is written down. Prompts, answers and keys never are."""

    requests: bool = Field(
        default=True,
        description="vLLM notes each request by the id that the edge gave it, with its sampling parameters, which may "
        "quote a client: stop words, the schema of an answer. About 1 KB a request: at 20 a second 51 GB and $26 a "
        "month in CloudWatch Logs. false: the edge's line alone, a third of a KB.",
    )
    send_to: LogDestinationArn | None = Field(
        default=None,
        description="Where lines of servers and edges go, too, within minutes (docs/logs.md): a Kinesis or Firehose "
        "stream or a Lambda function of the stack's account and region, or a destination of CloudWatch Logs in the "
        "region, by which other accounts take them. CloudWatch keeps them as before. The role costs nothing, what the "
        "other place takes is on its own bill.",
    )


class TracingSettings(Section):
    """OpenTelemetry: when a request waited, read its prompt and made tokens. No prompt is in a trace."""

    endpoint: TracesUrl | None = Field(
        default=None,
        description="Where vLLM sends its spans: a collector that speaks OTLP over HTTP. Opens its port to servers. "
        "Unset: no traces, and no traceparent of a client reaches vLLM.",
    )
    sample_ratio: float = Field(
        default=0.01,
        ge=0.0001,
        le=1,
        description="Share of requests that are traced, in steps of 0.0001. The edge decides; a client names its trace "
        "(traceparent), not whether there is one. Refused without an endpoint.",
    )

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP port of the endpoint; none without one."""
        return ports_of(self.endpoint)


class TimeoutSettings(Section):
    """One chain: each link waits longer than the one before it, so that the client always hears an answer."""

    client_seconds: int = Field(
        default=300, ge=10, le=3600, description="What clients are told to wait for the next byte."
    )
    load_balancer_idle_seconds: int = Field(
        default=310, ge=1, le=4000, description="The load balancer drops a connection that is silent for so long."
    )
    edge_keepalive_seconds: int = Field(
        default=320, ge=1, le=4200, description="nginx keeps idle connections from the load balancer open so long."
    )
    server_keepalive_seconds: int = Field(
        default=330, ge=1, le=4400, description="vLLM keeps idle connections from nginx open so long; its own is 5 s."
    )
    longest_generation_seconds: int = Field(
        default=300, ge=10, le=3600, description="The longest answer; a server that stops waits so long for it."
    )
    deregistration_delay_seconds: int = Field(
        default=300, ge=0, le=3600, description="The load balancer lets running requests end for so long."
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
        description="Hosts go to 0 after so long without a request, counted from when a host is in service (ec2); by "
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
