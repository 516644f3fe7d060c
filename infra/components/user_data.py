"""What the hosts of a fleet run first: rendered once the resources that it names are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi

from tandem.host.from_settings import HostResources, host_config
from tandem.host.render import render_user_data
from tandem.pins import Pins
from tandem.settings import Settings
from tandem.sizing.plan import Plan
from tandem.tags import MAIN_MODEL

from .log_group import LogGroup
from .model_cache import ModelCache
from .secrets import Secrets


def user_data(
    settings: Settings,
    pins: Pins,
    plan: Plan,
    *,
    stack: str,
    model: str = MAIN_MODEL,
    load_balancer_networks: Sequence[str],
    target_group_arn: pulumi.Input[str] | None,
    logs: LogGroup,
    stored: Secrets,
    scripts_url: pulumi.Input[str],
    cache: ModelCache,
    remote_write_url: pulumi.Input[str] | None = None,
    batch_bucket_url: pulumi.Input[str] | None = None,
) -> pulumi.Output[bytes]:
    """User data of a launch template, gzip'd.

    Args:
        settings: as the model's own (`Settings.of`).
        plan: what sizing found.
        load_balancer_networks: ranges of the load balancer's subnets, whose X-Forwarded-For is believed.
        target_group_arn: where hosts register; None for a batch's machines, which have no clients either.
        remote_write_url: of the stack's own workspace of Amazon Managed Prometheus; None without.
        batch_bucket_url: of a batch's machines; None for hosts that serve.
    """

    def render(resources: dict[str, Any]) -> bytes:
        return render_user_data(
            host_config(
                settings,
                pins,
                plan,
                stack=stack,
                model=model,
                load_balancer_networks=load_balancer_networks,
                resources=HostResources(**resources),
            )
        )

    return pulumi.Output.all(
        target_group_arn=target_group_arn or "",
        log_group_name=logs.name,
        keys_secret_arns=stored.keys_secret_arns if target_group_arn is not None else [],
        scripts_url=scripts_url,
        hugging_face_token_secret_arn=stored.hugging_face_token_secret_arn,
        efs_file_system_id=cache.file_system_id,
        efs_access_point_id=cache.access_point_id,
        remote_write_url=remote_write_url,
        batch_bucket_url=batch_bucket_url,
    ).apply(render)
