"""vLLM's command line from the settings, and what differs by instance type. Flags as of vLLM 0.32.0."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tandem.catalog.instances import InstanceType
from tandem.serving.engine import Engine, Profile, Timeouts
from tandem.sizing.adapters import reserved_rank
from tandem.sizing.gpus import batch_size, gpu_of
from tandem.tasks import Task

NO_HOST = "no host"
"""vLLM compares a URL's host with each name of its list as a whole (`vllm/multimodal/media/connector.py`), and no host
has a space: its parser refuses one."""
CONVERTED: Mapping[Task, str] = {"embed": "embed", "score": "classify"}
"""What vLLM makes of a class that generates; one that embeds or classifies by itself stays as it is
(`vllm/model_executor/models/adapters.py`)."""


GUESSES_PAY, JUDGE = "TANDEM_GUESSES_PAY", "/guessing"
"""What cloud-init/shared/guessing.py reads, and where a container has that: alone, so that the server means no other
module by the name of one of ours."""
HOSTS_HUB = "/hub"
"""Hub cache in the container of a host's server."""


def vllm_arguments(engine: Engine, timeouts: Timeouts, hub: str = HOSTS_HUB) -> list[str]:
    """Arguments of `vllm serve` that hold on every instance type; the model comes first.

    Host, port and API keys are not among them: where a server listens is the platform's business, and keys come from
    a file that only the server can read.

    Args:
        hub: the hub cache in the server's container.
    """
    streamed = engine.weights == "s3"
    arguments = [
        engine.weights_s3_uri if streamed and engine.weights_s3_uri else engine.model,
        *(["--revision", engine.revision] if engine.revision and not streamed else []),
        *("--served-model-name", engine.served_model_name),
        *(["--runner", "pooling", "--convert", CONVERTED[engine.task]] if engine.task in CONVERTED else []),
        *("--tensor-parallel-size", str(engine.tensor_parallel_size)),
        # SIGTERM lets running requests end; the default of 0 would cut them off as if they were whole.
        *("--shutdown-timeout", str(timeouts.longest_generation)),
        # An empty list would let in all; what is no name is the name of no host.
        *("--allowed-media-domains", *(engine.media_domains or [NO_HOST])),
        *("--logging-config", '{"formatter": "json"}'),
        # The edge's has more, and no query.
        "--disable-uvicorn-access-log",
        *(["--enable-log-requests"] if engine.log_requests else []),
        *_adapter_arguments(engine, hub),
    ]
    optional: dict[str, object] = {
        "--pipeline-parallel-size": engine.pipeline_parallel_size if engine.pipeline_parallel_size > 1 else None,
        "--load-format": "runai_streamer" if streamed else None,
        "--quantization": engine.quantization,
        "--kv-cache-dtype": None if engine.kv_cache_dtype == "auto" else engine.kv_cache_dtype,
        "--max-model-len": engine.max_model_len,
        "--gpu-memory-utilization": engine.gpu_memory_utilization,
        "--max-num-batched-tokens": engine.max_num_batched_tokens,
        "--speculative-config": _speculative_config(engine, hub),
        "--scheduler-cls": "guessing.scheduler" if engine.guesses_pay else None,
        "--reasoning-parser": engine.reasoning_parser,
        "--tool-call-parser": engine.tool_call_parser,
        "--otlp-traces-endpoint": engine.traces_endpoint,
    }
    for flag, value in optional.items():
        if value is not None:
            arguments += [flag, str(value)]
    if engine.tool_call_parser:
        arguments.append("--enable-auto-tool-choice")
    if engine.trust_remote_code:
        arguments.append("--trust-remote-code")
    return [*arguments, *engine.extra_arguments]


def _speculative_config(engine: Engine, hub: str) -> str | None:
    """As `SpeculativeConfig` of vLLM takes it (`vllm/config/speculative.py`). Its schedule has ranges of requests in a
    step, both ends among them, and the last one's guesses go for all above."""
    if (speculation := engine.speculation) is None:
        return None
    most, tokens = speculation.up_to_requests, speculation.tokens
    told: dict[str, object] = {
        "method": "draft_model" if speculation.method == "draft" else speculation.method,
        "model": engine.draft and f"{hub}/{engine.draft.directory}",
        "num_speculative_tokens": tokens,
        "prompt_lookup_max": speculation.prompt_lookup_max,
        "prompt_lookup_min": speculation.prompt_lookup_min,
        "num_speculative_tokens_per_batch_size": [[1, most, tokens], [most + 1, most + 1, 0]],
    }
    return json.dumps({key: value for key, value in told.items() if value is not None})


def _adapter_arguments(engine: Engine, hub: str) -> list[str]:
    """All adapters are in the machine's memory, where vLLM would else keep as many as on the GPU and read files again.

    A path by its commit is no hub id, which vLLM would look for under `main`.
    """
    if not engine.adapters:
        return []
    return [
        "--enable-lora",
        *("--max-loras", str(engine.adapter_slots)),
        *("--max-cpu-loras", str(len(engine.adapters))),
        *("--max-lora-rank", str(reserved_rank(engine.adapter_rank))),
        *("--lora-modules", *(f"{one.name}={hub}/{one.directory}" for one in engine.adapters)),
    ]


def requests_at_once(engine: Engine, instance_types: Sequence[InstanceType]) -> tuple[int, int]:
    """Requests of a batch that each of these types serves, and with those that may wait beside them."""
    batch = batch_size(instance_types, engine.max_num_seqs, engine.max_num_batched_tokens)
    return batch, batch + engine.max_queued_requests


def admission_arguments(engine: Engine, instance_types: Sequence[InstanceType]) -> list[str]:
    """How many requests run and wait. vLLM's own bound counts both, so the batch is named and is part of it.

    Of a request for vectors or scores it counts each text (`vllm/v1/engine/async_llm.py`), and would refuse one with
    more texts than the bound for ever: there the edge alone counts.
    """
    batch, requests = requests_at_once(engine, instance_types)
    bound = [] if engine.task in CONVERTED else ["--max-num-queued-reqs", str(requests)]
    return ["--max-num-seqs", str(batch), *bound]


SOCKETS_BETWEEN_NODES: Mapping[str, str] = {"NCCL_SOCKET_NTHREADS": "2", "NCCL_NSOCKS_PERTHREAD": "8"}
"""What NCCL opens to each peer on AWS's network card, where one connection has 5 Gbit/s. It knows the card by
/sys/class/net/eth0/device/vendor, which a pod's end of a virtual pair has not (`ncclNetSocketGetNsockNthread` in
src/transport/net_socket.cc of NCCL)."""


def server_environment(timeouts: Timeouts, engine: Engine) -> dict[str, str]:
    """Environment of every server, beside where its caches are. No secret is in it."""
    judged = {GUESSES_PAY: json.dumps(engine.guesses_pay), "PYTHONPATH": JUDGE} if engine.guesses_pay else {}
    return {
        **judged,
        # Outlasts nginx's, so that vLLM never closes a connection that nginx is sending on; the default is 5 s.
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(timeouts.server_keepalive),
        # Storage may be slow on the first start; the host has its own deadline.
        "VLLM_ENGINE_READY_TIMEOUT_S": str(timeouts.launch),
        "VLLM_NO_USAGE_STATS": "1",
        # A host that is allowed could otherwise lead to one that is not.
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        # Where there are traces at all: by a protocol that has TLS, and of those requests that the edge chose.
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_TRACES_SAMPLER": "parentbased_always_off",
    }


def logging_configuration(agent_port: int) -> dict[str, Any]:
    """A file for VLLM_LOGGING_CONFIG_PATH: vLLM's JSON lines as it writes them itself (`vllm/logging_utils/`), and each
    of them to the agent beside a pod's edge, too.

    Args:
        agent_port: where it takes lines, by UDP.
    """
    logger = {"handlers": ["console", "agent"], "level": "INFO", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "class": "pythonjsonlogger.jsonlogger.JsonFormatter",
                "format": "%(asctime)s %(levelname)s %(name)s %(processName)s %(process)d %(message)s",
            }
        },
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"},
            "agent": {"()": "server_log.ToAgent", "formatter": "json", "port": agent_port},
        },
        "loggers": dict.fromkeys(("vllm", "uvicorn"), logger),
    }


def profile(instance_type: InstanceType, driver_branch: int, gpus: int) -> Profile:
    """What one instance type needs of the host, and of vLLM with so many GPUs a server.

    Sources: NVIDIA's driver guide (Turing to Hopper: open modules recommended, Blackwell: required), vLLM's dtype check
    (bfloat16 from compute capability 8.0), vLLM issue 51513 (tensor parallelism over PCIe peer to peer hangs on
    Blackwell workstation GPUs), NVIDIA's Fabric Manager guide and AWS's EKS image (awslabs/amazon-eks-ami,
    install-nvidia-driver.sh) for the companions of Fabric Manager on fourth generation NVSwitches. vLLM believes the
    driver that GPUs reach each other, unless it is told to try; NVLink needs no trial.
    """
    arguments: list[str] = []
    environment: dict[str, str] = {}
    if not instance_type.has_bfloat16:
        arguments += ["--dtype", "half"]
    over_pcie = gpus > 1 and not gpu_of(instance_type)[1].nvlink
    if over_pcie and instance_type.compute_capability >= 12:
        arguments.append("--disable-custom-all-reduce")
        environment["NCCL_P2P_DISABLE"] = "1"
    elif over_pcie:
        environment["VLLM_SKIP_P2P_CHECK"] = "0"
    # The GPU system processor, which open modules need, is trouble on T4 and A10G: AWS's EKS images keep to the
    # proprietary modules there. Branch 620 has none.
    proprietary = instance_type.name.startswith(("g4dn.", "g5.")) and driver_branch < 620
    return Profile(
        gpus=instance_type.gpus,
        driver_packages=[
            "cuda-drivers" if proprietary else "nvidia-open",
            *(["nvidia-fabricmanager"] if instance_type.nvswitch else []),
            *(["nvlsm", "infiniband-diags"] if instance_type.nvlink_subnet_manager else []),
        ],
        arguments=arguments,
        environment=environment,
        over_pcie=over_pcie,
    )
