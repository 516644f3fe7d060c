"""Platform `ec2`: GPU hosts in an Auto Scaling group."""

from __future__ import annotations

from typing import Any

import pulumi

from infra.components.cost_guard import Resize
from infra.components.fleet_name import fleet_name
from infra.components.gpu_fleet import GROUPS, GpuFleet, GpuFleetArgs
from infra.components.host_role import HostRole
from infra.components.host_scripts import HostScripts
from infra.components.idle_stop import IdleStop, IdleStopArgs
from infra.components.log_group import LogGroup
from infra.components.model_cache import ModelCache
from infra.components.secrets import Secrets
from infra.host.from_settings import HostResources, host_config
from infra.host.render import render_user_data
from infra.platforms.common import Common, api_key_command, cost_guard, model_cache, secrets


def build(common: Common) -> dict[str, Any]:
    """Hosts that register with the load balancer by themselves; returns the outputs that only this platform has."""
    settings, network = common.settings, common.network
    role = HostRole(common.name, common.pins.vllm.image, common.here)
    idle_after = settings.cost_guard.idle_after
    cache = model_cache(common, role.role_arn)
    stored = secrets(common, role.role_name)
    log_name = pulumi.Output.concat(f"/tandem/{common.stack}/", common.stack_id, "/hosts")
    logs = LogGroup(f"{common.name}-hosts", settings.fleet.log_retention_days, common.here, log_name)
    scripts = HostScripts(common.name, role.role_name, common.here)
    user_data = _user_data(common, cache, stored, logs, scripts)
    group_name = fleet_name(common.name, common.stack, common.here)
    group_arn = pulumi.Output.concat(
        f"arn:aws:autoscaling:{settings.region}:", network.account_id, GROUPS, "/", group_name
    )
    guard = cost_guard(common, Resize.of_group(group_name, group_arn))
    fleet = GpuFleet(
        common.name,
        GpuFleetArgs(
            region=settings.region,
            account_id=network.account_id,
            subnet_ids=network.host_subnet_ids,
            security_group_id=network.host_security_group_id,
            public_address=settings.network.egress == "publicHosts",
            role_name=role.role_name,
            instance_profile_arn=role.instance_profile_arn,
            target_group_arn=common.balancer.target_group_arn,
            log_group_arn=logs.arn,
            machine_image_id=settings.fleet.machine_image_id or common.pins.machine_image_id(settings.region),
            user_data=user_data,
            settings=settings.fleet,
            group_name=group_name,
            min_hosts=settings.group_size,
            max_hosts=settings.max_group_size,
            weights_s3_uri=settings.inference.weights_s3_uri,
            tags=common.tags,
            force_delete=settings.ephemeral,
            idle_stop=idle_after is not None,
            running=common.times.running,
            after=[guard],
        ),
        common.here,
    )
    if idle_after is not None:
        suffix = common.balancer.arn_suffix
        IdleStop(
            common.name,
            IdleStopArgs(group_name=fleet.group_name, load_balancer_suffix=suffix, after=idle_after),
            common.here,
        )
    return {
        "apiKeyCommand": api_key_command(settings, stored),
        "fleetName": fleet.group_name,
        "expiresAt": common.times.ends,
        "userDataBytes": user_data.apply(len),
        "logs": pulumi.Output.format(
            "https://{0}.console.aws.amazon.com/cloudwatch/home?region={0}#logsV2:log-groups/log-group/{1}",
            settings.region,
            logs.name.apply(lambda text: text.replace("/", "$252F")),
        ),
    }


def _user_data(
    common: Common, cache: ModelCache, stored: Secrets, logs: LogGroup, scripts: HostScripts
) -> pulumi.Output[bytes]:
    def render(resources: dict[str, Any]) -> bytes:
        return render_user_data(
            host_config(
                common.settings,
                common.pins,
                common.plan,
                stack=common.stack,
                load_balancer_networks=common.load_balancer_networks,
                resources=HostResources(**resources),
            )
        )

    return pulumi.Output.all(
        target_group_arn=common.balancer.target_group_arn,
        log_group_name=logs.name,
        api_keys_secret_arn=stored.api_keys_secret_arn,
        scripts_url=scripts.url,
        hugging_face_token_secret_arn=stored.hugging_face_token_secret_arn,
        efs_file_system_id=cache.file_system_id,
        efs_access_point_id=cache.access_point_id,
    ).apply(render)
