"""The load balancer: HTTPS in, the listed API paths through, everything else a 404; a limit on each client address."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pulumi
from pulumi_aws import lb, route53

from tandem.routes import GATEWAY, HEALTH_PRIORITY, Route, routes
from tandem.tags import GATEWAY_TAG, MAIN_MODEL, MODEL_TAG

from .access_logs import PREFIX, AccessLogs, AccessLogsArgs
from .certificate import Certificate, CertificateArgs
from .firewall import Firewall, FirewallArgs

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
NOT_FOUND = json.dumps({"error": {"message": "Not found", "type": "invalid_request_error", "code": 404}})
"""In the shape that OpenAI clients read."""


@dataclass(frozen=True, kw_only=True)
class GatewayRoute:
    """How the gateway for teams is reached.

    Attributes:
        host_name: of its own.
        paths: under it, that are forwarded.
        port: of its copies.
        ready_path: asked of each copy.
        uncounted: header and value by which the firewall knows what the gateway itself asks.
    """

    host_name: str
    paths: Sequence[str]
    port: int
    ready_path: str
    uncounted: tuple[str, pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class LoadBalancerArgs:
    """What a load balancer needs.

    Attributes:
        account_id, vpc_id: the stack's account; the VPC of the targets.
        subnet_ids: public subnets in two zones or more, where an internal one has private addresses.
        security_group_id: in from clients on 443, and on 80 where that redirects; out to the targets' edge.
        paths: what is forwarded to each model; a trailing /* takes everything below.
        target_port: port of the hosts' edge.
        health_check_path: answers 200 only when a replica makes tokens.
        internal: has no public address.
        target_type: what registers: hosts (instance), or pods (ip).
        further: models beside the main one, each under a host name of its own: name to host name.
        idle_timeout_seconds: silence after which a connection is dropped, 1 to 4000.
        deregistration_delay_seconds: how long a leaving target may finish its requests, 0 to 3600.
        requests_per_minute_per_ip: above this a client address gets 429 from the firewall.
        domain_name, hosted_zone_id, certificate_arn, shared_names: see CertificateArgs.
        public_health_check: forwards health_check_path, too, for checkers outside; it says yes or no and nothing else.
        redirect_http: port 80 leads to https; else nothing listens there.
        access_log_retention_days: keeps access logs; None writes none.
        deletion_protection: refuses deletion until turned off.
        keep_on_destroy: leaves the access logs when the stack goes.
        gateway: what is forwarded to the gateway for teams; None for none.
    """

    account_id: pulumi.Input[str]
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    security_group_id: pulumi.Input[str]
    paths: Mapping[str, Sequence[str]]
    target_port: int
    health_check_path: str
    idle_timeout_seconds: int
    deregistration_delay_seconds: int
    internal: bool = False
    target_type: Literal["instance", "ip"] = "instance"
    further: Mapping[str, str] = field(default_factory=dict)
    requests_per_minute_per_ip: int = 100
    domain_name: str | None = None
    hosted_zone_id: str | None = None
    certificate_arn: str | None = None
    shared_names: Mapping[str, str] = field(default_factory=dict)
    public_health_check: bool = False
    redirect_http: bool = True
    access_log_retention_days: int | None = 90
    deletion_protection: bool = False
    keep_on_destroy: bool = True
    gateway: GatewayRoute | None = None


class LoadBalancer(pulumi.ComponentResource):
    """Application Load Balancer with a target group for each model.

    Attributes:
        url: https URL of the API, without a path.
        target_groups: where the servers of each model register, the main one first.
        gateway_targets: where copies of the gateway register, once requests lead there, and what metrics call it; None
            without one.
        arn_suffix: what metrics call the load balancer.
        certificate_arn: of what it answers with.
        authority_pem: what clients must trust when the certificate is self-signed, else None.
        dns_name, zone_id: what an alias record leads to.
        listener: for HTTPS. By its certificate an alias record is found again after a kill: it comes before any.
    """

    def __init__(self, name: str, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:LoadBalancer", name, None, opts)
        self._name = name
        self._child = pulumi.ResourceOptions(parent=self)
        balancer = lb.LoadBalancer(
            by_scheme(name, internal=args.internal),
            load_balancer_type="application",
            internal=args.internal or None,
            security_groups=[args.security_group_id],
            subnets=args.subnet_ids,
            idle_timeout=args.idle_timeout_seconds,
            drop_invalid_header_fields=True,
            enable_deletion_protection=args.deletion_protection,
            access_logs=self._access_logs(args),
            tags={"Name": name},
            opts=self._child,
        )
        targets = self._targets(name, MAIN_MODEL, args)
        # Not with the stack's name before it: a target group's has 32 characters, and the engine adds 8.
        further = {model: self._targets(model, model, args) for model in args.further}
        names = {**args.further, **({GATEWAY: args.gateway.host_name} if args.gateway else {})}
        certificate = Certificate(
            name,
            CertificateArgs(
                domain_name=args.domain_name,
                hosted_zone_id=args.hosted_zone_id,
                certificate_arn=args.certificate_arn,
                fallback_name=balancer.dns_name,
                further_names=list(names.values()),
                shared_names=args.shared_names,
            ),
            opts=self._child,
        )
        https = self._https(balancer, certificate)
        if args.redirect_http:
            self._http(balancer)
        self.target_groups = {MAIN_MODEL: targets, **further}
        self._groups, paths, hosts = {**self.target_groups}, {**args.paths}, {**args.further}
        if args.gateway:
            self._groups[GATEWAY] = self._gateway_targets(args, args.gateway)
            paths[GATEWAY], hosts[GATEWAY] = args.gateway.paths, args.gateway.host_name
        rules: dict[str, list[pulumi.Resource]] = defaultdict(list)
        for route in routes(paths, hosts):
            rules[route.model].append(self._rule(https, route))
        self.gateway_targets: tuple[pulumi.Output[str], pulumi.Output[str]] | None = None
        if teams := self._groups.get(GATEWAY):
            # ECS refuses a service whose target group no load balancer leads to.
            there = pulumi.Output.all(teams.arn, *(rule.urn for rule in rules[GATEWAY]))
            self.gateway_targets = (there.apply(lambda known: str(known[0])), teams.arn_suffix)
        if args.public_health_check:
            self._rule(https, Route("health", MAIN_MODEL, HEALTH_PRIORITY, None, (args.health_check_path,)))
        Firewall(
            name,
            FirewallArgs(
                load_balancer_arn=balancer.arn,
                requests_per_minute_per_ip=args.requests_per_minute_per_ip,
                uncounted=args.gateway.uncounted if args.gateway else None,
            ),
            self._child,
        )
        if args.domain_name and args.hosted_zone_id:
            for model, host in {MAIN_MODEL: args.domain_name, **names}.items():
                # Behind its rules, without which the name would lead to the main model.
                after = [https, *rules[model]]
                self._alias(name if model == MAIN_MODEL else model, host, args.hosted_zone_id, balancer, after)
        host = pulumi.Output.from_input(args.domain_name) if args.domain_name else balancer.dns_name
        self.url = pulumi.Output.concat("https://", host)
        self.dns_name = balancer.dns_name
        self.zone_id = balancer.zone_id
        self.listener = https
        self.arn_suffix = balancer.arn_suffix
        self.authority_pem = certificate.authority_pem
        self.certificate_arn = certificate.arn
        self.register_outputs({"url": self.url, "target_group_arn": targets.arn})

    def _access_logs(self, args: LoadBalancerArgs) -> lb.LoadBalancerAccessLogsArgs | None:
        if args.access_log_retention_days is None:
            return None
        logs = AccessLogs(
            f"{self._name}-access-logs",
            AccessLogsArgs(
                account_id=args.account_id,
                retention_days=args.access_log_retention_days,
                keep_on_destroy=args.keep_on_destroy,
            ),
            opts=self._child,
        )
        return lb.LoadBalancerAccessLogsArgs(bucket=logs.bucket_name, prefix=PREFIX, enabled=True)

    def _targets(self, label: str, model: str, args: LoadBalancerArgs) -> lb.TargetGroup:
        return lb.TargetGroup(
            by_scheme(label, internal=args.internal),
            vpc_id=args.vpc_id,
            port=args.target_port,
            protocol="HTTP",
            target_type=args.target_type,
            deregistration_delay=args.deregistration_delay_seconds,
            # Answers differ in length by a factor of a thousand: counting open requests spreads them, turns do not.
            load_balancing_algorithm_type="least_outstanding_requests",
            health_check={
                "path": args.health_check_path,
                "matcher": "200",
                "interval": 10,
                "timeout": 5,
                "healthy_threshold": 2,
                "unhealthy_threshold": 3,
            },
            tags={"Name": f"{self._name}-{model}", MODEL_TAG: model},
            opts=self._child,
        )

    def _gateway_targets(self, args: LoadBalancerArgs, route: GatewayRoute) -> lb.TargetGroup:
        return lb.TargetGroup(
            by_scheme("gateway", internal=args.internal),
            vpc_id=args.vpc_id,
            port=route.port,
            protocol="HTTP",
            target_type="ip",
            deregistration_delay=args.deregistration_delay_seconds,
            load_balancing_algorithm_type="least_outstanding_requests",
            health_check={
                "path": route.ready_path,
                "matcher": "200",
                "interval": 10,
                "timeout": 8,  # of a database that is away it hears after 3 to 4 s
                "healthy_threshold": 2,
                "unhealthy_threshold": 6,
            },
            tags={"Name": f"{self._name}-gateway", GATEWAY_TAG: "true"},
            opts=self._child,
        )

    def _https(self, balancer: lb.LoadBalancer, certificate: Certificate) -> lb.Listener:
        return lb.Listener(
            f"{self._name}-https",
            load_balancer_arn=balancer.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=certificate.arn,
            default_actions=[
                {
                    "type": "fixed-response",
                    "fixed_response": {
                        "status_code": "404",
                        "content_type": "application/json",
                        "message_body": NOT_FOUND,
                    },
                }
            ],
            opts=self._child,
        )

    def _http(self, balancer: lb.LoadBalancer) -> None:
        lb.Listener(
            f"{self._name}-http",
            load_balancer_arn=balancer.arn,
            port=80,
            protocol="HTTP",
            default_actions=[
                {"type": "redirect", "redirect": {"port": "443", "protocol": "HTTPS", "status_code": "HTTP_301"}}
            ],
            opts=self._child,
        )

    def _rule(self, https: lb.Listener, route: Route) -> lb.ListenerRule:
        host: list[Any] = [{"host_header": {"values": [route.host_name]}}] if route.host_name else []
        paths: list[Any] = [{"path_pattern": {"values": list(route.paths)}}]
        return lb.ListenerRule(
            f"{self._name}-{route.label}",
            listener_arn=https.arn,
            priority=route.priority,
            conditions=[*host, *paths],
            actions=[{"type": "forward", "target_group_arn": self._groups[route.model].arn}],
            opts=self._child,
        )

    def _alias(
        self,
        former: str,
        host_name: str,
        hosted_zone_id: str,
        balancer: lb.LoadBalancer,
        after: Sequence[pulumi.Resource],
    ) -> None:
        """Called after the name: where a model is renamed, or two change names, Route 53 would refuse a second one.

        Args:
            former: what it was called after before.
        """
        route53.Record(
            host_name,
            zone_id=hosted_zone_id,
            name=host_name,
            type="A",
            aliases=[{"name": balancer.dns_name, "zone_id": balancer.zone_id, "evaluate_target_health": True}],
            opts=pulumi.ResourceOptions.merge(
                self._child, pulumi.ResourceOptions(depends_on=after, aliases=[pulumi.Alias(name=former)])
            ),
        )


def by_scheme(label: str, *, internal: bool) -> str:
    """What a load balancer and its target groups are called, of whom AWS lets none change the scheme, and no group
    serve two: under another name the new ones are there, with hosts, before the old ones go. Stacks and models have no
    capitals in their names. Of AWS's 32 characters the engine takes 8."""
    return f"{label[:22]}In" if internal else label
