"""The composition: one stack, from top to bottom, as the picture of the system."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pulumi
import pulumi_aws as aws

from tandem import costs
from tandem.checks import check
from tandem.pins import Pins
from tandem.ports import SERVING_PORT
from tandem.settings import Settings
from tandem.tags import STACK_ID_TAG, stack_tags

from .boundary import bounded
from .components.existing_network import ExistingNetwork, ExistingNetworkArgs, refuse_move
from .components.gateway_keys import GatewayKeys
from .components.global_name import GlobalName, GlobalNameArgs
from .components.load_balancer import LoadBalancer, LoadBalancerArgs
from .components.log_forwarding import refuse_foreign
from .components.network import Network, NetworkArgs
from .components.stack_identity import StackIdentity, StackIdentityArgs
from .components.stack_network import StackNetwork
from .platforms.context import StackContext, times
from .platforms.ec2 import EC2
from .platforms.eks import EKS
from .platforms.gateway import gateway, gateway_traffic, route
from .platforms.platform import Platform

PLATFORMS = {"ec2": EC2, "eks": EKS}


def build(settings: Settings, pins: Pins, stack: str, now: datetime | None = None) -> dict[str, Any]:
    """Declares all resources of a stack and returns its outputs.

    Args:
        now: the moment of this `up`; None takes the stack to be within its time.

    Raises:
        UserError: before any resource is declared, when the settings cannot work.
    """
    plan = check(settings, pins, stack, pulumi.log.warn)
    name = f"tandem-{stack}"
    tags = settings.tags | stack_tags(stack, settings.region, ephemeral=settings.ephemeral)
    provider = aws.Provider(settings.region, region=settings.region, default_tags={"tags": tags})
    if settings.logs.send_to:
        refuse_foreign(settings.logs.send_to, provider)
    refuse_move(stack, settings.network, provider)
    platform = PLATFORMS[settings.platform]
    platform.refuse(name, stack, settings, pins, provider)
    run = times(settings, now)
    identity = StackIdentity(
        name, StackIdentityArgs(stack=stack, expires_at=run.ends), pulumi.ResourceOptions(provider=provider)
    )
    transformations = [identity.tag, *bounded(settings.permissions_boundary)]
    here = pulumi.ResourceOptions(provider=provider, transformations=transformations)

    network = _network(name, settings, platform, platform.first(name, stack, here))
    here = pulumi.ResourceOptions.merge(here, pulumi.ResourceOptions(transformations=[_after(network.first)]))
    # A load balancer's name has 32 characters, and the engine adds 8.
    keeps = not settings.ephemeral
    keys = GatewayKeys(f"{name}-gateway", here, keep_on_destroy=keeps) if settings.gateway else None
    balancer = _load_balancer(stack, settings, platform, network, keys, here)
    _global_name(name, stack, settings, platform, balancer, here)
    context = StackContext(
        name=name,
        stack=stack,
        settings=settings,
        pins=pins,
        plan=plan,
        stack_id=identity.id,
        tags={**tags, STACK_ID_TAG: identity.id},
        network=network,
        balancer=balancer,
        here=here,
        times=run,
        now=now,
        gateway_keys=keys,
    )
    teams = gateway(context)
    if teams:
        context = replace(context, gateway_figures=teams.figures)
    servers = platform.build(context)

    return {
        "stackId": identity.id,
        "url": balancer.url,
        "certificateAuthority": balancer.authority_pem,
        "model": settings.inference.served_model_name or settings.inference.model,
        "usdPerHour": round(costs.usd_per_hour(settings), 2),
        "maxUsdPerHour": round(costs.max_usd_per_hour(settings), 2),
        "plannedKvCacheTokens": plan.kv_cache_tokens,
        **(teams.outputs if teams else {}),
        **servers,
    }


def _after(first: pulumi.Resource) -> pulumi.ResourceTransformation:
    """Nothing is made of what may cost before what stops a stack whose name is taken."""

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("aws:"):
            return None
        after = pulumi.ResourceOptions(depends_on=[first])
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, after))

    return transform


def _network(name: str, settings: Settings, platform: Platform, opts: pulumi.ResourceOptions) -> StackNetwork:
    network, balancer = settings.network, settings.load_balancer
    traffic: dict[str, Any] = {
        "edge_port": SERVING_PORT,
        "client_cidrs": [str(cidr) for cidr in balancer.client_cidrs],
        "client_ports": (443, 80) if balancer.redirect_http else (443,),
        "host_ports": tuple(dict.fromkeys((443, 80, *settings.server_ports, *settings.metrics.ports))),
        "gateway": gateway_traffic(settings),
    }
    if there := network.existing:
        of_balancer = there.private_subnet_ids if balancer.internal else there.public_subnet_ids
        found = ExistingNetworkArgs(
            vpc_id=there.vpc_id,
            host_subnet_ids=dict(sorted(there.private_subnet_ids.items())),
            load_balancer_subnet_ids=[of_balancer[zone] for zone in settings.zones],
            **traffic,
        )
        return ExistingNetwork(name, found, opts)
    return Network(
        name,
        NetworkArgs(
            region=settings.region,
            cidr_block=network.cidr_block,
            zones=settings.zones,
            egress=network.egress,
            interface_endpoints=network.interface_endpoints,
            open_endpoints=platform.open_endpoints or settings.gateway is not None,
            flow_log_retention_days=network.flow_log_retention_days,
            **traffic,
        ),
        opts,
    )


def _load_balancer(
    name: str,
    settings: Settings,
    platform: Platform,
    network: StackNetwork,
    keys: GatewayKeys | None,
    opts: pulumi.ResourceOptions,
) -> LoadBalancer:
    balancer, shared = settings.load_balancer, settings.global_name
    return LoadBalancer(
        name,
        LoadBalancerArgs(
            account_id=network.account_id,
            vpc_id=network.vpc_id,
            subnet_ids=network.load_balancer_subnet_ids,
            internal=balancer.internal,
            security_group_id=network.load_balancer_security_group_id,
            paths=settings.ways,
            target_port=SERVING_PORT,
            health_check_path=platform.health_path,
            target_type=platform.target_type,
            further={model: further.host_name for model, further in settings.models.items()},
            idle_timeout_seconds=settings.timeouts.load_balancer_idle_seconds,
            deregistration_delay_seconds=settings.timeouts.deregistration_delay_seconds,
            requests_per_minute_per_ip=balancer.requests_per_minute_per_ip,
            domain_name=balancer.domain_name,
            hosted_zone_id=balancer.hosted_zone_id,
            certificate_arn=balancer.certificate_arn,
            shared_names={shared.domain_name: shared.hosted_zone_id} if shared else {},
            redirect_http=balancer.redirect_http,
            public_health_check=shared is not None and shared.outside_check,
            access_log_retention_days=balancer.access_log_retention_days,
            deletion_protection=balancer.deletion_protection,
            keep_on_destroy=not settings.ephemeral,
            gateway=route(settings, keys),
        ),
        opts,
    )


def _global_name(
    name: str,
    stack: str,
    settings: Settings,
    platform: Platform,
    balancer: LoadBalancer,
    opts: pulumi.ResourceOptions,
) -> None:
    shared, own_name = settings.global_name, settings.load_balancer.domain_name
    if shared is None or own_name is None:
        return
    GlobalName(
        name,
        GlobalNameArgs(
            settings=shared,
            region=settings.region,
            stack=stack,
            own_name=own_name,
            health_check_path=platform.health_path,
            alias_name=balancer.dns_name,
            alias_zone_id=balancer.zone_id,
            listener=balancer.listener,
            alone=not settings.models,
        ),
        opts,
    )
