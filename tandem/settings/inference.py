"""Sections on what is served: model, adapters, guesses, and which server of several a request goes to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tandem.catalog.instances import GPUS_PER_REPLICA
from tandem.catalog.models import MODELS
from tandem.settings.section import Section
from tandem.settings.types import (
    DomainName,
    HeaderName,
    ModelId,
    NotThere,
    ParserName,
    ProjectPath,
    S3Uri,
    ServedName,
    ServerArgument,
)
from tandem.tasks import Task

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
        description="A server is preferred for its cache until it has this many requests. On hosts the next one then "
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
    def is_sized(self) -> bool:
        """Whether the model's shape is known here."""
        return self.model_config_file is not None or self.model in MODELS

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
