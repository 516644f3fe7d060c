"""What vLLM serves and for how long it waits, from a stack's settings and pins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tandem.catalog.instances import GPUS_PER_REPLICA
from tandem.pins import Pins
from tandem.settings.inference import InferenceSettings, SpeculationSettings
from tandem.settings.schema import Settings
from tandem.sizing.plan import Plan
from tandem.tasks import Task
from tandem.timing import HEARTBEAT_SECONDS


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a server loads from the hub beside its model.

    Attributes:
        model, revision, manifest: its repository, commit and list of files, as a model's.
    """

    model: str
    revision: str
    manifest: str

    @property
    def directory(self) -> str:
        """Where a hub cache has it."""
        return f"models--{self.model.replace('/', '--')}/snapshots/{self.revision}"


@dataclass(frozen=True, kw_only=True)
class Adapter(Beside):
    """A LoRA adapter.

    Attributes:
        name: what clients send as `model`.
    """

    name: str


def told(adapters: Sequence[Adapter], draft: Beside | None) -> dict[str, Any]:
    """What scripts on machines read of them; nothing where there are none."""
    found = {"adapters": [asdict(adapter) for adapter in adapters], "drafts": [asdict(draft)] if draft else []}
    return {name: listed for name, listed in found.items() if listed}


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What vLLM serves and how. Unset numbers leave the choice to vLLM.

    Attributes:
        image: container image, `repository@sha256:...`, or `repository:tag` while it is not pinned.
        minimum_driver_branch: oldest NVIDIA driver branch that the image's CUDA runs on (580 for CUDA 13).
        model: Hugging Face model id, organisation/name.
        revision: commit hash of the model; None takes what `main` is on the day.
        manifest: SHA-256 of the list of its files with their hashes; None takes what the hub says on the day.
        weights: nvme: downloaded once to EFS, copied to each host's NVMe; efs: read in place; s3: streamed.
        weights_s3_uri: where the weights are for `s3`.
        served_model_name: what clients send as `model`.
        task: what it does; what makes no tokens is served by vLLM's pooling runner.
        tensor_parallel_size: GPUs of one server.
        pipeline_parallel_size: hosts that one replica spans.
        gpu_memory_utilization: share of GPU memory that vLLM budgets, 0 to 1.
        max_num_seqs: requests of a batch; None for vLLM's own on the GPU.
        max_queued_requests: requests of a replica that wait beside the batch; more get 503.
        speculation: what guesses tokens; None for nothing.
        draft: the model or head that guesses them; None where none is needed.
        guesses_pay: the share of right ones from which guesses pay, by requests in a step; empty for no judgement.
        media_domains: hosts from which media that a request names by URL are fetched; none: from nowhere.
        trust_remote_code: runs code that comes with the model.
        adapters: LoRA adapters of the model.
        adapter_slots: how many of them one batch has, at most.
        adapter_rank: the largest of theirs.
        extra_arguments: arguments of `vllm serve` for what no setting covers.
        log_requests: each request's id and parameters in the log, without its prompt.
        traces_endpoint: where spans go, by OTLP over HTTP; None makes none.
    """

    image: str
    model: str
    revision: str | None
    manifest: str | None = None
    served_model_name: str
    task: Task = "generate"
    minimum_driver_branch: int = 580
    weights: Literal["efs", "nvme", "s3"] = "nvme"
    weights_s3_uri: str | None = None
    quantization: str | None = None
    tensor_parallel_size: int = GPUS_PER_REPLICA
    pipeline_parallel_size: int = 1
    kv_cache_dtype: str = "auto"
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_queued_requests: int = 256
    speculation: SpeculationSettings | None = None
    draft: Beside | None = None
    guesses_pay: Mapping[int, float] = field(default_factory=dict)
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    media_domains: Sequence[str] = ()
    trust_remote_code: bool = False
    adapters: Sequence[Adapter] = ()
    adapter_slots: int = 0
    adapter_rank: int = 0
    extra_arguments: Sequence[str] = ()
    log_requests: bool = True
    traces_endpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds. The settings check that each link of the chain outlasts the one before it.

    Attributes:
        edge_keepalive: nginx keeps idle connections from the load balancer open so long.
        server_keepalive: vLLM keeps idle connections from nginx open so long.
        longest_generation: the longest answer: nginx waits so long for a byte, a stopping vLLM for its requests.
        deregistration_delay: the load balancer lets running requests end for so long.
        termination_grace: all that a leaving host gets.
        launch: a host that has made no token by then is given up.
        heartbeat: heartbeat timeout of both lifecycle hooks.
    """

    edge_keepalive: int
    server_keepalive: int
    longest_generation: int
    deregistration_delay: int
    termination_grace: int
    launch: int
    heartbeat: int


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What an instance type needs of the host.

    Attributes:
        gpus: number of GPUs; the host refuses to go on with another number.
        driver_packages: with open or proprietary kernel modules, and Fabric Manager, without which
            NVSwitch types do not join their GPUs; from NVLink 5 on it needs a subnet manager.
        arguments: vLLM arguments of this type.
        environment: environment of the servers of this type.
        over_pcie: its GPUs reach each other over PCIe, where a start may hang; it is tried again without.
    """

    gpus: int
    driver_packages: Sequence[str]
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    over_pcie: bool = False


def engine(settings: Settings, inference: InferenceSettings, pins: Pins, sized: Plan | None) -> Engine:
    """What vLLM serves, with the pinned image and revision.

    Args:
        inference: that of the stack's main model, or of a further one.
        sized: what sizing chose, share of GPU memory and tokens of a step; None leaves both to settings and vLLM.
    """
    guesses = inference.speculation and inference.speculation.model
    return Engine(
        image=pins.vllm.reference,
        minimum_driver_branch=pins.vllm.minimum_driver_branch,
        model=inference.model,
        revision=pins.model_revision(inference.model) or None,
        manifest=pins.model_manifest(inference.model) or None,
        served_model_name=inference.served_name,
        task=inference.task,
        weights=inference.weights,
        weights_s3_uri=inference.weights_s3_uri,
        quantization=inference.quantization,
        tensor_parallel_size=inference.tensor_parallel_size,
        pipeline_parallel_size=inference.pipeline_parallel_size,
        kv_cache_dtype=inference.kv_cache_dtype,
        max_model_len=inference.max_model_len,
        gpu_memory_utilization=sized.gpu_memory_utilization if sized else None,
        max_num_seqs=inference.max_num_seqs,
        max_num_batched_tokens=sized.max_num_batched_tokens if sized else inference.max_num_batched_tokens,
        max_queued_requests=inference.max_queued_requests,
        speculation=inference.speculation,
        draft=Beside(**_pinned(guesses, pins)) if guesses else None,
        guesses_pay=sized.guesses_pay if sized else {},
        tool_call_parser=inference.tool_call_parser,
        reasoning_parser=inference.reasoning_parser,
        media_domains=inference.media_domains,
        trust_remote_code=inference.trust_remote_code,
        adapters=[Adapter(name=name, **_pinned(adapter.model, pins)) for name, adapter in inference.adapters.items()],
        adapter_slots=inference.slots,
        adapter_rank=inference.largest_rank,
        extra_arguments=inference.extra_arguments,
        log_requests=settings.logs.requests,
        traces_endpoint=settings.tracing.endpoint,
    )


def _pinned(model: str, pins: Pins) -> dict[str, str]:
    return {"model": model, "revision": pins.model_revision(model), "manifest": pins.model_manifest(model)}


def timeouts(settings: Settings) -> Timeouts:
    """The chain of waits, in seconds."""
    chain = settings.timeouts
    return Timeouts(
        edge_keepalive=chain.edge_keepalive_seconds,
        server_keepalive=chain.server_keepalive_seconds,
        longest_generation=chain.longest_generation_seconds,
        deregistration_delay=chain.deregistration_delay_seconds,
        termination_grace=chain.termination_grace_seconds,
        launch=settings.fleet.launch_timeout_seconds,
        heartbeat=HEARTBEAT_SECONDS,
    )
