"""Renders cloud-init/ for one launch template. Pure: configuration in, text or bytes out, the same bytes each time."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import zopfli.gzip

from tandem.alarms import dimensions
from tandem.catalog.instances import InstanceType
from tandem.edge import EDGE_COMMAND, render_edge
from tandem.errors import UserError
from tandem.host.config import HostConfig, Pinned
from tandem.ports import EDGE_AGENT_PORT, SERVER_PORT
from tandem.scripts import DIRECTORY, sources, without_remarks
from tandem.serving.engine import Profile, told
from tandem.serving.vllm import (
    HOSTS_HUB,
    admission_arguments,
    profile,
    requests_at_once,
    server_environment,
    vllm_arguments,
)
from tandem.tasks import probe
from tandem.templates import filled_in

EC2_LIMIT_BYTES = 16_384
"""EC2's limit on user data before base64 (EC2 user guide); cloud-init unpacks gzip."""

FIRST_PORT = 8001
"""The first replica listens here on the loopback interface, the next one port higher."""

METRICS_AGENT = "victoria-metrics"
"""Ubuntu's package with vmagent: its prometheus has the signer patched out, and signs nothing."""

DISTRIBUTION_PACKAGES = ("nginx", "libnginx-mod-http-js", "nfs-common", "mdadm")
"""Of Ubuntu's archive, which drops a version when the next one is there: the newest on the day, then held."""

FIRST = ("unpack.py", "aws.py", "host.py", "basics.py", "sigv4.py")
"""The scripts in user data: what the others take to come."""

OF_A_BAKE = (
    *("bake.py", "aws.py", "basics.py", "cache.py", "driver.py", "gate.py", "host.py", "hub.py", "manifest.py"),
    *("packages.py", "sigv4.py", "storage.py", "toolkit.py", "weights.py"),
)
"""A bake has all its scripts in user data: it needs no stack that is up, and no role."""

DRIVER_PACKAGES = ("nvidia-open", "cuda-drivers", "nvidia-fabricmanager")
"""Those that hosts install by name; all are of the driver's version."""


def _scripts(*names: str) -> dict[str, str]:
    """These modules of hosts and bakes, where a machine has them; remarks come with the archive."""
    return {f"/opt/tandem/{name}": without_remarks(sources("host", "shared", "bake")[name]) for name in names}


def render_nginx(config: HostConfig, *, compose_replicas: int = 0) -> str:
    """nginx.conf of a host, or of a compose project with so many replicas."""
    return render_edge(
        config.edge,
        config.timeouts,
        place="compose" if compose_replicas else "host",
        servers=[f"vllm-{number}:{SERVER_PORT}" for number in range(compose_replicas)],
        requests=requests_at_once(config.engine, config.instance_types[:1])[1],
    )


def render_pins(config: HostConfig) -> str:
    """apt preferences of what the driver brings along, which no host names; above 1000 an older one is taken, too."""
    packages = config.packages
    driver = f"{packages.driver_version}-*" if packages.driver_version else f"{packages.driver_branch}.*"
    return f"Package: *nvidia* cuda-drivers*\nPin: version {driver}\nPin-Priority: 1001\n"


def _exact(config: HostConfig) -> dict[str, str]:
    """Upstream version of each package that these hosts install by name, for what is pinned."""
    packages = config.packages
    driver = Pinned(names=DRIVER_PACKAGES, version=packages.driver_version or f"{packages.driver_branch}.*")
    pinned = (driver, packages.toolkit, packages.docker, packages.containerd, packages.subnet_manager)
    versions = {name: one.version for one in pinned if one.version for name in one.names}
    needed = [
        *_host_packages(config),
        *(name for item in config.instance_types for name in _needs(config, item).driver_packages),
    ]
    return {name: version for name, version in versions.items() if name in needed}


def _host_packages(config: HostConfig) -> list[str]:
    """All but the driver's."""
    packages = config.packages
    agent = [METRICS_AGENT] if config.remote_write_url else []
    named = (packages.toolkit, packages.docker, packages.containerd)
    return [*(name for pinned in named for name in pinned.names), *DISTRIBUTION_PACKAGES, *agent]


def _profiles(config: HostConfig) -> dict[str, dict[str, Any]]:
    return {item.name: _profile(config, item) for item in config.instance_types}


def _needs(config: HostConfig, item: InstanceType) -> Profile:
    needs = profile(item, config.packages.driver_branch, config.engine.tensor_parallel_size)
    return replace(needs, arguments=[*needs.arguments, *admission_arguments(config.engine, [item])])


def _profile(config: HostConfig, item: InstanceType) -> dict[str, Any]:
    """What a host of this type reads; `requests` is what nginx lets through to each of its replicas at once."""
    found = asdict(_needs(config, item)) | {"requests": requests_at_once(config.engine, [item])[1]}
    return {key: value for key, value in found.items() if value}


def _host_json(config: HostConfig) -> str:
    engine, packages = config.engine, config.packages
    values = {
        "region": config.region,
        "domain": "amazonaws.com.cn" if config.region.startswith("cn-") else "amazonaws.com",
        "endpoint_url": config.endpoint_url,
        "scripts_url": config.scripts_url,
        "hub_url": config.hub_url,
        "hooks": {"Pending:Wait": config.launch_hook_name, "Terminating:Wait": config.terminate_hook_name},
        "target_group_arn": config.target_group_arn,
        "keys_arns": list(config.keys_secret_arns),
        "token_arn": config.hugging_face_token_secret_arn,
        "registry_login_arn": config.registry_login_secret_arn,
        "efs": config.efs_file_system_id
        and {
            "id": config.efs_file_system_id,
            "access_point_id": config.efs_access_point_id,
            "helper": packages.efs_utils,
        },
        "driver_branch": packages.driver_branch,
        "minimum_driver_branch": engine.minimum_driver_branch,
        "repositories": [asdict(repository) for repository in packages.repositories],
        "host_packages": _host_packages(config),
        "pins": _exact(config),
        "instance_types": _profiles(config),
        "engine": {
            "image": engine.image,
            "model": engine.model,
            "revision": engine.revision,
            "manifest": engine.manifest,
            "weights": engine.weights,
            **told(engine.adapters, engine.draft),
        },
        "gpus_each": engine.tensor_parallel_size,
        "arguments": vllm_arguments(engine, config.timeouts),
        "environment": {
            **server_environment(config.timeouts, engine),
            "HF_HUB_CACHE": HOSTS_HUB,
            "HF_HUB_OFFLINE": "1",  # everything was fetched and checked before
            "VLLM_CACHE_ROOT": "/cache",
            # The server's user has no home.
            **({"HF_MODULES_CACHE": "/tmp/modules"} if engine.trust_remote_code else {}),  # noqa: S108
        },
        "first_port": FIRST_PORT,
        "port": config.edge.port,
        "agent_port": EDGE_AGENT_PORT,
        "metrics": dimensions(config.stack, config.model) if config.metrics else None,
        **_remote_write(config),
        **({"batch": config.batch_bucket_url} if config.batch_bucket_url else {}),
        **({"warm": config.edge.routing.up_to_requests} if config.edge.routing else {}),
        **({"fast_figures": [*config.fast_figures]} if config.fast_figures else {}),
        "probe": probe(engine.task, engine.served_model_name, config.edge.paths),
        "timeouts": {
            "launch": config.timeouts.launch,
            "heartbeat": config.timeouts.heartbeat,
            "deregistration_delay": config.timeouts.deregistration_delay,
            "termination_grace": config.timeouts.termination_grace,
        },
        "log_options": {
            "awslogs-group": config.log_group_name,
            "awslogs-region": config.region,
            "mode": "non-blocking",
            **({"awslogs-endpoint": config.endpoint_url} if config.endpoint_url else {}),
        },
    }
    compact = json.JSONEncoder(separators=(",", ":")).encode
    lines = (f"{compact(key)}:{compact(value)}" for key, value in values.items())
    return "{" + ",\n".join(lines) + "}\n"


def _remote_write(config: HostConfig) -> dict[str, Any]:
    if config.remote_write_url is None:
        return {}
    labels = {"stack": config.stack, "model": config.model}
    return {"remote_write": {"url": config.remote_write_url, "region": config.remote_write_region, "labels": labels}}


def _daemon_json(config: HostConfig) -> str:
    mirrors = {"registry-mirrors": [config.registry_mirror]} if config.registry_mirror else {}
    return json.dumps({"features": {"cdi": True}, **mirrors}) + "\n"


def render_files(config: HostConfig) -> dict[str, str]:
    """Every file that user data writes on a host: path to content. For golden files and `tandem render`."""
    replicas = max(item.servers(config.engine.tensor_parallel_size) for item in config.instance_types)
    units = sorted((DIRECTORY / "units").iterdir())
    if config.remote_write_url is None:
        units.remove(DIRECTORY / "units/tandem-metrics.service")
    if config.batch_bucket_url is None:
        units.remove(DIRECTORY / "units/tandem-batch@.service")
    return {
        "/etc/tandem/host.json": _host_json(config),
        "/etc/apt/preferences.d/tandem": render_pins(config),
        **{
            f"/etc/{path}": filled_in(f"etc/{path}")
            for path in (
                "logrotate.d/tandem",
                "needrestart/conf.d/tandem.conf",
                "systemd/system/apt-daily-upgrade.service.d/tandem.conf",
            )
        },
        "/etc/docker/daemon.json": _daemon_json(config),
        **{
            f"/etc/systemd/system/{unit.name}": filled_in(
                f"units/{unit.name}", timeouts=config.timeouts, replicas=replicas
            )
            for unit in units
        },
        **_scripts(*FIRST),
    }


def render_cloud_config(config: HostConfig) -> str:
    """The cloud-config document, before it is compressed."""
    return filled_in(
        "cloud-config.yaml.j2", files=render_files(config), start="systemctl enable --now --no-block tandem-boot"
    )


def render_bake_user_data(config: HostConfig, *, weights: bool) -> bytes:
    """User data of the instance that `tandem image bake` makes a machine image of.

    Args:
        weights: download the model into the image, too.
    """
    start = "systemd-run --no-block --unit tandem-bake python3 /opt/tandem/bake.py" + (" weights" if weights else "")
    serving = ("/etc/systemd/", "/etc/logrotate.d/", "/opt/")
    files = {path: text for path, text in render_files(config).items() if not path.startswith(serving)}
    files |= _scripts(*OF_A_BAKE)
    return _compressed(filled_in("cloud-config.yaml.j2", files=files, start=start))


def render_user_data(config: HostConfig) -> bytes:
    """User data for a launch template: the gzip bytes, still to be base64-encoded.

    Raises:
        UserError: when they exceed EC2_LIMIT_BYTES, with the figure.
    """
    return _compressed(render_cloud_config(config))


def _compressed(document: str) -> bytes:
    # The default of 15 rounds takes twice the time and saves two bytes.
    data = zopfli.gzip.compress(document.encode(), numiterations=5)
    if len(data) > EC2_LIMIT_BYTES:
        raise UserError.of(
            key="user data",
            wrong="is too large for EC2",
            value=f"{len(data):,} bytes",
            allowed=f"up to {EC2_LIMIT_BYTES:,} bytes of gzip",
            fix="list fewer fleet.instanceTypes, or shorten cloud-init/",
        )
    return data


def render_compose(config: HostConfig, *, edge_image: str) -> str:
    """compose.yaml for a plain GPU box like the first instance type; nginx.conf and what pods run go beside it."""
    box, engine = config.instance_types[0], config.engine
    needs = _needs(config, box)
    hub = "/models/hub"
    offline = {"HF_HUB_CACHE": hub, "HF_HUB_OFFLINE": "1"}
    return filled_in(
        "compose.yaml.j2",
        edge=config.edge,
        timeouts=config.timeouts,
        replicas=box.servers(engine.tensor_parallel_size),
        gpus=engine.tensor_parallel_size,
        image=config.engine.image,
        edge_image=edge_image,
        edge_command=EDGE_COMMAND,
        arguments=[*vllm_arguments(config.engine, config.timeouts, hub), *needs.arguments],
        judged=bool(engine.guesses_pay),
        environment={**server_environment(config.timeouts, engine), **needs.environment, **offline},
        minimum_driver_branch=engine.minimum_driver_branch,
        pod={
            "model": engine.model,
            "revision": engine.revision,
            "manifest": engine.manifest,
            "weights": "s3" if engine.weights == "s3" else "efs",
            "minimum_driver_branch": engine.minimum_driver_branch,
            "launch_seconds": config.timeouts.launch,
            "served_model_name": engine.served_model_name,
            "agent_port": EDGE_AGENT_PORT,
            "metrics": None,
            **told(engine.adapters, engine.draft),
        },
        secrets={"keys": ["/run/clients/keys.json"], "hubToken": None},
    )
