"""A model on every instance type of the catalog: what fits, with how many tokens, at which price."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tandem.catalog.instances import INSTANCE_TYPES, InstanceType
from tandem.sizing.fits import Verdict, verdict
from tandem.sizing.gpus import gpu_of
from tandem.sizing.memory import Sizing, size
from tandem.sizing.serving import Serving
from tandem.sizing.shapes import ModelShape
from tandem.sizing.support import TENSOR_PARALLEL_SIZES
from tandem.sizing.throughput import Throughput, throughput
from tandem.sizing.units import divide_up

DEFAULT_CONTEXT_TOKENS = 2048
"""Prompt and answer so far of a running request, on average: what chat services see."""

MEASURED_SHARE = 0.87
"""Of the throughput of two servers with TP=1, what one with TP=2 reached on two H200: an 8B model, 300 requests of 1024
and 128 tokens at once in 6.5 s against 5.6 s. One request alone took 0.48 s against 0.66 s, 28 % less, with TP=2."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One instance type with one tensor parallel size.

    Attributes:
        replicas: servers that one host runs.
        usd_per_million_tokens: list price of the host over the upper limit of its tokens per second; so a lower limit
            of the real price.
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
        """Upper limit of the host."""
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
    context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    requests: int | None = None,
) -> Candidate:
    """One row of the table; its verdict says whether it works.

    Args:
        requests: that run on a host at once, shared out to its replicas; None for as many as fit.
    """
    gpu, model = gpu_of(instance_type)
    sizing = size(shape, on_hosts(serving, instance_type), gpu)
    replicas = max(1, instance_type.gpus // (serving.tensor_parallel_size * serving.pipeline_parallel_size))
    each = divide_up(requests, replicas) if requests else None
    rate = throughput(sizing, model, context_tokens=min(context_tokens, sizing.batch.length), requests=each)
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
    types: Iterable[InstanceType] = tuple(INSTANCE_TYPES.values()),
    context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    requests: int | None = None,
) -> list[Candidate]:
    """Every type with every tensor parallel size that it has GPUs for, the cheapest per token first."""
    found = [
        candidate(
            shape,
            replace(serving, tensor_parallel_size=tp),
            instance_type,
            context_tokens=context_tokens,
            requests=requests,
        )
        for instance_type in types
        for tp in TENSOR_PARALLEL_SIZES
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


def advice(rows: Iterable[Candidate]) -> list[str]:
    """Where tensor parallelism 2 is the wrong choice: the model fits one GPU, and throughput is wanted."""
    by_type: dict[str, dict[int, Candidate]] = {}
    for row in rows:
        by_type.setdefault(row.instance_type.name, {})[row.tensor_parallel_size] = row
    pairs = ((name, sizes[1], sizes[2]) for name, sizes in by_type.items() if 1 in sizes and 2 in sizes)
    return [
        _against_two(name, one, two)
        for name, one, two in pairs
        if one.tokens_per_second >= MEASURED_SHARE * two.tokens_per_second
    ]


def _against_two(name: str, one: Candidate, two: Candidate) -> str:
    return (
        f"{name}: one GPU is enough. For throughput take TP=1: at most {one.tokens_per_second:,.0f} tokens/s on a host "
        f"against {two.tokens_per_second:,.0f} with TP=2, and where it was measured (8B on H200) TP=2 stayed "
        f"{1 - MEASURED_SHARE:.0%} below TP=1. For a single request's time take TP=2: it was 28 % faster. A pair of "
        f"GPUs holds {two.sizing.kv_cache_tokens:,} KV-cache tokens together against 2 x {one.sizing.kv_cache_tokens:,}"
    )
