"""A model on every instance type of the catalog: what fits, with how many tokens, at which price."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tandem.catalog.instances import OFFERED, InstanceType
from tandem.catalog.measurements import Measurement
from tandem.sizing.fits import Verdict, verdict
from tandem.sizing.gpus import gpu_of
from tandem.sizing.measured import as_measured
from tandem.sizing.memory import Sizing, size
from tandem.sizing.serving import Serving
from tandem.sizing.shapes import ModelShape
from tandem.sizing.support import TENSOR_PARALLEL_SIZES
from tandem.sizing.throughput import Load, Throughput, throughput
from tandem.sizing.units import divide_up

DEFAULT_LOAD = Load()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One instance type with one tensor parallel size.

    Attributes:
        replicas: servers that one host runs.
        usd_per_million_tokens: of answers: list price of the host over its tokens per second.
    """

    instance_type: InstanceType
    sizing: Sizing
    verdict: Verdict
    replicas: int
    throughput: Throughput
    usd_per_million_tokens: float

    @property
    def tensor_parallel_size(self) -> int:
        """GPUs of one replica."""
        return self.sizing.serving.tensor_parallel_size

    @property
    def tokens_per_second(self) -> float:
        """Of the host."""
        return self.replicas * self.throughput.tokens_per_second

    @property
    def name(self) -> str:
        """`g6.12xlarge TP=2`."""
        return f"{self.instance_type.name} TP={self.tensor_parallel_size}"


def on_hosts(serving: Serving, instance_type: InstanceType) -> Serving:
    """The same on as many hosts as one replica needs GPUs of, at least."""
    hosts = divide_up(serving.tensor_parallel_size * serving.pipeline_parallel_size, instance_type.gpus)
    return replace(serving, hosts=hosts) if hosts > serving.hosts else serving


def candidate(
    shape: ModelShape,
    serving: Serving,
    instance_type: InstanceType,
    *,
    load: Load = DEFAULT_LOAD,
    requests: int | None = None,
    measured: Sequence[Measurement] = (),
) -> Candidate:
    """One row of the table; its verdict says whether it works.

    Args:
        requests: that run on a host at once, shared out to its replicas; None for so many a GPU as throughput.py says.
        measured: of this model, by `measured.of_model`.
    """
    gpu, model = gpu_of(instance_type)
    sizing = size(shape, on_hosts(serving, instance_type), gpu)
    replicas = max(1, instance_type.gpus // (serving.tensor_parallel_size * serving.pipeline_parallel_size))
    each = divide_up(requests, replicas) if requests else None
    rate = as_measured(throughput(sizing, model, load, each), measured, sizing, model, load)
    return Candidate(
        instance_type=instance_type,
        sizing=sizing,
        verdict=verdict(sizing),
        replicas=replicas,
        throughput=rate,
        usd_per_million_tokens=instance_type.usd_per_hour / (replicas * rate.tokens_per_second * 3600) * 1e6,
    )


def candidates(
    shape: ModelShape,
    serving: Serving,
    *,
    sizes: Sequence[int] = TENSOR_PARALLEL_SIZES,
    types: Iterable[InstanceType] = OFFERED,
    load: Load = DEFAULT_LOAD,
    requests: int | None = None,
    measured: Sequence[Measurement] = (),
) -> list[Candidate]:
    """Every type with every tensor parallel size that it has GPUs for, the cheapest per token first."""
    found = [
        candidate(
            shape,
            replace(serving, tensor_parallel_size=tp),
            instance_type,
            load=load,
            requests=requests,
            measured=measured,
        )
        for instance_type in types
        for tp in sizes
        if tp <= instance_type.gpus
    ]
    return sorted(found, key=lambda row: row.usd_per_million_tokens)


def fitting(rows: Iterable[Candidate], concurrency: float = 1.0) -> list[Candidate]:
    """Rows that work and hold so many requests of the longest length at once, on all replicas of a host."""
    return [row for row in rows if row.verdict.fits and row.sizing.max_concurrency * row.replicas >= concurrency]


def cheapest(rows: Iterable[Candidate]) -> Candidate | None:
    """The row that works with the lowest price of an hour; among equals the one with most KV-cache tokens."""
    working = fitting(rows)
    return min(working, key=lambda row: (row.instance_type.usd_per_hour, -row.sizing.kv_cache_tokens), default=None)
