"""What was measured of a model, for the table; and how far the model of throughput.py is from all that was measured."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import Measurement
from tandem.catalog.models import MODELS
from tandem.sizing.gpus import gpu_of
from tandem.sizing.known import catalog_shape
from tandem.sizing.memory import Sizing, size
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving
from tandem.sizing.throughput import Load, Throughput, throughput

ALIKE = 0.1
"""Lengths within this share of each other are one load."""


def of_model(rows: Iterable[Measurement], model: str | None, quantization: str | None) -> tuple[Measurement, ...]:
    """Those of requests that were kept running, of one model as it is quantized."""
    return tuple(
        row
        for row in rows
        if (row.model, row.quantization) == (model, quantization) and row.rate is None and row.tokens_per_second
    )


def as_measured(modelled: Throughput, rows: Iterable[Measurement], sizing: Sizing, load: Load) -> Throughput:
    """With measured tokens per second, where such a server was measured with fewer and with more at once."""
    tokens = _between(_by_requests(row for row in rows if _is_of(row, sizing, load)), modelled.requests)
    return modelled if tokens is None else replace(modelled, tokens_per_second=tokens, measured=True)


def _is_of(row: Measurement, sizing: Sizing, load: Load) -> bool:
    plain = Serving(
        tensor_parallel_size=row.tp,
        gpu_memory_utilization=sizing.serving.gpu_memory_utilization,
        max_model_len=sizing.serving.max_model_len,
        max_num_seqs=sizing.serving.max_num_seqs,
        max_num_batched_tokens=sizing.serving.max_num_batched_tokens,
    )
    return (
        plain == sizing.serving
        and (row.card, row.vllm) == (sizing.gpu.name, sizing.release.version)
        and row.max_num_batched_tokens == sizing.batch.tokens
        and abs(row.prompt_tokens / load.prompt_tokens - 1) <= ALIKE
        and abs(row.answer_tokens / load.answer_tokens - 1) <= ALIKE
    )


def _by_requests(rows: Iterable[Measurement]) -> dict[float, float]:
    """Tokens per second of a replica by its requests at once; of several measurements the geometric mean."""
    found: dict[float, list[float]] = defaultdict(list)
    for row in rows:
        found[row.at_once_each].append(row.tokens_per_second_each)
    return {requests: statistics.geometric_mean(found[requests]) for requests in sorted(found)}


def _between(points: Mapping[float, float], requests: int) -> float | None:
    """On the line between neighbours, in logarithms; None beside all of them."""
    if requests in points:
        return points[requests]
    for (low, less), (high, more) in pairwise(points.items()):
        if low < requests < high:
            share = math.log(requests / low) / math.log(high / low)
            return less * (more / less) ** share
    return None


@dataclass(frozen=True)
class Errors:
    """Of the modelled tokens per second, as shares of the measured ones.

    Attributes:
        loads: that were compared.
        worst: the largest either way, with its sign: above 0 the model promised more.
    """

    loads: int
    median: float
    worst: float


def errors(rows: Sequence[Measurement]) -> Errors:
    """Over all loads of models that the catalog has."""
    found = [modelled(row) / row.tokens_per_second_each - 1 for row in rows if comparable(row)]
    return Errors(len(found), statistics.median(map(abs, found)), max(found, key=abs))


def comparable(row: Measurement) -> bool:
    """Requests were kept running, and the model is in the catalog."""
    return row.model in MODELS and row.rate is None and bool(row.tokens_per_second)


def modelled(row: Measurement) -> float:
    """Tokens per second of a replica, as the model has them."""
    gpu, rates = gpu_of(next(one for one in INSTANCE_TYPES.values() if one.gpu == row.card))
    serving = Serving(
        tensor_parallel_size=row.tp,
        gpu_memory_utilization=None,
        max_num_batched_tokens=row.max_num_batched_tokens,
    )
    sizing = size(with_quantization(catalog_shape(row.model), row.quantization), serving, gpu)
    load = Load(prompt_tokens=row.prompt_tokens, answer_tokens=row.answer_tokens)
    return throughput(sizing, rates, load, round(row.at_once_each)).tokens_per_second
