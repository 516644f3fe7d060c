"""Platform `eks`: pods on Kubernetes, on GPU nodes that come as they are needed."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra import capacity, draining, policies
from infra.checks import size_of
from infra.components.cluster import Cluster, ClusterArgs, file_system_role
from infra.components.cluster_before import cluster_before
from infra.components.controllers import PROMETHEUS_URL, Controllers, ControllersArgs
from infra.components.cost_guard import CostGuard, Resize
from infra.components.inference_service import Inference, InferenceArgs
from infra.components.node_group_name import node_group_name
from infra.components.node_pool import NodePool, NodePoolArgs
from infra.components.pod_role import PodRole, Pods
from infra.components.secrets import Secrets
from infra.kubernetes.names import NAMESPACE, SERVICE_ACCOUNT, server_name
from infra.kubernetes.scaling import Scaling
from infra.kubernetes.workload import InferenceService
from infra.platforms.common import Common, api_key_command, cost_guard, model_cache, secrets
from infra.serving import fleet
from infra.serving.engine import engine, timeouts
from infra.serving.vllm import server_environment, vllm_arguments
from infra.settings.cluster import ScalingSettings
from infra.settings.schema import InferenceSettings
from infra.tags import MAIN_MODEL


def build(common: Common) -> dict[str, Any]:
    """A cluster, its nodes and the models on them; returns the outputs that only this platform has."""
    settings, network = common.settings, common.network
    mount_role = file_system_role(
        f"{common.name}-file-system", common.name, settings.region, network.account_id, common.here
    )
    servers = Pods(
        account_id=network.account_id,
        cluster=common.name,
        namespace=NAMESPACE,
        service_accounts=[SERVICE_ACCOUNT],
    )
    pod_role = PodRole(f"{common.name}-inference", "Servers: their secrets and their weights", servers, common.here)
    cache = model_cache(common, mount_role.role_arn)
    stored = secrets(common, pod_role.role_name)

    before = cluster_before(common.name, common.here)
    cluster = Cluster(
        common.name,
        ClusterArgs(
            region=settings.region,
            account_id=network.account_id,
            subnet_ids=[network.host_subnet_ids[zone] for zone in before.control_plane_zones(settings.zones)],
            version=common.pins.kubernetes.version,
            settings=settings.cluster,
            creator=before.creator,
            node_release=common.pins.kubernetes.releases["system"].version,
            addon_versions={name: addon.version for name, addon in common.pins.kubernetes.addons.items()},
            mount_role=mount_role,
            log_retention_days=settings.fleet.log_retention_days,
            node_tags=common.tags,
            keep_key_days=7 if settings.ephemeral else 30,
        ),
        common.here,
    )
    provider = kubernetes.Provider(
        common.name,
        kubeconfig=cluster.kubeconfig,
        enable_server_side_apply=True,
        opts=pulumi.ResourceOptions(depends_on=cluster.ready),
    )
    pod_role.lend(cluster.cluster_name)
    _grant_weights(common, pod_role)
    nodes = _node_pool(common, cluster, provider)
    controllers = _controllers(common, cluster, provider)
    Inference(
        common.name,
        InferenceArgs(
            services=_services(common, stored),
            file_system_id=cache.file_system_id,
            access_point_id=cache.access_point_id,
            load_balancer_networks=common.load_balancer_networks,
            monitoring_namespaces=settings.monitoring_namespaces,
            kubeconfig=cluster.kubeconfig,
            after=[*nodes.ready, *controllers.releases, pod_role],
        ),
        provider,
        common.here,
    )
    return {
        "apiKeyCommand": api_key_command(settings, stored),
        "clusterName": cluster.cluster_name,
        "kubeconfigCommand": pulumi.Output.format(
            "aws eks update-kubeconfig --region {0} --name {1}", settings.region, cluster.cluster_name
        ),
        "expiresAt": common.times.ends,
    }


def _node_pool(common: Common, cluster: Cluster, provider: kubernetes.Provider) -> NodePool:
    settings, network = common.settings, common.network
    base, of_base = settings.fleet.on_demand_base, capacity.smallest_types(settings)
    gpus_on_demand = base * of_base[0].gpus
    subnet_ids = capacity.node_subnets(settings, network.host_subnet_ids)
    group_name = node_group_name(common.name, settings.node_pool, settings.fleet, subnet_ids, common.here)
    guard = _guard(common, cluster, group_name)
    return NodePool(
        common.name,
        NodePoolArgs(
            region=settings.region,
            account_id=network.account_id,
            cluster_name=cluster.cluster_name,
            subnet_ids=subnet_ids,
            security_group_ids=[network.host_security_group_id, cluster.security_group_id],
            public_address=settings.network.egress == "publicHosts",
            pool=settings.node_pool,
            fleet=settings.fleet,
            base_types=[one.name for one in of_base],
            gpus_on_demand=gpus_on_demand,
            gpus=gpus_on_demand + (settings.max_group_size - base) * capacity.gpus_per_node(settings),
            nodes=settings.group_size,
            drain_seconds=draining.drain_seconds(settings),
            group_name=group_name,
            image_id=settings.fleet.machine_image_id
            or common.pins.kubernetes.node_image_id(settings.node_pool.image, settings.region),
            version=common.pins.kubernetes.version,
            release=common.pins.kubernetes.releases[settings.node_pool.image].version,
            karpenter_chart=common.pins.kubernetes.charts["karpenter"],
            tags=common.tags,
            running=common.times.running,
            after=[guard, *cluster.ready],
        ),
        provider,
        common.here,
    )


def _guard(common: Common, cluster: Cluster, group_name: pulumi.Output[str] | None) -> CostGuard:
    """Karpenter's nodes follow pods, and no call from outside stops them: there only the budget is before them."""
    if group_name is None:
        return cost_guard(common, None)
    account_id = common.network.account_id
    arn = pulumi.Output.concat(
        f"arn:aws:eks:{common.settings.region}:", account_id, ":nodegroup/", cluster.cluster_name, "/", group_name, "/*"
    )
    return cost_guard(common, Resize.of_node_group(cluster.cluster_name, group_name, arn))


def _controllers(common: Common, cluster: Cluster, provider: kubernetes.Provider) -> Controllers:
    settings, balancer = common.settings, common.balancer
    scalings = [scaling for _, scaling in settings.scaled.values()]
    return Controllers(
        common.name,
        ControllersArgs(
            region=settings.region,
            account_id=common.network.account_id,
            vpc_id=common.network.vpc_id,
            cluster_name=cluster.cluster_name,
            charts=common.pins.kubernetes.charts,
            target_group_arns=[balancer.target_group_arn, *balancer.further_target_group_arns.values()],
            device_plugin=settings.node_pool.image == "al2023",
            pipelines=settings.has_pipelines,
            prometheus=any(scaling.prometheus_url is None for scaling in scalings),
            wakes_up=any(scaling.min_replicas == 0 for scaling in scalings),
        ),
        provider,
        common.here,
    )


def _services(common: Common, stored: Secrets) -> list[tuple[InferenceService, Scaling]]:
    """The main model, then the further ones."""
    settings, balancer = common.settings, common.balancer
    groups = {MAIN_MODEL: balancer.target_group_arn, **balancer.further_target_group_arns}
    return [
        _service(common, stored, server_name(name), inference, scaling, groups[name])
        for name, (inference, scaling) in settings.scaled.items()
    ]


def _service(
    common: Common,
    stored: Secrets,
    name: str,
    inference: InferenceSettings,
    scaling: ScalingSettings,
    target_group_arn: pulumi.Output[str],
) -> tuple[InferenceService, Scaling]:
    settings, pins = common.settings, common.pins
    served = engine(inference, pins, _utilization(common, inference))
    waits = timeouts(settings)
    share = capacity.share_of_node(settings)
    service = InferenceService(
        name=name,
        image=served.image,
        arguments=[*vllm_arguments(served, waits), *fleet.profile_arguments(settings, pins, served)],
        environment={**server_environment(waits), **fleet.profile_environment(settings, pins)},
        model=served.model,
        revision=served.revision,
        manifest=served.manifest,
        served_model_name=served.served_model_name,
        weights=inference.weights,
        minimum_driver_branch=pins.vllm.minimum_driver_branch,
        nodes=inference.pipeline_parallel_size,
        replicas=scaling.min_replicas,
        cpu=share.cpu,
        memory_gib=share.memory_gib,
        target_group_arn=target_group_arn,
        api_keys_secret_arn=stored.api_keys_secret_arn,
        hugging_face_token_secret_arn=stored.hugging_face_token_secret_arn,
        launch_seconds=settings.fleet.launch_timeout_seconds,
        over_pcie=inference.pipeline_parallel_size == 1 and fleet.over_pcie(settings, pins),
        termination_grace_seconds=settings.timeouts.termination_grace_seconds,
        launch_first=settings.fleet.rollout == "launchFirst",
        min_available=scaling.min_available,
        spread_over=capacity.spread_over(settings, scaling),
        spread_over_zones=min(len(settings.zones), scaling.min_replicas) if scaling.spread == "zones" else 1,
    )
    return service, Scaling(
        service=name,
        pipelined=service.pipelined,
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        waiting_requests=scaling.waiting_requests_per_replica,
        running_requests=scaling.running_requests_per_replica,
        cooldown_seconds=scaling.cooldown_seconds,
        fallback_replicas=scaling.fallback,
        prometheus_url=scaling.prometheus_url or PROMETHEUS_URL,
        launch_seconds=settings.fleet.launch_timeout_seconds,
        longest_answer_seconds=settings.timeouts.longest_generation_seconds,
        load_balancer_suffix=common.balancer.arn_suffix,
        target_group_suffix=target_group_arn.apply(lambda arn: arn.rpartition(":")[2]),
        region=settings.region,
    )


def _grant_weights(common: Common, role: PodRole) -> None:
    """Streaming reads the bucket with the pods' own role."""
    models = common.settings.scaled.values()
    for uri in sorted({model.weights_s3_uri for model, _ in models if model.weights_s3_uri}):
        role.grant(f"weights-{uri.removeprefix('s3://').replace('/', '-')}", *policies.read_weights(uri))


def _utilization(common: Common, inference: InferenceSettings) -> float | None:
    """The share of GPU memory that sizing chose; each further model is sized for itself."""
    settings = common.settings
    sized = (
        common.plan
        if inference is settings.inference
        else size_of(inference, settings.fleet.instance_types, settings.platform)
    )
    return sized.gpu_memory_utilization
