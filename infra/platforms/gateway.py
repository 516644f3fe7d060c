"""The gateway for teams, alike on both platforms: what it is told, its database, its cache, its copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from tandem.gateway import config
from tandem.gateway.admin import admin_command
from tandem.gateway.prices import own_prices
from tandem.gateway_alarms import CACHE, COPIES, DATABASE, LOG, SPENT, TARGETS, log_namespace
from tandem.rules.gateway import BEDROCK
from tandem.settings import Settings
from tandem.settings.gateway import GatewaySettings
from tandem.settings.types import ports_of
from tandem.type_tokens import LOG_METRIC_FILTER

from ..components.gateway import Gateway, GatewayArgs
from ..components.gateway_cache import GatewayCache, GatewayCacheArgs
from ..components.gateway_database import GatewayDatabase, GatewayDatabaseArgs
from ..components.gateway_keys import GatewayKeys
from ..components.load_balancer import GatewayRoute
from ..components.stack_network import GatewayTraffic
from .context import GatewayFigures, StackContext


@dataclass(frozen=True, kw_only=True)
class TeamsGateway:
    """What operators are told of it (names of outputs), and what alarms look at."""

    outputs: Mapping[str, pulumi.Input[str]]
    figures: GatewayFigures


def gateway_traffic(settings: Settings) -> GatewayTraffic | None:
    """Of a gateway; None without one."""
    gateway = settings.gateway
    if gateway is None:
        return None
    asked = [one.url for one in gateway.models.values()]
    asked += [gateway.fallback.url] if gateway.fallback and gateway.fallback.url else []
    return GatewayTraffic(
        port=config.PORT,
        ports=tuple(dict.fromkeys((443, *(port for url in asked for port in ports_of(url))))),
        cache=gateway.has_cache,
        inside=settings.load_balancer.internal,
    )


def route(settings: Settings, keys: GatewayKeys | None) -> GatewayRoute | None:
    """Likewise."""
    if settings.gateway is None or keys is None:
        return None
    return GatewayRoute(
        host_name=settings.gateway.host_name,
        paths=("/*",) if settings.gateway.public_admin else settings.load_balancer.paths,
        port=config.PORT,
        ready_path=config.READY_PATH,
        uncounted=(config.BYPASS_HEADER, keys.bypass),
    )


def gateway(context: StackContext) -> TeamsGateway | None:
    """Of the settings; None where they have none."""
    settings, keys, targets = context.settings, context.gateway_keys, context.balancer.gateway_targets
    if settings.gateway is None or keys is None or targets is None:
        return None
    name, network = f"{context.name}-gateway", context.network
    subnets, groups = list(network.host_subnet_ids.values()), network.gateway_security_group_ids
    database = GatewayDatabase(
        name,
        GatewayDatabaseArgs(
            subnet_ids=subnets,
            security_group_id=groups["database"],
            stack_id=context.stack_id,
            instance_class=settings.gateway.database_class,
            max_gib=settings.gateway.database_max_gib,
            standby=settings.gateway.database_standby,
            backup_days=settings.gateway.database_backup_days,
            password=keys.database_password,
            snapshot=settings.gateway.restore.snapshot if settings.gateway.restore else None,
            keep_on_destroy=not settings.ephemeral,
            deletion_protection=settings.load_balancer.deletion_protection,
        ),
        context.here,
    )
    environment: dict[str, pulumi.Input[str]] = {**config.environment()}
    cached: dict[str, Mapping[str, pulumi.Input[str]]] = {}
    if settings.gateway.has_cache:
        cache = GatewayCache(
            name,
            GatewayCacheArgs(subnet_ids=subnets, security_group_id=groups["cache"], password=keys.cache_password),
            context.here,
        )
        cached[CACHE] = {"CacheClusterId": cache.node}
        environment |= {"REDIS_HOST": cache.host, "REDIS_PORT": cache.port, "REDIS_SSL": "True"}
    document = config.config(settings, own_prices(settings), context.load_balancer_networks)
    copies = Gateway(
        name,
        GatewayArgs(
            region=settings.region,
            account_id=network.account_id,
            image=context.pins.gateway.reference,
            replicas=settings.gateway.replicas,
            config=config.as_text(document),
            environment=environment,
            secrets=_secrets(settings.gateway, keys, database),
            given_secrets=config.given_secrets(settings.gateway),
            bedrock_models=_bedrock_models(settings.gateway),
            subnet_ids=subnets,
            security_group_id=groups["copies"],
            public_address=settings.network.egress == "publicHosts",
            target_group_arn=targets[0],
            log_retention_days=settings.fleet.log_retention_days,
            recovery_window_days=0 if settings.ephemeral else 30,
        ),
        context.here,
    )
    if settings.gateway.fallback and settings.alarmed:
        _count_spent_days(name, context, copies)
    return TeamsGateway(
        outputs={
            "gatewayUrl": f"https://{settings.gateway.host_name}",
            "gatewayAdminCommand": copies.cluster_name.apply(lambda name: admin_command(settings.region, name)),
            "gatewaySecretArn": copies.secret_arn,
        },
        figures={
            TARGETS: {"LoadBalancer": context.balancer.arn_suffix, "TargetGroup": targets[1]},
            DATABASE: {"DBInstanceIdentifier": database.identifier},
            COPIES: {"ClusterName": copies.cluster_name, "ServiceName": copies.service_name},
            LOG: {},
            **cached,
        },
    )


def _secrets(
    gateway: GatewaySettings, keys: GatewayKeys, database: GatewayDatabase
) -> Mapping[str, pulumi.Output[str]]:
    found = {
        config.MASTER_KEY: keys.master,
        config.SALT_KEY: keys.salt,
        config.DATABASE_URL: database.url,
        config.STACK_KEY: keys.client,
        config.BYPASS: keys.bypass,
        config.CACHE_PASSWORD: keys.cache_password,
    }
    return {name: found[name] for name in config.own_secrets(gateway)}


def _bedrock_models(gateway: GatewaySettings) -> list[str]:
    fallback = gateway.fallback
    return [fallback.model.rpartition("/")[2]] if fallback and fallback.model.startswith(BEDROCK) else []


def _count_spent_days(name: str, context: StackContext, copies: Gateway) -> None:
    """What LiteLLM says of the cap it says in its log alone."""
    properties = {
        "logGroupName": copies.log_group_name,
        "pattern": f'"{config.OVER_CAP}"',
        "metricTransformation": {"name": SPENT, "namespace": log_namespace(context.stack), "value": "1"},
        "name": None,
    }
    pulumi.CustomResource(LOG_METRIC_FILTER, name, properties, context.here)
