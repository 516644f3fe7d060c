"""Platform `eks`: pods on Kubernetes, on GPU nodes that come as they are needed."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from tandem import capacity, draining
from tandem.alarms import dimensions
from tandem.canary import document
from tandem.edge import edge_of, render_edge
from tandem.kubernetes.names import BATCH, NAMESPACE, SERVICE_ACCOUNT, server_name
from tandem.platforms import platform_of
from tandem.ports import HEALTH_PATH, SERVER_PORT
from tandem.serving import fleet
from tandem.serving.engine import engine, timeouts
from tandem.serving.vllm import SOCKETS_BETWEEN_NODES, requests_at_once, server_environment, vllm_arguments
from tandem.settings.cluster import ScalingSettings
from tandem.settings.inference import InferenceSettings
from tandem.tags import MAIN_MODEL, batch_name

from .. import policies
from ..components.batches import Batches, BatchesArgs
from ..components.controllers import PROMETHEUS_URL, Controllers, ControllersArgs
from ..components.cost_guard import CostGuard, Resize
from ..components.existing_cluster import ExistingCluster
from ..components.inference_service import Inference, InferenceArgs
from ..components.log_group import LogGroup
from ..components.node_group_name import node_group_name
from ..components.node_pool import NodePool, NodePoolArgs
from ..components.pod_role import PodRole, Pods
from ..components.secrets import Secrets
from ..kubernetes.batch import BatchPods, batch_objects
from ..kubernetes.claim import Claim
from ..kubernetes.monitoring import monitoring_objects
from ..kubernetes.objects import Manifest
from ..kubernetes.pod import hub
from ..kubernetes.scaling import Scaling
from ..kubernetes.workload import InferenceService
from .clusters import AnyCluster, cluster_name, existing, free, own, refuse
from .context import (
    StackContext,
    alarms,
    cost_guard,
    dashboard,
    judges_keys,
    keys_command,
    log_group,
    model_cache,
    secrets,
    watched,
)
from .platform import Platform


def build(context: StackContext) -> dict[str, Any]:
    """A cluster, its nodes and the models on them; returns the outputs that only this platform has."""
    settings, network = context.settings, context.network
    servers = Pods(
        account_id=network.account_id,
        cluster=cluster_name(context),
        namespace=NAMESPACE,
        service_accounts=[SERVICE_ACCOUNT],
    )
    pod_role = PodRole(f"{context.name}-inference", "Servers: their clients and the hub's token", servers, context.here)
    stored = secrets(context, pod_role.role_name)
    logs = log_group(context, "pods")
    pod_role.grant("log", policies.write_log(logs.arn))
    if settings.metrics.cloudwatch:
        pod_role.grant("metrics", policies.put_metrics())

    there = settings.cluster.existing
    cluster, mounts = existing(context, there) if there else own(context)
    provider = kubernetes.Provider(
        context.name,
        kubeconfig=cluster.kubeconfig,
        enable_server_side_apply=True,
        opts=pulumi.ResourceOptions(depends_on=list(cluster.ready)),
    )
    pod_role.lend(cluster.cluster_name)
    own_roles = _own_roles(context, stored, logs, cluster)
    group_name = node_group_name(context.name, settings.node_pool, settings.fleet, _node_subnets(context))
    guard = _guard(context, cluster, group_name)
    nodes = _node_pool(context, cluster, provider, group_name, guard)
    cache = model_cache(context, mounts or nodes.role_arn)
    alarms(context, guard)
    dashboard(context)
    controllers = [] if there else _controllers(context, cluster, provider).releases
    services = _services(context, stored, logs)
    Inference(
        context.name,
        InferenceArgs(
            services=services,
            file_system_id=cache.file_system_id,
            access_point_id=cache.access_point_id,
            load_balancer_networks=context.load_balancer_networks,
            monitoring_namespaces=settings.monitoring_namespaces,
            kubeconfig=pulumi.Output.from_input(cluster.kubeconfig),
            ports=settings.server_ports,
            monitoring=_monitoring(context),
            batch=_batch(context, cluster, stored, services[0][0]) if settings.batch else [],
            claim=Claim(context.stack, cluster.kubeconfig) if isinstance(cluster, ExistingCluster) else None,
            after=[*nodes.ready, *controllers, pod_role, *own_roles],
        ),
        provider,
        context.here,
    )
    return {
        "keysCommand": keys_command(context.stack),
        "clusterName": cluster.cluster_name,
        "kubeconfigCommand": pulumi.Output.format(
            "aws eks update-kubeconfig --region {0} --name {1}", settings.region, cluster.cluster_name
        ),
        "expiresAt": context.times.ends,
    }


def _monitoring(context: StackContext) -> list[Manifest]:
    labels = context.settings.metrics.operator_labels
    return [] if labels is None else monitoring_objects(watched(context), labels)


def _batch(context: StackContext, cluster: AnyCluster, stored: Secrets, service: InferenceService) -> list[Manifest]:
    """A bucket of requests, a role for it, and what `tandem batch` makes pods of the main model from."""
    settings, name = context.settings, batch_name(context.stack)
    inference = settings.inference
    pods = Pods(
        account_id=context.network.account_id,
        cluster=cluster_name(context),
        namespace=NAMESPACE,
        service_accounts=[BATCH],
    )
    role = PodRole(name, "Batches: requests, answers and the hub's token", pods, context.here)
    if inference.weights == "s3" and inference.weights_s3_uri:
        role.grant("weights", *policies.read_weights(inference.weights_s3_uri))
    role.lend(cluster.cluster_name)
    token = stored.hugging_face_token_secret_arn
    batches = Batches(
        name,
        BatchesArgs(
            role_name=role.role_name,
            secret_arns=[token] if token is not None else [],
            keep_on_destroy=not settings.ephemeral,
        ),
        context.here,
    )
    return batch_objects(
        BatchPods(service=service, url=batches.url, region=settings.region, ports=settings.server_ports)
    )


def _node_subnets(context: StackContext) -> list[pulumi.Output[str]]:
    return capacity.node_subnets(context.settings, context.network.host_subnet_ids)


def _node_pool(
    context: StackContext,
    cluster: AnyCluster,
    provider: kubernetes.Provider,
    group_name: pulumi.Output[str] | None,
    guard: CostGuard,
) -> NodePool:
    settings, network = context.settings, context.network
    base, of_base = settings.fleet.on_demand_base, capacity.smallest_types(settings)
    gpus_on_demand = base * of_base[0].gpus
    batch = settings.batch
    return NodePool(
        context.name,
        NodePoolArgs(
            region=settings.region,
            account_id=network.account_id,
            cluster_name=cluster.cluster_name,
            subnet_ids=_node_subnets(context),
            security_group_ids=[network.host_security_group_id, cluster.security_group_id],
            public_address=settings.network.egress == "publicHosts",
            pool=settings.node_pool,
            fleet=settings.fleet,
            base_types=[one.name for one in of_base],
            gpus_on_demand=gpus_on_demand,
            gpus=gpus_on_demand + (settings.max_group_size - base) * capacity.gpus_per_node(settings),
            batch_gpus=batch.max_hosts * capacity.gpus_per_node(settings) if batch else 0,
            batch_spot=batch is not None and batch.spot,
            nodes=settings.group_size,
            drain_seconds=draining.drain_seconds(settings),
            group_name=group_name,
            image_id=platform_of(settings).machine_image(context.pins),
            version=context.pins.kubernetes.version,
            release=context.pins.kubernetes.releases[settings.node_pool.image].version,
            charts=context.pins.kubernetes.charts,
            tags=context.tags,
            running=context.times.running,
            after=[guard, *cluster.ready],
        ),
        provider,
        context.here,
    )


def _guard(context: StackContext, cluster: AnyCluster, group_name: pulumi.Output[str] | None) -> CostGuard:
    """Karpenter's nodes follow pods, and no call from outside stops them: there only the budget is before them."""
    if group_name is None:
        return cost_guard(context, {})
    account_id = context.network.account_id
    arn = pulumi.Output.concat(
        f"arn:aws:eks:{context.settings.region}:",
        account_id,
        ":nodegroup/",
        cluster.cluster_name,
        "/",
        group_name,
        "/*",
    )
    return cost_guard(context, {MAIN_MODEL: Resize.of_node_group(cluster.cluster_name, group_name, arn)})


def _controllers(context: StackContext, cluster: AnyCluster, provider: kubernetes.Provider) -> Controllers:
    settings, balancer = context.settings, context.balancer
    charts = platform_of(settings).charts
    return Controllers(
        context.name,
        ControllersArgs(
            region=settings.region,
            account_id=context.network.account_id,
            vpc_id=context.network.vpc_id,
            cluster_name=cluster.cluster_name,
            charts=context.pins.kubernetes.charts,
            target_group_arns=[group.arn for group in balancer.target_groups.values()],
            device_plugin="nvidia-device-plugin" in charts,
            pipelines="lws" in charts,
            prometheus="prometheus" in charts,
            wakes_up=any(scaling.min_replicas == 0 for _, scaling in settings.scaled.values()),
        ),
        provider,
        context.here,
    )


def _services(context: StackContext, stored: Secrets, logs: LogGroup) -> list[tuple[InferenceService, Scaling]]:
    """The main model, then the further ones."""
    settings, groups = context.settings, context.balancer.target_groups
    return [
        _service(context, stored, logs, name, inference, scaling, groups[name].arn)
        for name, (inference, scaling) in settings.scaled.items()
    ]


def _service(
    context: StackContext,
    stored: Secrets,
    logs: LogGroup,
    model: str,
    inference: InferenceSettings,
    scaling: ScalingSettings,
    target_group_arn: pulumi.Output[str],
) -> tuple[InferenceService, Scaling]:
    name, settings, pins = server_name(model), context.settings, context.pins
    served = engine(settings, inference, pins, context.sized(settings.of(model)))
    waits, gpus = timeouts(settings), served.tensor_parallel_size
    share = capacity.share_of_node(settings, gpus)
    _, requests = requests_at_once(served, capacity.node_types(settings))
    nginx = render_edge(
        edge_of(settings, context.load_balancer_networks, inference),
        waits,
        place="pod",
        servers=[f"127.0.0.1:{SERVER_PORT}"],
        requests=requests,
    )
    arguments = vllm_arguments(served, waits, hub(inference.weights))
    arguments += fleet.profile_arguments(settings, pins, served)
    canary = settings.canaries[model]
    service = InferenceService(
        name=name,
        image=served.image,
        arguments=arguments,
        environment={
            **server_environment(waits, served),
            **fleet.profile_environment(settings, pins, gpus),
            **(SOCKETS_BETWEEN_NODES if inference.is_pipeline else {}),
        },
        model=served.model,
        task=served.task,
        revision=served.revision,
        manifest=served.manifest,
        served_model_name=served.served_model_name,
        weights=inference.weights,
        adapters=served.adapters,
        draft=served.draft,
        minimum_driver_branch=pins.vllm.minimum_driver_branch,
        gpus=gpus,
        nodes=inference.pipeline_parallel_size,
        replicas=scaling.min_replicas,
        cpu=share.cpu,
        memory_gib=share.memory_gib,
        edge_image=pins.edge.reference,
        nginx=nginx,
        service_account=_service_account(name, inference),
        target_group_arn=target_group_arn,
        keys_secret_arns=stored.keys_secret_arns,
        hugging_face_token_secret_arn=stored.hugging_face_token_secret_arn,
        log_group_arn=logs.arn,
        metrics=dimensions(context.stack, model) if settings.metrics.cloudwatch else None,
        canary=document(canary, inference) if canary else "",
        launch_seconds=settings.fleet.launch_timeout_seconds,
        over_pcie=not inference.is_pipeline and fleet.over_pcie(settings, pins, gpus),
        termination_grace_seconds=settings.timeouts.termination_grace_seconds,
        launch_first=settings.fleet.rollout == "launchFirst",
        min_available=scaling.min_available,
        routed=inference.routing is not None,
        spread_over=capacity.spread_over(settings, scaling),
        spread_over_zones=min(len(settings.fleet.reserved_zones or settings.zones), scaling.min_replicas)
        if scaling.spread == "zones"
        else 1,
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
        load_balancer_suffix=context.balancer.arn_suffix,
        target_group_suffix=target_group_arn.apply(lambda arn: arn.rpartition(":")[2]),
        region=settings.region,
    )


def _service_account(name: str, inference: InferenceSettings) -> str:
    """Its own where the server itself reads a bucket: the role then opens no other model's weights, and no token."""
    return name if inference.weights == "s3" else SERVICE_ACCOUNT


def _own_roles(context: StackContext, stored: Secrets, logs: LogGroup, cluster: AnyCluster) -> list[PodRole]:
    """Of models that stream their weights."""
    roles = []
    for model, (inference, _) in context.settings.scaled.items():
        if inference.weights == "s3" and inference.weights_s3_uri:
            name = server_name(model)
            pods = Pods(
                account_id=context.network.account_id,
                cluster=cluster_name(context),
                namespace=NAMESPACE,
                service_accounts=[name],
            )
            role = PodRole(f"{context.name}-{name}", "Servers of one model: clients and weights", pods, context.here)
            secrets = [*stored.keys_secret_arns, *judges_keys(context.settings)]
            role.grant("clients", policies.allow(["secretsmanager:GetSecretValue"], secrets))
            role.grant("log", policies.write_log(logs.arn))
            if context.settings.metrics.cloudwatch:
                role.grant("metrics", policies.put_metrics())
            role.grant("weights", *policies.read_weights(inference.weights_s3_uri))
            role.lend(cluster.cluster_name)
            roles.append(role)
    return roles


EKS = Platform(
    build=build,
    target_type="ip",
    health_path=HEALTH_PATH,
    open_endpoints=True,  # the controllers' nodes have the cluster's group alone, which is made after the network
    first=free,
    refuse=refuse,
)
