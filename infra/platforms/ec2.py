"""Platform `ec2`: GPU hosts in an Auto Scaling group."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pulumi

from tandem import scaling
from tandem.canary import document
from tandem.edge import edge_of, render_edge
from tandem.observing.rules import rules_file
from tandem.platforms.ec2 import Hosts
from tandem.ports import HEALTH_PATH
from tandem.serving.engine import timeouts
from tandem.tags import batch_name

from ..components.batches import Batches, BatchesArgs
from ..components.cost_guard import CostGuard, Resize
from ..components.fleet_name import fleet_name
from ..components.gpu_fleet import GROUPS, GpuFleet, GpuFleetArgs
from ..components.grafana_workspace import GrafanaWorkspace, GrafanaWorkspaceArgs
from ..components.host_role import HostRole
from ..components.host_scripts import HostScripts
from ..components.idle_stop import IdleStop, IdleStopArgs
from ..components.load_scaling import LoadScaling, LoadScalingArgs
from ..components.log_group import LogGroup
from ..components.model_cache import ModelCache
from ..components.prometheus_workspace import PrometheusWorkspace, PrometheusWorkspaceArgs
from ..components.secrets import Secrets
from ..components.user_data import user_data
from .context import (
    StackContext,
    alarms,
    cost_guard,
    dashboard,
    keys_command,
    log_group,
    model_cache,
    secrets,
    watched,
)
from .platform import Platform


def build(context: StackContext) -> dict[str, Any]:
    """Hosts that register with the load balancer by themselves; returns the outputs that only this platform has."""
    settings, network = context.settings, context.network
    group_name = fleet_name(context.name, context.stack, context.here)
    group_arn = pulumi.Output.concat(
        f"arn:aws:autoscaling:{settings.region}:", network.account_id, GROUPS, "/", group_name
    )
    guard = cost_guard(context, Resize.of_group(group_name, group_arn))
    workspace = prometheus_workspace(context, guard)
    role = HostRole(
        context.name,
        context.pins.vllm.image,
        context.here,
        workspace_arn=workspace.arn if workspace else workspace_arn(context),
    )
    idle_after = scaling.idle_after(settings)
    batch_role = HostRole(batch_name(context.stack), context.pins.vllm.image, context.here) if settings.batch else None
    cache = model_cache(context, role.role_arn, *([batch_role.role_arn] if batch_role else []))
    stored = secrets(context, role.role_name)
    logs = log_group(context, "hosts")
    edge = edge_of(settings, context.load_balancer_networks)
    nginx = render_edge(edge, timeouts(settings), place="host")
    asked = document(settings.canary, settings.inference) if settings.canary else ""
    scripts = HostScripts(context.name, role.role_name, nginx, context.here, asked)
    first_run = user_data(
        settings,
        context.pins,
        context.plan,
        stack=context.stack,
        load_balancer_networks=context.load_balancer_networks,
        target_group_arn=context.balancer.target_group_arn,
        logs=logs,
        stored=stored,
        scripts=scripts,
        cache=cache,
        remote_write_url=workspace.remote_write_url if workspace else None,
    )
    alarms(context, guard)
    dashboard(context)
    fleet = GpuFleet(
        context.name,
        replace(
            machines(context, role, guard, logs, first_run),
            target_group_arn=context.balancer.target_group_arn,
            group_name=group_name,
            min_hosts=settings.group_size,
            max_hosts=settings.max_group_size,
            reports=settings.metrics.cloudwatch,
            force_delete=settings.ephemeral,
            idle_stop=idle_after is not None,
            follows_load=settings.follows_load,
            running=context.times.running,
        ),
        context.here,
    )
    if batch_role:
        batch(context, batch_role, guard, stored, scripts, cache, logs)
    suffix = context.balancer.arn_suffix
    if settings.follows_load:
        LoadScaling(
            context.name,
            LoadScalingArgs(
                stack=context.stack, settings=settings, group_name=fleet.group_name, load_balancer_suffix=suffix
            ),
            context.here,
        )
    if idle_after is not None:
        IdleStop(
            context.name,
            IdleStopArgs(group_name=fleet.group_name, load_balancer_suffix=suffix, after=idle_after),
            context.here,
        )
    return {
        "keysCommand": keys_command(context.stack),
        "prometheusUrl": workspace.endpoint if workspace else None,
        "grafanaUrl": grafana_url(context, workspace),
        "fleetName": fleet.group_name,
        "expiresAt": context.times.ends,
        "userDataBytes": first_run.apply(len),
        "logs": pulumi.Output.format(
            "https://{0}.console.aws.amazon.com/cloudwatch/home?region={0}#logsV2:log-groups/log-group/{1}",
            settings.region,
            logs.name.apply(lambda text: text.replace("/", "$252F")),
        ),
    }


def machines(
    context: StackContext, role: HostRole, guard: CostGuard, logs: LogGroup, first_run: pulumi.Output[bytes]
) -> GpuFleetArgs:
    """Machines of this stack's network, image and types: none of them, that serve nobody and report nothing."""
    settings, network = context.settings, context.network
    return GpuFleetArgs(
        region=settings.region,
        account_id=network.account_id,
        subnet_ids=network.host_subnet_ids,
        security_group_id=network.host_security_group_id,
        public_address=settings.network.egress == "publicHosts",
        role_name=role.role_name,
        instance_profile_arn=role.instance_profile_arn,
        target_group_arn=None,
        log_group_arn=logs.arn,
        machine_image_id=Hosts(settings).machine_image(context.pins),
        user_data=first_run,
        settings=settings.fleet,
        group_name=None,
        min_hosts=0,
        max_hosts=0,
        reports=False,
        after=[guard],
        weights_s3_uri=settings.inference.weights_s3_uri,
        tags=context.tags,
        force_delete=True,
    )


def batch(
    context: StackContext,
    role: HostRole,
    guard: CostGuard,
    stored: Secrets,
    scripts: HostScripts,
    cache: ModelCache,
    logs: LogGroup,
) -> None:
    """A bucket of requests, and a group of machines at 0, which `tandem batch` calls, and which end themselves."""
    settings, name = context.settings, batch_name(context.stack)
    assert settings.batch
    token, login = stored.hugging_face_token_secret_arn, settings.fleet.registry_login_secret_arn
    scripts.grant(f"{name}-scripts", role.role_name)
    batches = Batches(
        name,
        BatchesArgs(
            role_name=role.role_name,
            secret_arns=[arn for arn in (token, login) if arn is not None],
            keep_on_destroy=not settings.ephemeral,
        ),
        context.here,
    )
    first_run = user_data(
        settings,
        context.pins,
        context.plan,
        stack=context.stack,
        load_balancer_networks=context.load_balancer_networks,
        target_group_arn=None,
        logs=logs,
        stored=stored,
        scripts=scripts,
        cache=cache,
        batch_bucket_url=batches.url,
    )
    bought = {"on_demand_base": 0, "on_demand_percentage": 0 if settings.batch.spot else 100}
    bought |= {"capacity_block": None, "capacity_reservations": None}
    GpuFleet(
        name,
        replace(
            machines(context, role, guard, logs, first_run),
            settings=settings.fleet.model_copy(update={**bought, "rollout": "terminateFirst"}),
            most_called=settings.batch.max_hosts,
        ),
        context.here,
    )


def prometheus_workspace(context: StackContext, guard: CostGuard) -> PrometheusWorkspace | None:
    """The stack's own, where the settings have one."""
    settings = context.settings
    if not settings.metrics.managed_prometheus:
        return None
    return PrometheusWorkspace(
        context.name,
        PrometheusWorkspaceArgs(
            region=settings.region,
            rules=rules_file(watched(context)),
            topic_arn=guard.topic_arn if settings.alarmed else None,
            keep_on_destroy=not settings.ephemeral,
        ),
        context.here,
    )


def grafana_url(context: StackContext, workspace: PrometheusWorkspace | None) -> pulumi.Output[str] | None:
    """Of the stack's own Grafana, where the settings have one."""
    if workspace is None or not context.settings.metrics.managed_grafana:
        return None
    args = GrafanaWorkspaceArgs(
        region=context.settings.region, account_id=context.network.account_id, prometheus_arn=workspace.arn
    )
    return GrafanaWorkspace(context.name, args, context.here).url


def workspace_arn(context: StackContext) -> pulumi.Output[str] | None:
    """Of metrics.remoteWrite, in this account; None where that is not Amazon's."""
    if (workspace := context.settings.metrics.workspace) is None:
        return None
    return pulumi.Output.concat(
        f"arn:aws:aps:{workspace.region}:", context.network.account_id, f":workspace/{workspace.id}"
    )


EC2 = Platform(build=build, target_type="instance", health_path=HEALTH_PATH)
