"""One name in front of several regions: each region's stack adds its own record, and Route 53 chooses."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws import route53

from tandem.settings.network import GlobalNameSettings

CHECK_INTERVAL_SECONDS = 30
FAILURES_BEFORE_UNHEALTHY = 3
"""A minute and a half: an engine that restarts is back in less, and clients are not sent around the world for it."""


@dataclass(frozen=True, kw_only=True)
class GlobalNameArgs:
    """What a region's part of a global name needs.

    Attributes:
        settings: name, zone and routing.
        region: of this stack, for routing by latency.
        stack: tells this stack's record from the others' of the same name.
        own_name: of this region's load balancer, which the check from outside asks.
        health_check_path: answers 200 only while a replica makes tokens.
        alias_name, alias_zone_id: the load balancer that the record leads to.
        listener: of that load balancer; comes before the record.
        alone: the load balancer leads to one model.
    """

    settings: GlobalNameSettings
    region: str
    stack: str
    own_name: str
    health_check_path: str
    alias_name: pulumi.Input[str]
    alias_zone_id: pulumi.Input[str]
    listener: pulumi.Resource
    alone: bool = True


class GlobalName(pulumi.ComponentResource):
    """This region's record of a name that all regions share, and what takes it out when the region fails.

    Route 53 leaves a region out when its load balancer has no target that makes tokens (the alias looks at the
    targets), or when the check from outside fails: certificate, firewall, a region that cannot be reached. To an alias
    a load balancer is well when each of its target groups is (AliasTarget of Route 53's API), so that a further model
    without hosts would take the main one out of the name: beside such, the check decides, which asks the main one.
    """

    def __init__(self, name: str, args: GlobalNameArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:GlobalName", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        settings = args.settings
        check = None
        if settings.outside_check:
            check = route53.HealthCheck(
                name,
                type="HTTPS",
                fqdn=args.own_name,
                port=443,
                resource_path=args.health_check_path,
                enable_sni=True,
                request_interval=CHECK_INTERVAL_SECONDS,
                failure_threshold=FAILURES_BEFORE_UNHEALTHY,
                tags={"Name": name},
                opts=child,
            )
        if settings.serving:
            latency = settings.routing == "latency"
            route53.Record(
                name,
                zone_id=settings.hosted_zone_id,
                name=settings.domain_name,
                type="A",
                set_identifier=args.stack,
                latency_routing_policies=[{"region": args.region}] if latency else None,
                weighted_routing_policies=None if latency else [{"weight": settings.weight}],
                health_check_id=check.id if check else None,
                aliases=[
                    {
                        "name": args.alias_name,
                        "zone_id": args.alias_zone_id,
                        "evaluate_target_health": args.alone or check is None,
                    }
                ],
                opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[args.listener])),
            )
        self.register_outputs({})
