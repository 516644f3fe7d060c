"""From a stack's settings and pins to what its hosts must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infra.catalog.instances import INSTANCE_TYPES
from infra.host.config import Edge, Engine, HostConfig, Packages, Pinned, Timeouts
from infra.lifetime import HEARTBEAT_SECONDS
from infra.pins import Package, Pins
from infra.rollout import LAUNCH_HOOK, TERMINATE_HOOK
from infra.settings import Settings
from infra.settings.schema import InferenceSettings
from infra.sizing import Plan

EDGE_PORT = 8080
HEALTH_PATH = "/healthz"
"""True only while a replica makes tokens; vLLM's own /health can be 200 while the engine hangs."""


@dataclass(frozen=True, kw_only=True)
class HostResources:
    """Names and ids that are known once the stack's other resources are. None of them is secret."""

    target_group_arn: str
    log_group_name: str
    api_keys_secret_arn: str
    scripts_url: str
    hugging_face_token_secret_arn: str | None
    efs_file_system_id: str
    efs_access_point_id: str


def host_config(
    settings: Settings,
    pins: Pins,
    plan: Plan,
    *,
    stack: str,
    load_balancer_networks: Sequence[str],
    resources: HostResources,
) -> HostConfig:
    """The configuration of one stack's hosts.

    Args:
        plan: what sizing found; gives the share of GPU memory where the settings leave it open.
        load_balancer_networks: ranges of the load balancer's subnets, whose X-Forwarded-For is believed.
    """
    return HostConfig(
        stack=stack,
        region=settings.region,
        instance_types=[INSTANCE_TYPES[name] for name in settings.fleet.instance_types],
        launch_hook_name=LAUNCH_HOOK,
        terminate_hook_name=TERMINATE_HOOK,
        target_group_arn=resources.target_group_arn,
        log_group_name=resources.log_group_name,
        api_keys_secret_arn=resources.api_keys_secret_arn,
        scripts_url=resources.scripts_url,
        hugging_face_token_secret_arn=resources.hugging_face_token_secret_arn,
        registry_mirror=settings.fleet.registry_mirror,
        registry_login_secret_arn=settings.fleet.registry_login_secret_arn,
        efs_file_system_id=resources.efs_file_system_id,
        efs_access_point_id=resources.efs_access_point_id,
        engine=engine(settings.inference, pins, plan.gpu_memory_utilization),
        edge=Edge(
            paths=settings.load_balancer.paths,
            trusted_proxies=load_balancer_networks,
            port=EDGE_PORT,
            requests_per_second=settings.edge.requests_per_second_per_client,
            connections=settings.edge.connections_per_client,
            max_body_mib=settings.edge.max_body_mib,
        ),
        timeouts=timeouts(settings),
        packages=Packages(
            driver_branch=pins.nvidia_driver.branch,
            driver_version=pins.nvidia_driver.version,
            toolkit=_pinned(pins.container_toolkit),
            docker=_pinned(pins.docker),
            containerd=_pinned(pins.containerd),
            subnet_manager=_pinned(pins.nvlink_subnet_manager),
            efs_utils=pins.efs_utils.file,
        ),
    )


def _pinned(package: Package) -> Pinned:
    return Pinned(names=package.packages, version=package.version)


def engine(inference: InferenceSettings, pins: Pins, gpu_memory_utilization: float | None) -> Engine:
    """What vLLM serves, with the pinned image and revision.

    Args:
        gpu_memory_utilization: share of GPU memory that sizing chose; None leaves it to vLLM.
    """
    return Engine(
        image=pins.vllm_image_reference(),
        minimum_driver_branch=pins.vllm.minimum_driver_branch,
        model=inference.model,
        revision=pins.model_revision(inference.model) or None,
        manifest=pins.model_manifest(inference.model) or None,
        served_model_name=inference.served_model_name or inference.model,
        weights=inference.weights,
        weights_s3_uri=inference.weights_s3_uri,
        quantization=inference.quantization,
        pipeline_parallel_size=inference.pipeline_parallel_size,
        kv_cache_dtype=inference.kv_cache_dtype,
        max_model_len=inference.max_model_len,
        gpu_memory_utilization=gpu_memory_utilization,
        max_num_seqs=inference.max_num_seqs,
        max_num_batched_tokens=inference.max_num_batched_tokens,
        max_queued_requests=inference.max_queued_requests,
        tool_call_parser=inference.tool_call_parser,
        reasoning_parser=inference.reasoning_parser,
    )


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
