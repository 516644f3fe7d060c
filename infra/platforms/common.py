"""What both platforms build on, and build alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import pulumi
import pulumiverse_time as time

from infra import lifetime
from infra.components.cost_guard import BusinessHours, CostGuard, CostGuardArgs, Resize
from infra.components.load_balancer import LoadBalancer
from infra.components.model_cache import ModelCache, ModelCacheArgs
from infra.components.network import Network
from infra.components.secrets import Secrets, SecretsArgs
from infra.pins import Pins
from infra.settings import Settings
from infra.sizing.plan import Plan
from infra.subnets import public_range


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
class Common:
    """What is there before the servers.

    Attributes:
        name: prefix of resources. stack: its name.
        stack_id: of this life of the stack; in names that the account has once, and would otherwise be shared.
        tags: of what the provider's default tags do not reach.
        here: options that place a resource in the stack's region.
        times: when the servers run.
        now: the moment of this `up`.
    """

    name: str
    stack: str
    settings: Settings
    pins: Pins
    plan: Plan
    stack_id: pulumi.Output[str]
    tags: Mapping[str, pulumi.Input[str]]
    network: Network
    balancer: LoadBalancer
    here: pulumi.ResourceOptions
    times: Times
    now: datetime | None

    @property
    def load_balancer_networks(self) -> list[str]:
        """In which the load balancer's subnets are, and with any zone more will be: what hosts run says so."""
        return [str(public_range(self.settings.network.cidr_block))]


def model_cache(common: Common, role_arn: pulumi.Input[str]) -> ModelCache:
    """The cache, open to one role."""
    settings, network = common.settings, common.network
    return ModelCache(
        common.name,
        ModelCacheArgs(
            subnet_ids=network.host_subnet_ids,
            security_group_id=network.cache_security_group_id,
            host_role_arn=role_arn,
            provisioned_mibps=settings.model_cache.provisioned_mibps,
            infrequent_access_after_days=settings.model_cache.infrequent_access_after_days,
            keep_on_destroy=not settings.ephemeral,
            file_system_id=settings.model_cache.file_system_id,
        ),
        common.here,
    )


def secrets(common: Common, reader_role_name: pulumi.Input[str]) -> Secrets:
    """API keys and token, readable by one role."""
    settings = common.settings
    token = settings.hugging_face_token
    return Secrets(
        common.name,
        SecretsArgs(
            reader_role_name=reader_role_name,
            hugging_face_token=pulumi.Output.secret(token.get_secret_value()) if token else None,
            api_keys={
                client: pulumi.Output.secret(key.get_secret_value()) for client, key in settings.api_keys.items()
            },
            others=[arn for arn in [settings.fleet.registry_login_secret_arn] if arn],
            recovery_window_days=0 if settings.ephemeral else 30,
        ),
        common.here,
    )


def api_key_command(settings: Settings, stored: Secrets) -> pulumi.Output[str]:
    """The command that shows the keys to whoever may see them."""
    return pulumi.Output.format(
        "aws secretsmanager get-secret-value --region {0} --secret-id {1} --query SecretString --output text",
        settings.region,
        stored.api_keys_secret_name,
    )


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
    return Times(
        ends=created.apply(lambda text: f"{ends(text):%Y-%m-%dT%H:%M:%SZ}"),
        running=created.apply(lambda text: running(ends(text))),
    )


def cost_guard(common: Common, resize: Resize | None) -> CostGuard:
    """Expiry, budget and business hours, before there are servers.

    Args:
        resize: the call that ends and starts the servers; None where none from outside can, and no setting asks for it.
    """
    settings, guard = common.settings, common.settings.cost_guard
    return CostGuard(
        common.name,
        CostGuardArgs(
            stack=common.stack,
            region=settings.region,
            account_id=common.network.account_id,
            resize=resize,
            size=lifetime.size(settings),
            expires_at=common.times.ends,
            now=common.now,
            monthly_budget_usd=guard.monthly_budget_usd,
            alert_emails=guard.alert_emails,
            business_hours=BusinessHours.between(guard.business_hours) if guard.business_hours else None,
        ),
        common.here,
    )
