"""What both platforms build on, and build alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pulumi
import pulumiverse_time as time

from tandem import gateway_alarms, lifetime
from tandem.checks import size
from tandem.observing.watched import Watched
from tandem.observing.watched import watched as watched_of
from tandem.pins import Pins
from tandem.settings import Settings
from tandem.settings.edge import ClientSettings
from tandem.settings.types import REQUEST_RATES, STREAMS
from tandem.sizing.plan import Plan

from ..components.alarms import Alarms, AlarmsArgs
from ..components.cost_guard import BusinessHours, CostGuard, CostGuardArgs, Resize
from ..components.dashboard import Dashboard
from ..components.gateway_keys import GatewayKeys
from ..components.load_balancer import LoadBalancer
from ..components.log_forwarding import LogForwarding, LogForwardingArgs
from ..components.log_group import LogGroup
from ..components.model_cache import ModelCache, ModelCacheArgs
from ..components.secrets import Secrets, SecretsArgs
from ..components.stack_network import StackNetwork

GatewayFigures = Mapping[str, Mapping[str, pulumi.Input[str]]]


GATEWAY_CLIENT = "tandem-gateway"
"""By this name edges count what the gateway asks."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """When the servers run.

    Attributes:
        ends: when they stop for good, RFC 3339 in UTC; None for never.
        running: whether they run now.
    """

    ends: pulumi.Output[str] | None
    running: pulumi.Input[bool]


@dataclass(frozen=True, kw_only=True)
class StackContext:
    """What is there before the servers.

    Attributes:
        name: prefix of resources. stack: its name.
        stack_id: of this life of the stack; in names that the account has once, and would otherwise be shared.
        tags: of what the provider's default tags do not reach.
        here: options that place a resource in the stack's region.
        times: when the servers run.
        now: the moment of this `up`.
        gateway_keys: of the gateway for teams; None without one.
        gateway_figures: by what an alarm of the gateway looks at, CloudWatch's dimensions of it; none without one.
    """

    name: str
    stack: str
    settings: Settings
    pins: Pins
    plan: Plan
    stack_id: pulumi.Output[str]
    tags: Mapping[str, pulumi.Input[str]]
    network: StackNetwork
    balancer: LoadBalancer
    here: pulumi.ResourceOptions
    times: Times
    now: datetime | None
    gateway_keys: GatewayKeys | None = None
    gateway_figures: GatewayFigures = field(default_factory=dict)

    def sized(self, own: Settings) -> Plan:
        """What sizing says of a model, by the settings as its own; each further one is sized for itself."""
        return self.plan if own.inference is self.settings.inference else size(own)

    @property
    def load_balancer_networks(self) -> list[str]:
        """In which the load balancer's subnets are, and with any zone more will be: what hosts run says so."""
        return [*self.network.load_balancer_networks]


def model_cache(context: StackContext, *role_arns: pulumi.Input[str]) -> ModelCache:
    """The cache, open to these roles."""
    settings, network = context.settings, context.network
    return ModelCache(
        context.name,
        ModelCacheArgs(
            subnet_ids=network.host_subnet_ids,
            security_group_id=network.cache_security_group_id,
            host_role_arns=role_arns,
            provisioned_mibps=settings.model_cache.provisioned_mibps,
            infrequent_access_after_days=settings.model_cache.infrequent_access_after_days,
            keep_on_destroy=not settings.ephemeral,
            file_system_id=settings.model_cache.file_system_id,
        ),
        context.here,
    )


def secrets(context: StackContext, reader_role_name: pulumi.Input[str]) -> Secrets:
    """Digests of keys and the token, readable by one role."""
    settings = context.settings
    token = settings.hugging_face_token
    logins = (group.fleet.registry_login_secret_arn for group in settings.groups.values())
    return Secrets(
        context.name,
        SecretsArgs(
            reader_role_name=reader_role_name,
            hugging_face_token=pulumi.Output.secret(token.get_secret_value()) if token else None,
            declared={name: declared(client) for name, client in settings.clients.items()} | _gateway_client(context),
            others=[*dict.fromkeys(arn for arn in (*logins, *judges_keys(settings)) if arn)],
            recovery_window_days=0 if settings.ephemeral else 30,
        ),
        context.here,
    )


def _gateway_client(context: StackContext) -> dict[str, Any]:
    """The gateway is one client of the servers, with the most that an edge lets one have: its own limits are teams'."""
    if context.gateway_keys is None:
        return {}
    keys = [{"sha256": context.gateway_keys.client_sha256}]
    return {GATEWAY_CLIENT: {"keys": keys, "requestsPerSecond": REQUEST_RATES[-1], "streams": STREAMS[-1]}}


def log_group(context: StackContext, kind: str) -> LogGroup:
    """Of servers and their edges; where the settings say so, its lines go elsewhere as well.

    Args:
        kind: of machines.
    """
    settings = context.settings
    own_name = pulumi.Output.concat(f"/tandem/{context.stack}/", context.stack_id, f"/{kind}")
    logs = LogGroup(f"{context.name}-{kind}", settings.fleet.log_retention_days, context.here, own_name)
    if settings.logs.send_to:
        args = LogForwardingArgs(region=settings.region, group=logs, destination_arn=settings.logs.send_to)
        LogForwarding(f"{context.name}-logs", args, context.here)
    return logs


def judges_keys(settings: Settings) -> list[str]:
    """ARNs of secrets with keys for those who judge answers, each once."""
    return list(dict.fromkeys(one.key_secret_arn for one in settings.judges if one.key_secret_arn))


def declared(client: ClientSettings) -> dict[str, Any]:
    """A client of the settings, as the document of clients has it."""
    found = client.model_dump(mode="json", by_alias=True, exclude={"sha256"}, exclude_defaults=True)
    return {"keys": [{"sha256": digest} for digest in client.sha256], **found}


def keys_command(stack: str) -> str:
    """The command that makes a client's key, and shows it once."""
    return f"tandem keys add {stack} NAME"


def times(settings: Settings, now: datetime | None) -> Times:
    """Of a stack at the moment of an `up`, with the sentence that says why its servers are at 0, where they are.

    The moment of creation is a resource: it must not move with each `up`.

    Args:
        now: None takes the stack to be within its time.
    """

    def ends(created: str) -> datetime | None:
        return lifetime.expires_at(settings, datetime.fromisoformat(created))

    def running(end: datetime | None) -> bool:
        if now is not None and (why := lifetime.why_stopped(settings, end, now)):
            pulumi.log.warn(why)
            return False
        return True

    if not lifetime.expires(settings):
        return Times(ends=None, running=running(None))
    created = time.Static("created").rfc3339
    # Past whenever it was made: also the first preview says so, which does not know when that will be.
    soonest = lifetime.expires_at(settings, now) if now else None
    return Times(
        ends=created.apply(lambda text: f"{ends(text):%Y-%m-%dT%H:%M:%SZ}"),
        running=running(soonest)
        if now and soonest and soonest <= now
        else created.apply(lambda text: running(ends(text))),
    )


def cost_guard(context: StackContext, resizes: Mapping[str, Resize]) -> CostGuard:
    """Expiry, budget and business hours, before there are servers.

    Args:
        resizes: of each group of machines the call that ends and starts its servers; none where none from outside can,
            and no setting asks for it.
    """
    settings, guard = context.settings, context.settings.cost_guard
    return CostGuard(
        context.name,
        CostGuardArgs(
            stack=context.stack,
            region=settings.region,
            account_id=context.network.account_id,
            resizes={model: (resize, lifetime.size(settings.groups[model])) for model, resize in resizes.items()},
            expires_at=context.times.ends,
            now=context.now,
            monthly_budget_usd=guard.monthly_budget_usd,
            alert_emails=guard.alert_emails,
            alert_hooks=settings.alarms.hooks,
            business_hours=BusinessHours.between(guard.business_hours) if guard.business_hours else None,
            workspace_alerts=settings.metrics.managed_prometheus and settings.alarmed,
        ),
        context.here,
    )


def watched(context: StackContext) -> list[Watched]:
    """The models of the stack, with what is promised of them."""
    return watched_of(context.settings, context.stack, context.sized)


def dashboard(context: StackContext) -> None:
    """Of all models, where the settings have one."""
    if context.settings.has_dashboard:
        settings, models = context.settings, watched(context)
        Dashboard(
            context.name, models, context.stack_id, settings.region, context.here, context.gateway_figures or None
        )


def alarms(context: StackContext, guard: CostGuard) -> None:
    """Of the certificate and of each model, to the topic of the guard; none where the settings want none."""
    settings = context.settings
    if not settings.alarmed:
        return
    told = settings.metrics.cloudwatch
    models = {model.name: model.alarms for model in watched(context)} if told else {}
    Alarms(
        context.name,
        AlarmsArgs(
            stack=context.stack,
            stack_id=context.stack_id,
            models=models,
            certificate_arn=context.balancer.certificate_arn,
            topic_arn=guard.topic_arn,
            gateway=[
                (alarm, context.gateway_figures[of])
                for of, alarm in (gateway_alarms.alarms(settings.gateway, context.stack) if settings.gateway else ())
            ],
        ),
        context.here,
    )
