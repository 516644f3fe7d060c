"""The composition: one stack, from top to bottom, as the picture of the system."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumiverse_time as time
from pulumi_aws import cloudwatch

from infra import costs
from infra.checks import check
from infra.components.cost_guard import BusinessHours, CostGuard, CostGuardArgs
from infra.components.gpu_fleet import GpuFleet, GpuFleetArgs
from infra.components.host_role import HostRole
from infra.components.load_balancer import LoadBalancer, LoadBalancerArgs
from infra.components.model_cache import ModelCache, ModelCacheArgs
from infra.components.network import Network, NetworkArgs, plan_subnets
from infra.components.secrets import Secrets, SecretsArgs
from infra.host import render_user_data
from infra.host.from_settings import EDGE_PORT, HEALTH_PATH, HostResources, host_config
from infra.pins import Pins
from infra.settings import Settings
from infra.sizing import Plan


def build(settings: Settings, pins: Pins, stack: str) -> dict[str, Any]:
    """Declares all resources of a stack and returns its outputs.

    Raises:
        UserError: before any resource is declared, when the settings cannot work.
    """
    plan = check(settings, pins, stack)
    name = f"tandem-{stack}"
    tags = stack_tags(settings, stack)
    provider = aws.Provider(settings.region, region=settings.region, default_tags={"tags": tags})
    here = pulumi.ResourceOptions(provider=provider)

    network = _network(name, settings, here)
    role = HostRole(name, here)
    cache = _model_cache(name, settings, network, role, here)
    # A load balancer's name has 32 characters, and the engine adds 8.
    balancer = _load_balancer(stack, settings, network, here)
    secrets = _secrets(name, settings, role, here)
    logs = cloudwatch.LogGroup(
        f"{name}-hosts", name=f"/tandem/{stack}/hosts", retention_in_days=settings.fleet.log_retention_days, opts=here
    )
    user_data = _user_data(settings, pins, plan, stack, cache, balancer, secrets, logs)
    fleet = GpuFleet(
        name,
        GpuFleetArgs(
            subnet_ids=network.host_subnet_ids,
            security_group_id=network.host_security_group_id,
            public_address=settings.network.egress == "publicHosts",
            role_name=role.role_name,
            instance_profile_arn=role.instance_profile_arn,
            target_group_arn=balancer.target_group_arn,
            log_group_arn=logs.arn,
            machine_image_id=settings.fleet.machine_image_id or pins.machine_image_id(settings.region),
            user_data=user_data,
            settings=settings.fleet,
            min_hosts=settings.group_size,
            max_hosts=settings.max_group_size,
            weights_s3_uri=settings.inference.weights_s3_uri,
            tags=tags,
            force_delete=settings.ephemeral,
        ),
        here,
    )
    expires_at = _expires_at(settings)
    _cost_guard(name, stack, settings, fleet, expires_at, here)

    return {
        "url": balancer.url,
        "certificateAuthority": balancer.authority_pem,
        "apiKeyCommand": pulumi.Output.format(
            "aws secretsmanager get-secret-value --region {0} --secret-id {1} --query SecretString --output text",
            settings.region,
            secrets.api_keys_secret_name,
        ),
        "model": settings.inference.served_model_name or settings.inference.model,
        "fleetName": fleet.group_name,
        "usdPerHour": round(costs.usd_per_hour(settings), 2),
        "maxUsdPerHour": round(costs.max_usd_per_hour(settings), 2),
        "expiresAt": expires_at,
        "plannedKvCacheTokens": plan.kv_cache_tokens,
        "userDataBytes": user_data.apply(len),
        "logs": pulumi.Output.format(
            "https://{0}.console.aws.amazon.com/cloudwatch/home?region={0}#logsV2:log-groups/log-group/{1}",
            settings.region,
            logs.name.apply(lambda text: text.replace("/", "$252F")),
        ),
    }


def stack_tags(settings: Settings, stack: str) -> dict[str, str]:
    """Tags by which a stack's resources are found without its state; the user's own come on top."""
    own = {"tandem:project": "tandem", "tandem:stack": stack, "tandem:region": settings.region}
    return {**settings.tags, **own}


def _network(name: str, settings: Settings, opts: pulumi.ResourceOptions) -> Network:
    network = settings.network
    return Network(
        name,
        NetworkArgs(
            region=settings.region,
            cidr_block=network.cidr_block,
            zones=settings.zones,
            egress=network.egress,
            edge_port=EDGE_PORT,
            client_cidrs=[str(cidr) for cidr in settings.load_balancer.client_cidrs],
            interface_endpoints=network.interface_endpoints,
            flow_log_retention_days=network.flow_log_retention_days,
        ),
        opts,
    )


def _model_cache(
    name: str, settings: Settings, network: Network, role: HostRole, opts: pulumi.ResourceOptions
) -> ModelCache:
    return ModelCache(
        name,
        ModelCacheArgs(
            subnet_ids=network.host_subnet_ids,
            security_group_id=network.cache_security_group_id,
            host_role_arn=role.role_arn,
            provisioned_mibps=settings.model_cache.provisioned_mibps,
            infrequent_access_after_days=settings.model_cache.infrequent_access_after_days,
            keep_on_destroy=not settings.ephemeral,
        ),
        opts,
    )


def _load_balancer(name: str, settings: Settings, network: Network, opts: pulumi.ResourceOptions) -> LoadBalancer:
    balancer = settings.load_balancer
    return LoadBalancer(
        name,
        LoadBalancerArgs(
            vpc_id=network.vpc_id,
            subnet_ids=network.public_subnet_ids,
            security_group_id=network.load_balancer_security_group_id,
            paths=balancer.paths,
            target_port=EDGE_PORT,
            health_check_path=HEALTH_PATH,
            idle_timeout_seconds=settings.timeouts.load_balancer_idle_seconds,
            deregistration_delay_seconds=settings.timeouts.deregistration_delay_seconds,
            requests_per_minute_per_ip=balancer.requests_per_minute_per_ip,
            domain_name=balancer.domain_name,
            hosted_zone_id=balancer.hosted_zone_id,
            certificate_arn=balancer.certificate_arn,
            access_log_retention_days=balancer.access_log_retention_days,
            deletion_protection=balancer.deletion_protection,
            keep_on_destroy=not settings.ephemeral,
        ),
        opts,
    )


def _secrets(name: str, settings: Settings, role: HostRole, opts: pulumi.ResourceOptions) -> Secrets:
    token = settings.hugging_face_token
    return Secrets(
        name,
        SecretsArgs(
            reader_role_name=role.role_name,
            hugging_face_token=pulumi.Output.secret(token.get_secret_value()) if token else None,
            api_keys={
                client: pulumi.Output.secret(key.get_secret_value()) for client, key in settings.api_keys.items()
            },
            recovery_window_days=0 if settings.ephemeral else 30,
        ),
        opts,
    )


def _user_data(
    settings: Settings,
    pins: Pins,
    plan: Plan,
    stack: str,
    cache: ModelCache,
    balancer: LoadBalancer,
    secrets: Secrets,
    logs: cloudwatch.LogGroup,
) -> pulumi.Output[bytes]:
    subnets = plan_subnets(settings.network.cidr_block, settings.zones, settings.network.egress)

    def render(resources: dict[str, Any]) -> bytes:
        return render_user_data(
            host_config(
                settings,
                pins,
                plan,
                stack=stack,
                load_balancer_networks=[subnet.cidr_block for subnet in subnets if subnet.public],
                resources=HostResources(**resources),
            )
        )

    return pulumi.Output.all(
        target_group_arn=balancer.target_group_arn,
        log_group_name=logs.name,
        api_keys_secret_arn=secrets.api_keys_secret_arn,
        hugging_face_token_secret_arn=secrets.hugging_face_token_secret_arn,
        efs_file_system_id=cache.file_system_id,
        efs_access_point_id=cache.access_point_id,
    ).apply(render)


def _expires_at(settings: Settings) -> pulumi.Output[str] | None:
    """RFC 3339 in UTC. The moment of creation is a resource: it must not move with each `up`."""
    if not costs.expires(settings):
        return None
    created = time.Static("created").rfc3339

    def moment(text: str) -> str:
        found = costs.expires_at(settings, datetime.fromisoformat(text))
        return f"{found:%Y-%m-%dT%H:%M:%SZ}"

    return created.apply(moment)


def _cost_guard(
    name: str,
    stack: str,
    settings: Settings,
    fleet: GpuFleet,
    expires_at: pulumi.Output[str] | None,
    opts: pulumi.ResourceOptions,
) -> CostGuard:
    guard = settings.cost_guard
    return CostGuard(
        name,
        CostGuardArgs(
            stack=stack,
            group_name=fleet.group_name,
            group_arn=fleet.group_arn,
            min_hosts=settings.group_size,
            max_hosts=settings.max_group_size,
            ephemeral=settings.ephemeral,
            expires_at=expires_at,
            monthly_budget_usd=guard.monthly_budget_usd,
            alert_emails=guard.alert_emails,
            business_hours=BusinessHours.between(guard.business_hours) if guard.business_hours else None,
        ),
        opts,
    )
