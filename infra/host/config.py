"""What a GPU host must know, as plain values. Nothing here is secret: the host reads secrets by their ARN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from infra.catalog.instances import InstanceType


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What vLLM serves and how. Unset numbers leave the choice to vLLM.

    Attributes:
        image: container image, `repository@sha256:...`, or `repository:tag` while it is not pinned.
        minimum_driver_branch: oldest NVIDIA driver branch that the image's CUDA runs on (580 for CUDA 13).
        model: Hugging Face model id, organisation/name.
        revision: commit hash of the model; None takes what `main` is on the day.
        manifest: SHA-256 of the list of its files with their hashes; None takes what the hub says on the day.
        weights: nvme: downloaded once to EFS, copied to each host's NVMe; efs: read in place; s3: streamed.
        weights_s3_uri: where the weights are for `s3`.
        served_model_name: what clients send as `model`.
        pipeline_parallel_size: hosts that one replica spans.
        gpu_memory_utilization: share of GPU memory that vLLM budgets, 0 to 1.
        max_num_seqs: requests of a batch; None for vLLM's own on the GPU.
        max_queued_requests: requests of a replica that wait beside the batch; more get 503.
    """

    image: str
    model: str
    revision: str | None
    manifest: str | None = None
    served_model_name: str
    minimum_driver_branch: int = 580
    weights: Literal["efs", "nvme", "s3"] = "nvme"
    weights_s3_uri: str | None = None
    quantization: str | None = None
    pipeline_parallel_size: int = 1
    kv_cache_dtype: str = "auto"
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_queued_requests: int = 256
    tool_call_parser: str | None = None
    reasoning_parser: str | None = None


@dataclass(frozen=True, kw_only=True)
class Edge:
    """nginx on the host: what it lets in, and how much of it.

    Attributes:
        paths: what is forwarded; a last `/*` stands for one more segment. All else is 404.
        trusted_proxies: networks whose X-Forwarded-For names the client: the load balancer's subnets.
        port: TCP port that the load balancer connects to.
        requests_per_second: per client address, with as many again at once; above this: 429.
        connections: requests at once per client address; above this: 429.
        max_body_mib: largest request body in MiB; above this: 413.
    """

    paths: Sequence[str]
    trusted_proxies: Sequence[str] = ()
    port: int = 8080
    requests_per_second: int = 20
    connections: int = 64
    max_body_mib: int = 16


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds. The settings check that each link of the chain outlasts the one before it.

    Attributes:
        edge_keepalive: nginx keeps idle connections from the load balancer open so long.
        server_keepalive: vLLM keeps idle connections from nginx open so long.
        longest_generation: the longest answer: nginx waits so long for a byte, a stopping vLLM for its requests.
        deregistration_delay: the load balancer lets running requests end for so long.
        termination_grace: all that a leaving host gets.
        launch: a host that has made no token by then is given up.
        heartbeat: heartbeat timeout of both lifecycle hooks.
    """

    edge_keepalive: int = 320
    server_keepalive: int = 330
    longest_generation: int = 300
    deregistration_delay: int = 300
    termination_grace: int = 420
    launch: int = 3600
    heartbeat: int = 600


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
        stack: name of the stack; names log streams.
        region: AWS region.
        instance_types: what the group may start; another type is refused by the host.
        launch_hook_name: lifecycle hook that holds a new host until it has made a token.
        terminate_hook_name: lifecycle hook that holds a leaving host until it has drained.
        target_group_arn: the load balancer's target group; the host leaves it by itself.
        log_group_name: CloudWatch log group of the servers' logs.
        api_keys_secret_arn: secret whose text is a JSON object, client name to API key.
        hugging_face_token_secret_arn: secret whose text is the token; None for ungated models.
        scripts_url: of the object with what hosts run, named by its SHA-256.
        efs_file_system_id: shared model cache; None keeps everything on the host.
        efs_access_point_id: access point of the cache.
        endpoint_url: one address for all AWS services; None for the real ones (the SDKs' AWS_ENDPOINT_URL).
        hub_url: Hugging Face hub, or a mirror of it.
        registry_mirror: a pull-through cache of docker.io, which Docker asks first; None asks docker.io itself.
        registry_login_secret_arn: secret with the login of the image's registry; None pulls anonymously.
    """

    stack: str
    region: str
    instance_types: Sequence[InstanceType]
    launch_hook_name: str
    terminate_hook_name: str
    target_group_arn: str
    log_group_name: str
    api_keys_secret_arn: str
    scripts_url: str
    engine: Engine
    edge: Edge
    hugging_face_token_secret_arn: str | None = None
    efs_file_system_id: str | None = None
    efs_access_point_id: str | None = None
    packages: Packages
    timeouts: Timeouts = field(default_factory=Timeouts)
    endpoint_url: str | None = None
    hub_url: str = "https://huggingface.co"
    registry_mirror: str | None = None
    registry_login_secret_arn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What an instance type needs of the host.

    Attributes:
        gpus: number of GPUs; the host refuses to go on with another number.
        driver_packages: with open or proprietary kernel modules, and Fabric Manager, without which
            NVSwitch types do not join their GPUs; from NVLink 5 on it needs a subnet manager.
        arguments: vLLM arguments of this type.
        environment: environment of the servers of this type.
        over_pcie: its GPUs reach each other over PCIe, where a start may hang; it is tried again without.
    """

    gpus: int
    driver_packages: Sequence[str]
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    over_pcie: bool = False
