"""GPU instance types that tandem knows: their hardware, from AWS's instance-type pages. Prices are in prices.py."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches

from tandem.catalog import prices
from tandem.errors import Problem

GPUS_PER_REPLICA = 2
"""Of one vLLM server, where `inference.tensorParallelSize` says nothing else."""


@dataclass(frozen=True, kw_only=True)
class InstanceType:
    """One EC2 instance type.

    Attributes:
        gpu_mib: memory of one GPU in MiB, as the driver reports it.
        compute_capability: CUDA compute capability (8.9 = Ada).
        memory_gib: host memory in GiB.
        nvme_gb: instance-store NVMe in GB, all drives together; 0 when there is none.
        nvswitch: GPUs are joined by NVSwitch, which needs Fabric Manager on the host.
        usd_per_hour: on demand, in us-east-1 where no region is named.
    """

    name: str
    gpu: str
    gpus: int
    gpu_mib: int
    compute_capability: float
    vcpus: int
    memory_gib: int
    nvme_gb: int
    usd_per_hour: float = 0.0
    nvswitch: bool = False

    def servers(self, gpus: int) -> int:
        """vLLM servers that one host runs, of so many GPUs each."""
        return self.gpus // gpus

    @property
    def nvlink_subnet_manager(self) -> bool:
        """NVLink 5 (NVSwitch from Blackwell on): Fabric Manager needs nvlsm, mlx5_ib and ib_umad beside it."""
        return self.nvswitch and self.compute_capability >= 10

    @property
    def open_kernel_modules_required(self) -> bool:
        """Blackwell (compute capability 10 and up) has no proprietary kernel modules."""
        return self.compute_capability >= 10


def _catalog(*types: InstanceType) -> dict[str, InstanceType]:
    return {one.name: replace(one, usd_per_hour=prices.on_demand(one.name, prices.HOME)) for one in types}


# fmt: off
INSTANCE_TYPES = _catalog(
    InstanceType(name="g4dn.12xlarge", gpu="T4", gpus=4, gpu_mib=16384, compute_capability=7.5, vcpus=48, memory_gib=192, nvme_gb=900),  # noqa: E501
    InstanceType(name="g5.12xlarge", gpu="A10G", gpus=4, gpu_mib=22888, compute_capability=8.6, vcpus=48, memory_gib=192, nvme_gb=3800),  # noqa: E501
    InstanceType(name="g5.24xlarge", gpu="A10G", gpus=4, gpu_mib=22888, compute_capability=8.6, vcpus=96, memory_gib=384, nvme_gb=3800),  # noqa: E501
    InstanceType(name="g5.48xlarge", gpu="A10G", gpus=8, gpu_mib=22888, compute_capability=8.6, vcpus=192, memory_gib=768, nvme_gb=7600),  # noqa: E501
    InstanceType(name="g6.12xlarge", gpu="L4", gpus=4, gpu_mib=22888, compute_capability=8.9, vcpus=48, memory_gib=192, nvme_gb=3760),  # noqa: E501
    InstanceType(name="g6.24xlarge", gpu="L4", gpus=4, gpu_mib=22888, compute_capability=8.9, vcpus=96, memory_gib=384, nvme_gb=3760),  # noqa: E501
    InstanceType(name="g6.48xlarge", gpu="L4", gpus=8, gpu_mib=22888, compute_capability=8.9, vcpus=192, memory_gib=768, nvme_gb=7520),  # noqa: E501
    InstanceType(name="g6e.12xlarge", gpu="L40S", gpus=4, gpu_mib=45776, compute_capability=8.9, vcpus=48, memory_gib=384, nvme_gb=3800),  # noqa: E501
    InstanceType(name="g6e.24xlarge", gpu="L40S", gpus=4, gpu_mib=45776, compute_capability=8.9, vcpus=96, memory_gib=768, nvme_gb=3800),  # noqa: E501
    InstanceType(name="g6e.48xlarge", gpu="L40S", gpus=8, gpu_mib=45776, compute_capability=8.9, vcpus=192, memory_gib=1536, nvme_gb=7600),  # noqa: E501
    InstanceType(name="g7.12xlarge", gpu="RTX PRO 4500", gpus=2, gpu_mib=32768, compute_capability=12.0, vcpus=48, memory_gib=192, nvme_gb=1900),  # noqa: E501
    InstanceType(name="g7e.12xlarge", gpu="RTX PRO 6000", gpus=2, gpu_mib=98304, compute_capability=12.0, vcpus=48, memory_gib=512, nvme_gb=3800),  # noqa: E501
    InstanceType(name="g7e.24xlarge", gpu="RTX PRO 6000", gpus=4, gpu_mib=98304, compute_capability=12.0, vcpus=96, memory_gib=1024, nvme_gb=7600),  # noqa: E501
    InstanceType(name="g7e.48xlarge", gpu="RTX PRO 6000", gpus=8, gpu_mib=98304, compute_capability=12.0, vcpus=192, memory_gib=2048, nvme_gb=15200),  # noqa: E501
    InstanceType(name="p4d.24xlarge", gpu="A100", gpus=8, gpu_mib=40960, compute_capability=8.0, vcpus=96, memory_gib=1152, nvme_gb=8000, nvswitch=True),  # noqa: E501
    InstanceType(name="p4de.24xlarge", gpu="A100", gpus=8, gpu_mib=81920, compute_capability=8.0, vcpus=96, memory_gib=1152, nvme_gb=8000, nvswitch=True),  # noqa: E501
    InstanceType(name="p5.48xlarge", gpu="H100", gpus=8, gpu_mib=81920, compute_capability=9.0, vcpus=192, memory_gib=2048, nvme_gb=30400, nvswitch=True),  # noqa: E501
    InstanceType(name="p5en.48xlarge", gpu="H200", gpus=8, gpu_mib=144384, compute_capability=9.0, vcpus=192, memory_gib=2048, nvme_gb=30400, nvswitch=True),  # noqa: E501
    InstanceType(name="p6-b200.48xlarge", gpu="B200", gpus=8, gpu_mib=183359, compute_capability=10.0, vcpus=192, memory_gib=2048, nvme_gb=30400, nvswitch=True),  # noqa: E501
    InstanceType(name="p6-b300.48xlarge", gpu="B300", gpus=8, gpu_mib=275040, compute_capability=10.3, vcpus=192, memory_gib=4096, nvme_gb=30720, nvswitch=True),  # noqa: E501
)
# fmt: on


def nearest_names(wanted: str, limit: int = 3) -> list[str]:
    """Known instance types closest to what was written, best first."""
    return get_close_matches(wanted, INSTANCE_TYPES, n=limit, cutoff=0.4) or sorted(INSTANCE_TYPES)[:limit]


def unknown_type_problem(key: str, name: str) -> Problem:
    """The problem to report for an instance type that the catalog lacks."""
    return Problem(
        key=key,
        wrong="this instance type is not in the catalog",
        value=name,
        allowed=", ".join(INSTANCE_TYPES),
        fix=f"use {' or '.join(nearest_names(name))}, or add the type to tandem/catalog/instances.py with its source",
    )
