"""GPU instance types that tandem knows: their hardware. Prices are in prices.py.

Source: what DescribeInstanceTypes says of them, as Karpenter's reference has it (aws/karpenter-provider-aws,
website/content/en/preview/reference/instance-types.md at 1d927085, of 2026-08-21). Peers: as such hosts were reported,
https://github.com/NVIDIA/TensorRT-LLM/issues/1034 (g5), https://github.com/llm-d-incubation/llm-d-infra/pull/181 (g6).
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from tandem.catalog import prices
from tandem.errors import Problem

Peers = Literal["NVSwitch", "none", "unknown"]
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
        network_gbps: in Gbit/s, what it has at all times; small sizes have more for a while.
        efa: interfaces of EFA that it takes.
        peer_to_peer: by what its GPUs read each other's memory; without, all-reduces go through the host's.
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
    network_gbps: float
    efa: int
    peer_to_peer: Peers
    usd_per_hour: float

    def servers(self, gpus: int) -> int:
        """vLLM servers that one host runs, of so many GPUs each."""
        return self.gpus // gpus

    @property
    def nvswitch(self) -> bool:
        """GPUs are joined by NVSwitch, which needs Fabric Manager on the host."""
        return self.peer_to_peer == "NVSwitch"

    @property
    def nvlink_subnet_manager(self) -> bool:
        """NVLink 5 (NVSwitch from Blackwell on): Fabric Manager needs nvlsm, mlx5_ib and ib_umad beside it."""
        return self.nvswitch and self.compute_capability >= 10

    @property
    def has_bfloat16(self) -> bool:
        """vLLM computes in it from compute capability 8.0 on, and in half precision on a T4."""
        return self.compute_capability >= 8


Size = tuple[str, int, int, int, int, float, int]
"""Name, GPUs, vCPUs, GiB of memory, GB of NVMe, Gbit/s of network, EFA interfaces."""


def _family(
    family: str, gpu: str, gpu_mib: int, compute_capability: float, *, peers: Peers = "unknown", sizes: tuple[Size, ...]
) -> list[InstanceType]:
    """Its sizes. One GPU has no peers, and no switch to them."""
    return [
        InstanceType(
            name=(name := f"{family}.{size}"),
            gpu=gpu,
            gpus=gpus,
            gpu_mib=gpu_mib,
            compute_capability=compute_capability,
            vcpus=vcpus,
            memory_gib=memory_gib,
            nvme_gb=nvme_gb,
            network_gbps=network_gbps,
            efa=efa,
            peer_to_peer=peers if gpus > 1 else "none",
            usd_per_hour=prices.on_demand(name, prices.HOME),
        )
        for size, gpus, vcpus, memory_gib, nvme_gb, network_gbps, efa in sizes
    ]


# fmt: off
_TYPES = (
    *_family("g4dn", "T4", 16384, 7.5, sizes=(
        ("xlarge", 1, 4, 16, 125, 5, 0),
        ("2xlarge", 1, 8, 32, 225, 10, 0),
        ("4xlarge", 1, 16, 64, 225, 20, 0),
        ("8xlarge", 1, 32, 128, 900, 50, 1),
        ("12xlarge", 4, 48, 192, 900, 50, 1),
        ("16xlarge", 1, 64, 256, 900, 50, 1),
    )),
    *_family("g5", "A10G", 22888, 8.6, peers="none", sizes=(
        ("xlarge", 1, 4, 16, 250, 2.5, 0),
        ("2xlarge", 1, 8, 32, 450, 5, 0),
        ("4xlarge", 1, 16, 64, 600, 10, 0),
        ("8xlarge", 1, 32, 128, 900, 25, 1),
        ("12xlarge", 4, 48, 192, 3800, 40, 1),
        ("16xlarge", 1, 64, 256, 1900, 25, 1),
        ("24xlarge", 4, 96, 384, 3800, 50, 1),
        ("48xlarge", 8, 192, 768, 7600, 100, 1),
    )),
    *_family("g6", "L4", 22888, 8.9, peers="none", sizes=(
        ("xlarge", 1, 4, 16, 250, 2.5, 0),
        ("2xlarge", 1, 8, 32, 450, 5, 0),
        ("4xlarge", 1, 16, 64, 600, 10, 0),
        ("8xlarge", 1, 32, 128, 900, 25, 1),
        ("12xlarge", 4, 48, 192, 3760, 40, 1),
        ("16xlarge", 1, 64, 256, 1880, 25, 1),
        ("24xlarge", 4, 96, 384, 3760, 50, 1),
        ("48xlarge", 8, 192, 768, 7520, 100, 1),
    )),
    *_family("g6e", "L40S", 45776, 8.9, sizes=(
        ("xlarge", 1, 4, 32, 250, 2.5, 0),
        ("2xlarge", 1, 8, 64, 450, 5, 0),
        ("4xlarge", 1, 16, 128, 600, 20, 0),
        ("8xlarge", 1, 32, 256, 900, 25, 1),
        ("12xlarge", 4, 48, 384, 3800, 100, 1),
        ("16xlarge", 1, 64, 512, 1900, 35, 1),
        ("24xlarge", 4, 96, 768, 3800, 200, 2),
        ("48xlarge", 8, 192, 1536, 7600, 400, 4),
    )),
    *_family("g7", "RTX PRO 4500", 32768, 12.0, sizes=(
        ("2xlarge", 1, 8, 32, 440, 60, 0),
        ("4xlarge", 1, 16, 64, 875, 60, 0),
        ("8xlarge", 1, 32, 128, 930, 80, 1),
        ("12xlarge", 2, 48, 192, 1900, 175, 1),
        ("24xlarge", 4, 96, 384, 3800, 350, 1),
        ("48xlarge", 8, 192, 768, 7600, 700, 2),
    )),
    *_family("g7e", "RTX PRO 6000", 98304, 12.0, sizes=(
        ("2xlarge", 1, 8, 64, 1900, 50, 0),
        ("4xlarge", 1, 16, 128, 1900, 50, 0),
        ("8xlarge", 1, 32, 256, 1900, 100, 1),
        ("12xlarge", 2, 48, 512, 3800, 400, 1),
        ("24xlarge", 4, 96, 1024, 7600, 800, 2),
        ("48xlarge", 8, 192, 2048, 15200, 1600, 4),
    )),
    *_family("p4d", "A100", 40960, 8.0, peers="NVSwitch", sizes=(
        ("24xlarge", 8, 96, 1152, 8000, 400, 4),
    )),
    *_family("p4de", "A100", 81920, 8.0, peers="NVSwitch", sizes=(
        ("24xlarge", 8, 96, 1152, 8000, 400, 4),
    )),
    *_family("p5", "H100", 81920, 9.0, peers="NVSwitch", sizes=(
        ("4xlarge", 1, 16, 256, 3800, 100, 1),
        ("48xlarge", 8, 192, 2048, 30400, 3200, 32),
    )),
    *_family("p5e", "H200", 144384, 9.0, peers="NVSwitch", sizes=(
        ("48xlarge", 8, 192, 2048, 30400, 3200, 32),
    )),
    *_family("p5en", "H200", 144384, 9.0, peers="NVSwitch", sizes=(
        ("48xlarge", 8, 192, 2048, 30400, 3200, 16),
    )),
    *_family("p6-b200", "B200", 183359, 10.0, peers="NVSwitch", sizes=(
        ("48xlarge", 8, 192, 2048, 30400, 3200, 8),
    )),
    *_family("p6-b300", "B300", 275040, 10.3, peers="NVSwitch", sizes=(
        ("48xlarge", 8, 192, 4096, 30400, 6400, 16),
    )),
)
# fmt: on
INSTANCE_TYPES = {one.name: one for one in _TYPES}
OFFERED = tuple(one for one in _TYPES if one.name not in prices.IN_BLOCKS)
"""Those that are sold by the hour."""


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
