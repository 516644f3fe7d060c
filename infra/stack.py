"""The composition: one stack, from top to bottom, as the picture of the system."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pulumi
import pulumi_aws as aws

from infra import costs
from infra.boundary import bounded
from infra.checks import check
from infra.components.cluster_name import refuse_taken_cluster
from infra.components.global_name import GlobalName, GlobalNameArgs
from infra.components.load_balancer import LoadBalancer, LoadBalancerArgs
from infra.components.network import Network, NetworkArgs
from infra.components.stack_identity import StackIdentity, StackIdentityArgs
from infra.pins import Pins
from infra.platforms import ec2, eks
from infra.platforms.common import Common, times
from infra.ports import HOST_HEALTH_PATH, POD_HEALTH_PATH, SERVING_PORT
from infra.settings import Settings
from infra.tags import STACK_ID_TAG, stack_tags


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
    run = times(settings, now)
    identity = StackIdentity(
        name, StackIdentityArgs(stack=stack, expires_at=run.ends), pulumi.ResourceOptions(provider=provider)
    )
    transformations = [identity.tag, *bounded(settings.permissions_boundary)]
    here = pulumi.ResourceOptions(provider=provider, transformations=transformations)

    network = _network(name, settings, _first(name, stack, settings, here))
    here = pulumi.ResourceOptions.merge(here, pulumi.ResourceOptions(transformations=[_after(network.vpc)]))
    # A load balancer's name has 32 characters, and the engine adds 8.
    balancer = _load_balancer(stack, settings, network, here)
    _global_name(name, stack, settings, balancer, here)
    common = Common(
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
    )
    servers = {"ec2": ec2.build, "eks": eks.build}[settings.platform](common)

    return {
        "stackId": identity.id,
        "url": balancer.url,
        "certificateAuthority": balancer.authority_pem,
        "model": settings.inference.served_model_name or settings.inference.model,
        "usdPerHour": round(costs.usd_per_hour(settings), 2),
        "maxUsdPerHour": round(costs.max_usd_per_hour(settings), 2),
        "plannedKvCacheTokens": plan.kv_cache_tokens,
        **servers,
    }


def _first(name: str, stack: str, settings: Settings, here: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Of what is made first: on eks the cluster's name must be free by then."""
    if settings.platform == "ec2":
        return here
    free = pulumi.ResourceOptions(transformations=[refuse_taken_cluster(name, stack, here)])
    return pulumi.ResourceOptions.merge(here, free)


def _after(first: pulumi.Resource) -> pulumi.ResourceTransformation:
    """Nothing is made of what may cost before what stops a stack whose name is taken."""

    def transform(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("aws:"):
            return None
        after = pulumi.ResourceOptions(depends_on=[first])
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, after))

    return transform


def _network(name: str, settings: Settings, opts: pulumi.ResourceOptions) -> Network:
    network = settings.network
    return Network(
        name,
        NetworkArgs(
            region=settings.region,
            cidr_block=network.cidr_block,
            zones=settings.zones,
            egress=network.egress,
            edge_port=SERVING_PORT,
            client_cidrs=[str(cidr) for cidr in settings.load_balancer.client_cidrs],
            interface_endpoints=network.interface_endpoints,
            # The controllers' nodes have the cluster's group alone, which is made after the network.
            open_endpoints=settings.platform == "eks",
            flow_log_retention_days=network.flow_log_retention_days,
        ),
        opts,
    )


def _load_balancer(name: str, settings: Settings, network: Network, opts: pulumi.ResourceOptions) -> LoadBalancer:
    balancer, shared = settings.load_balancer, settings.global_name
    return LoadBalancer(
        name,
        LoadBalancerArgs(
            account_id=network.account_id,
            vpc_id=network.vpc_id,
            subnet_ids=network.public_subnet_ids,
            security_group_id=network.load_balancer_security_group_id,
            paths=balancer.paths,
            target_port=SERVING_PORT,
            health_check_path=_health_path(settings),
            target_type="instance" if settings.platform == "ec2" else "ip",
            further={model: further.host_name for model, further in settings.models.items()},
            idle_timeout_seconds=settings.timeouts.load_balancer_idle_seconds,
            deregistration_delay_seconds=settings.timeouts.deregistration_delay_seconds,
            requests_per_minute_per_ip=balancer.requests_per_minute_per_ip,
            domain_name=balancer.domain_name,
            hosted_zone_id=balancer.hosted_zone_id,
            certificate_arn=balancer.certificate_arn,
            shared_names={shared.domain_name: shared.hosted_zone_id} if shared else {},
            public_health_check=shared is not None and shared.outside_check,
            access_log_retention_days=balancer.access_log_retention_days,
            deletion_protection=balancer.deletion_protection,
            keep_on_destroy=not settings.ephemeral,
        ),
        opts,
    )


def _health_path(settings: Settings) -> str:
    return HOST_HEALTH_PATH if settings.platform == "ec2" else POD_HEALTH_PATH


def _global_name(
    name: str, stack: str, settings: Settings, balancer: LoadBalancer, opts: pulumi.ResourceOptions
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
            health_check_path=_health_path(settings),
            alias_name=balancer.dns_name,
            alias_zone_id=balancer.zone_id,
            listener=balancer.listener,
        ),
        opts,
    )
