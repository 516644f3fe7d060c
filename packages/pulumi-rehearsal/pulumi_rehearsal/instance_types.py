"""Instance types: what the simulator needs to know of one, and moto's own table of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

MIB_PER_GIB = 1024
OF_THE_ACCOUNT = "REHEARSAL_INSTANCE_TYPES"
"""Variable of the moto server: names of the types that it has, with commas between them; all where it is empty."""


class InstanceType(Protocol):
    """One type. Whoever has a catalog of their own passes that in: its types need these and may have more."""

    @property
    def name(self) -> str: ...
    @property
    def vcpus(self) -> int: ...
    @property
    def memory_gib(self) -> int: ...
    @property
    def gpus(self) -> int: ...
    @property
    def nvme_gb(self) -> int:
        """Instance storage, all drives together; 0 when there is none."""
        ...

    @property
    def usd_per_hour(self) -> float:
        """On demand; 0 where it is not known."""
        ...


Catalog = Mapping[str, InstanceType]
"""Types by name."""


@dataclass(frozen=True)
class PlainType:
    """A type as moto's table has it, which knows no prices."""

    name: str
    vcpus: int
    memory_gib: int
    gpus: int
    nvme_gb: int
    usd_per_hour: float = 0.0


@cache
def types_of_moto() -> Catalog:
    """All types that moto knows, some 1,400, as AWS described them when moto was published."""
    spec = find_spec("moto")
    assert spec is not None
    assert spec.origin is not None
    table = Path(spec.origin).parent / "ec2" / "resources" / "instance_types.json.gz"
    return {name: _type(name, one) for name, one in json.loads(gzip.decompress(table.read_bytes())).items()}


def _type(name: str, one: Mapping[str, Any]) -> PlainType:
    return PlainType(
        name=name,
        vcpus=one["VCpuInfo"]["DefaultVCpus"],
        memory_gib=one["MemoryInfo"]["SizeInMiB"] // MIB_PER_GIB,
        gpus=sum(gpu["Count"] for gpu in one.get("GpuInfo", {}).get("Gpus", ())),
        nvme_gb=one.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
    )


def type_named(name: str, catalog: Catalog) -> InstanceType:
    """A type of the catalog, else of moto's table.

    Raises:
        LookupError: neither knows it.
    """
    found = catalog.get(name) or types_of_moto().get(name)
    if found is None:
        raise LookupError(f"instance type {name} is neither in the catalog that was given nor in moto's table")
    return found
