"""What a GPU host must know, as plain values. Nothing here is secret: the host reads secrets by their ARN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tandem.catalog.instances import InstanceType
from tandem.edge import Edge
from tandem.serving.engine import Engine, Timeouts
from tandem.tags import MAIN_MODEL


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A signed Debian package repository.

    Attributes:
        name: of its file in /etc/apt/sources.list.d.
        source: what follows `deb [signed-by=...]`: address, suite, components.
        key_url: its public key, in ASCII armour.
        fingerprint: of that key, 40 hexadecimal digits; another key is refused.
    """

    name: str
    source: str
    key_url: str
    fingerprint: str


REPOSITORIES = (
    # Fingerprints as the vendors' installation guides print them.
    Repository(
        name="nvidia-driver",
        source="https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64/ /",
        key_url="https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64/3bf863cc.pub",
        fingerprint="EB693B3035CD5710E231E123A4B469963BF863CC",
    ),
    Repository(
        name="nvidia-container-toolkit",
        source="https://nvidia.github.io/libnvidia-container/stable/deb/amd64 /",
        key_url="https://nvidia.github.io/libnvidia-container/gpgkey",
        fingerprint="C95B321B61E88C1809C4F759DDCAE044F796ECB0",
    ),
    Repository(
        name="docker",
        source="https://download.docker.com/linux/ubuntu noble stable",
        key_url="https://download.docker.com/linux/ubuntu/gpg",
        fingerprint="9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """Packages at one upstream version, without epoch and revision. An empty version takes the newest."""

    names: Sequence[str]
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Packages:
    """Pinned packages of a host.

    Attributes:
        driver_branch: NVIDIA driver branch, such as 580.
        driver_version: upstream version of the driver and of Fabric Manager; empty takes the newest of the branch.
        toolkit: NVIDIA's container toolkit.
        docker: the engine and its command.
        containerd: which Docker keeps its images in, from release 29 on.
        subnet_manager: of NVLink 5; installed only on types that have it.
        efs_utils: address of the EFS mount helper's package, `#sha256=` and its checksum; empty while not pinned.
        repositories: where the packages come from, beside the distribution's own.
    """

    toolkit: Pinned
    docker: Pinned
    containerd: Pinned
    subnet_manager: Pinned
    driver_branch: int = 580
    driver_version: str = ""
    efs_utils: str = ""
    repositories: Sequence[Repository] = REPOSITORIES


@dataclass(frozen=True, kw_only=True)
class HostConfig:
    """One launch template's hosts. Several instance types may share it.

    The host learns its Auto Scaling group from the API, by its own instance id: a launch template that named the
    group would depend on what depends on it.

    Attributes:
        stack: name of the stack.
        model: main, or as the settings name a further one; by it figures are told apart.
        region: AWS region.
        instance_types: what the group may start; another type is refused by the host.
        launch_hook_name: lifecycle hook that holds a new host until it has made a token.
        terminate_hook_name: lifecycle hook that holds a leaving host until it has drained.
        target_group_arn: the load balancer's target group; the host leaves it by itself.
        log_group_name: CloudWatch log group of the servers' logs.
        keys_secret_arns: secrets with clients and digests of their keys, the issued ones first.
        hugging_face_token_secret_arn: secret whose text is the token; None for ungated models.
        scripts_url: of the object with what hosts run, named by its SHA-256.
        efs_file_system_id: shared model cache; None keeps everything on the host.
        efs_access_point_id: access point of the cache.
        endpoint_url: one address for all AWS services; None for the real ones (the SDKs' AWS_ENDPOINT_URL).
        hub_url: Hugging Face hub, or a mirror of it.
        registry_mirror: a pull-through cache of docker.io, which Docker asks first; None asks docker.io itself.
        registry_login_secret_arn: secret with the login of the image's registry; None pulls anonymously.
        metrics: it reports to CloudWatch.
        fast_figures: of these those that leave at each look.
        remote_write_url: where else its metrics go; None for nowhere.
        batch_bucket_url: with the requests that these machines answer, who serve nobody; None for servers.
        remote_write_region: of that workspace of Amazon's, which wants them signed; None for another's Prometheus.
    """

    stack: str
    model: str = MAIN_MODEL
    region: str
    instance_types: Sequence[InstanceType]
    launch_hook_name: str
    terminate_hook_name: str
    target_group_arn: str
    log_group_name: str
    keys_secret_arns: Sequence[str]
    scripts_url: str
    engine: Engine
    edge: Edge
    hugging_face_token_secret_arn: str | None = None
    efs_file_system_id: str | None = None
    efs_access_point_id: str | None = None
    packages: Packages
    timeouts: Timeouts
    endpoint_url: str | None = None
    hub_url: str = "https://huggingface.co"
    registry_mirror: str | None = None
    metrics: bool = True
    fast_figures: Sequence[str] = ()
    remote_write_url: str | None = None
    remote_write_region: str | None = None
    registry_login_secret_arn: str | None = None
    batch_bucket_url: str | None = None
