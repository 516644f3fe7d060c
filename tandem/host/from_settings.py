"""From a stack's settings and pins to what its hosts must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.edge import edge_of
from tandem.host.config import HostConfig, Packages, Pinned
from tandem.pins import Package, Pins
from tandem.rollout import LAUNCH_HOOK, TERMINATE_HOOK
from tandem.scaling import FAST_FIGURES
from tandem.serving.engine import engine, timeouts
from tandem.settings import Settings
from tandem.sizing.plan import Plan
from tandem.tags import MAIN_MODEL


@dataclass(frozen=True, kw_only=True)
class HostResources:
    """Names and ids that are known once the stack's other resources are. None of them is secret.

    Attributes:
        remote_write_url: of the stack's own workspace of Amazon Managed Prometheus; None without.
        batch_bucket_url: of a batch's machines, which serve nobody; None for servers.
    """

    target_group_arn: str
    log_group_name: str
    keys_secret_arns: Sequence[str]
    scripts_url: str
    hugging_face_token_secret_arn: str | None
    efs_file_system_id: str
    efs_access_point_id: str
    remote_write_url: str | None = None
    batch_bucket_url: str | None = None


def host_config(
    settings: Settings,
    pins: Pins,
    plan: Plan,
    *,
    stack: str,
    load_balancer_networks: Sequence[str],
    resources: HostResources,
    model: str = MAIN_MODEL,
) -> HostConfig:
    """The configuration of the hosts of one model.

    Args:
        settings: as the model's own (`Settings.of`).
        plan: what sizing found; gives the share of GPU memory where the settings leave it open.
        load_balancer_networks: ranges of the load balancer's subnets, whose X-Forwarded-For is believed.
    """
    region = workspace.region if (workspace := settings.metrics.workspace) else None
    return HostConfig(
        stack=stack,
        model=model,
        region=settings.region,
        instance_types=[INSTANCE_TYPES[name] for name in settings.fleet.instance_types],
        launch_hook_name=LAUNCH_HOOK,
        terminate_hook_name=TERMINATE_HOOK,
        target_group_arn=resources.target_group_arn,
        log_group_name=resources.log_group_name,
        keys_secret_arns=resources.keys_secret_arns,
        scripts_url=resources.scripts_url,
        hugging_face_token_secret_arn=resources.hugging_face_token_secret_arn,
        registry_mirror=settings.fleet.registry_mirror,
        registry_login_secret_arn=settings.fleet.registry_login_secret_arn,
        efs_file_system_id=resources.efs_file_system_id,
        efs_access_point_id=resources.efs_access_point_id,
        engine=engine(settings, settings.inference, pins, plan),
        edge=edge_of(settings, load_balancer_networks),
        metrics=settings.metrics.cloudwatch,
        fast_figures=FAST_FIGURES if settings.follows_load else (),
        remote_write_url=resources.remote_write_url or settings.metrics.remote_write,
        remote_write_region=settings.region if resources.remote_write_url else region,
        batch_bucket_url=resources.batch_bucket_url,
        timeouts=timeouts(settings),
        packages=Packages(
            driver_branch=pins.nvidia_driver.branch,
            driver_version=pins.nvidia_driver.version,
            toolkit=_pinned(pins.container_toolkit),
            docker=_pinned(pins.docker),
            containerd=_pinned(pins.containerd),
            subnet_manager=_pinned(pins.nvlink_subnet_manager),
            efs_utils=pins.efs_utils.file,
        ),
    )


def _pinned(package: Package) -> Pinned:
    return Pinned(names=package.packages, version=package.version)
