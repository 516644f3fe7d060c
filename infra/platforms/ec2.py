"""Platform `ec2`: GPU hosts, in an Auto Scaling group for each model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pulumi

from tandem import scaling
from tandem.canary import document
from tandem.edge import edge_of, render_edge
from tandem.observing.rules import rules_file
from tandem.platforms.ec2 import Hosts
from tandem.ports import HEALTH_PATH
from tandem.serving.engine import timeouts
from tandem.settings import Settings
from tandem.tags import MAIN_MODEL, MODEL_TAG, batch_name

from ..components.batches import Batches, BatchesArgs
from ..components.cost_guard import CostGuard, Resize
from ..components.fleet_name import fleet_name, random_name
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


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the hosts of all models have in common, beside the network."""

    role: HostRole
    guard: CostGuard
    cache: ModelCache
    stored: Secrets
    logs: LogGroup
    scripts: HostScripts
    workspace: PrometheusWorkspace | None


def build(context: StackContext) -> dict[str, Any]:
    """Hosts that register with the load balancer by themselves; returns the outputs that only this platform has."""
    settings = context.settings
    names = {
        model: fleet_name(context.name, context.stack, context.here)
        if model == MAIN_MODEL
        else random_name(_of(context, model))
        for model in settings.each
    }
    guard = cost_guard(context, {model: Resize.of_group(name, _arn(context, name)) for model, name in names.items()})
    workspace = prometheus_workspace(context, guard)
    role = HostRole(
        context.name,
        context.pins.vllm.image,
        context.here,
        workspace_arn=workspace.arn if workspace else workspace_arn(context),
    )
    nginx, questions = asked(context, settings)
    batch_role = HostRole(batch_name(context.stack), context.pins.vllm.image, context.here) if settings.batch else None
    shared = Shared(
        role=role,
        guard=guard,
        cache=model_cache(context, role.role_arn, *([batch_role.role_arn] if batch_role else [])),
        stored=secrets(context, role.role_name),
        logs=log_group(context, "hosts"),
        scripts=HostScripts(context.name, role.role_name, nginx, context.here, questions),
        workspace=workspace,
    )
    alarms(context, guard)
    dashboard(context)
    fleets = {model: hosts(context, shared, model, own, names[model]) for model, own in settings.each.items()}
    if batch_role:
        batch(context, shared, batch_role)
    main = fleets[MAIN_MODEL]
    return {
        "keysCommand": keys_command(context.stack),
        "prometheusUrl": workspace.endpoint if workspace else None,
        "grafanaUrl": grafana_url(context, workspace),
        "fleetName": main.group_name,
        **({"fleetNames": {model: fleet.group_name for model, fleet in fleets.items()}} if settings.models else {}),
        "expiresAt": context.times.ends,
        "userDataBytes": main.user_data_bytes,
        "logs": pulumi.Output.format(
            "https://{0}.console.aws.amazon.com/cloudwatch/home?region={0}#logsV2:log-groups/log-group/{1}",
            settings.region,
            shared.logs.name.apply(lambda text: text.replace("/", "$252F")),
        ),
    }


def _of(context: StackContext, model: str) -> str:
    """How names of a model's resources begin: the main one's as the stack's."""
    return context.name if model == MAIN_MODEL else f"{context.name}-{model}"


def _arn(context: StackContext, group_name: pulumi.Output[str]) -> pulumi.Output[str]:
    account = context.network.account_id
    return pulumi.Output.concat(f"arn:aws:autoscaling:{context.settings.region}:", account, GROUPS, "/", group_name)


def asked(context: StackContext, own: Settings) -> tuple[str, str]:
    """Of a model's hosts nginx.conf, and what their servers are asked."""
    nginx = render_edge(edge_of(own, context.load_balancer_networks), timeouts(own), place="host")
    return nginx, document(own.canary, own.inference) if own.canary else ""


def hosts(context: StackContext, shared: Shared, model: str, own: Settings, group_name: pulumi.Output[str]) -> GpuFleet:
    """The group of one model's hosts, and what sizes it from inside the account.

    Args:
        own: the settings as the model's.
    """
    name, targets, further = _of(context, model), context.balancer.target_groups[model], model != MAIN_MODEL
    first_run = user_data(
        own,
        context.pins,
        context.sized(own),
        stack=context.stack,
        model=model,
        load_balancer_networks=context.load_balancer_networks,
        target_group_arn=targets.arn,
        logs=shared.logs,
        stored=shared.stored,
        scripts_url=shared.scripts.add(name, *asked(context, own)) if further else shared.scripts.url,
        cache=shared.cache,
        remote_write_url=shared.workspace.remote_write_url if shared.workspace else None,
    )
    others = {name: one for name, one in context.balancer.target_groups.items() if name != MAIN_MODEL}
    models, idle_after = context.settings.models.values(), scaling.idle_after(own)
    suffix = context.balancer.arn_suffix
    fleet = GpuFleet(
        name,
        replace(
            machines(context, own, shared, shared.role, first_run),
            tags={**context.tags, MODEL_TAG: model} if further else context.tags,
            shares_role=further,
            others_targets=[] if further else [one.arn for one in others.values()],
            others_weights=[] if further else [uri for one in models if (uri := one.inference.weights_s3_uri)],
            target_group_arn=targets.arn,
            group_name=group_name,
            min_hosts=own.group_size,
            max_hosts=own.max_group_size,
            reports=own.metrics.cloudwatch,
            force_delete=own.ephemeral,
            idle_stop=idle_after is not None,
            follows_load=own.follows_load,
            running=context.times.running,
        ),
        context.here,
    )
    if own.follows_load:
        args = LoadScalingArgs(
            stack=context.stack, model=model, settings=own, group_name=fleet.group_name, load_balancer_suffix=suffix
        )
        LoadScaling(name, args, context.here)
    if idle_after is not None:
        of = IdleStopArgs(
            group_name=fleet.group_name,
            load_balancer_suffix=suffix,
            target_group_suffix=targets.arn_suffix,
            after=idle_after,
        )
        IdleStop(name, of, context.here)
    return fleet


def machines(
    context: StackContext, settings: Settings, shared: Shared, role: HostRole, first_run: pulumi.Output[bytes]
) -> GpuFleetArgs:
    """Machines of this stack's network, of a model's image and types: none of them, that serve nobody and report
    nothing."""
    network = context.network
    return GpuFleetArgs(
        region=settings.region,
        account_id=network.account_id,
        subnet_ids=network.host_subnet_ids,
        security_group_id=network.host_security_group_id,
        public_address=settings.network.egress == "publicHosts",
        role_name=role.role_name,
        instance_profile_arn=role.instance_profile_arn,
        target_group_arn=None,
        log_group_arn=shared.logs.arn,
        machine_image_id=Hosts(settings).machine_image(context.pins),
        user_data=first_run,
        settings=settings.fleet,
        group_name=None,
        min_hosts=0,
        max_hosts=0,
        reports=False,
        after=[shared.guard],
        weights_s3_uri=settings.inference.weights_s3_uri,
        tags=context.tags,
        force_delete=True,
    )


def batch(context: StackContext, shared: Shared, role: HostRole) -> None:
    """A bucket of requests, and a group of machines at 0, which `tandem batch` calls, and which end themselves."""
    settings, name = context.settings, batch_name(context.stack)
    assert settings.batch
    token, login = shared.stored.hugging_face_token_secret_arn, settings.fleet.registry_login_secret_arn
    shared.scripts.grant(f"{name}-scripts", role.role_name)
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
        logs=shared.logs,
        stored=shared.stored,
        scripts_url=shared.scripts.url,
        cache=shared.cache,
        batch_bucket_url=batches.url,
    )
    bought = {"on_demand_base": 0, "on_demand_percentage": 0 if settings.batch.spot else 100}
    bought |= {"capacity_block": None, "capacity_reservations": None}
    GpuFleet(
        name,
        replace(
            machines(context, settings, shared, role, first_run),
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
