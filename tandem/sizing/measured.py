"""What was measured of a model, for the table; and how far the model of throughput.py is from all that was measured."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tandem.catalog.gpus import GpuModel
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import MEASUREMENTS, Measurement
from tandem.catalog.models import MODELS
from tandem.sizing.gpus import gpu_of
from tandem.sizing.known import catalog_shape
from tandem.sizing.latency import Latency, latency
from tandem.sizing.memory import Sizing, size
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving
from tandem.sizing.throughput import Load, Throughput, throughput

ALIKE = 0.1
"""Lengths within this share of each other are one load."""


def of_model(rows: Iterable[Measurement], model: str | None, quantization: str | None) -> tuple[Measurement, ...]:
    """Those of one model as it is quantized."""
    return tuple(row for row in rows if (row.model, row.quantization) == (model, quantization))


def as_measured(
    modelled: Throughput, rows: Iterable[Measurement], sizing: Sizing, gpu: GpuModel, load: Load
) -> Throughput:
    """With measured tokens per second, where such a server was measured with fewer and with more at once.

    Between two loads not their tokens are interpolated but by how much they were off the model, which knows the shape
    between them: a load that is left out is then found within 4 % in the median, not 16 (held_out.py).
    """
    kept = [row for row in rows if row.rate is None and row.tokens_per_second and _is_of(row, sizing, load)]
    points = [
        _Point(row.at_once_each, row.tokens_per_second_each, _tokens_per_second(row, sizing, gpu)) for row in kept
    ]
    tokens = _along(points, modelled.requests, modelled.tokens_per_second)
    return modelled if tokens is None else replace(modelled, tokens_per_second=tokens, measured=True)


def _tokens_per_second(row: Measurement, sizing: Sizing, gpu: GpuModel) -> float:
    return throughput(sizing, gpu, _load_of(row), round(row.at_once_each)).tokens_per_second


def _load_of(row: Measurement) -> Load:
    return Load(prompt_tokens=row.prompt_tokens, answer_tokens=row.answer_tokens)


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


def _means(points: Iterable[tuple[float, float]]) -> dict[float, float]:
    """Each place once, the least first; of several measurements the geometric mean."""
    found: dict[float, list[float]] = defaultdict(list)
    for place, value in points:
        found[place].append(value)
    return {place: statistics.geometric_mean(found[place]) for place in sorted(found)}


def latency_as_measured(
    modelled: Latency, rows: Iterable[Measurement], sizing: Sizing, gpu: GpuModel, load: Load, rate: float
) -> Latency:
    """With measured times, where such a server was measured at lower and at higher rates, between two of these as
    tokens per second are; above those as modelled, and no sooner than at the highest.

    Clients differ, by what they send and where they stand: both rates are of one run, of several the newest.
    """
    came = [row for row in rows if row.rate and row.first_token_p99 and row.between_tokens_p99]
    came = [(row, (row.rate or 0) / row.replicas) for row in came if _is_of(row, sizing, load)]
    then = [(row, at, found) for row, at in came if (found := latency(sizing, gpu, _load_of(row), at))]
    exact = [one for one in then if one[1] == rate]
    newest = reversed(dict.fromkeys(row.run for row, _, _ in then))
    for points in [exact] if exact else ([one for one in then if one[0].run == run] for run in newest):
        first = _along(
            (_Point(at, row.first_token_p99 or 0, found.first_token) for row, at, found in points),
            rate,
            modelled.first_token,
        )
        between = _along(
            (_Point(at, row.between_tokens_p99 or 0, found.between_tokens) for row, at, found in points),
            rate,
            modelled.between_tokens,
        )
        if first is not None and between is not None:
            return replace(modelled, first_token=first, between_tokens=between, measured=True)
    highest = max((at for _, at in came), default=rate)
    if rate <= highest:
        return modelled
    at_highest = [row for row, at in came if at == highest]
    return replace(
        modelled,
        first_token=max(modelled.first_token, *(row.first_token_p99 or 0 for row in at_highest)),
        between_tokens=max(modelled.between_tokens, *(row.between_tokens_p99 or 0 for row in at_highest)),
    )


@dataclass(frozen=True)
class _Point:
    """A figure under one load: as measured, and as modelled."""

    load: float
    measured: float
    modelled: float


def _along(points: Iterable[_Point], load: float, modelled: float) -> float | None:
    """What is modelled under a load, times what was measured about it was off the model, on the line between both in
    logarithms; never beyond the two. None beside all that was measured."""
    known = list(points)
    seen = _means((one.load, one.measured) for one in known)
    off = _means((one.load, one.measured / one.modelled) for one in known)
    if load in off:
        return off[load] * modelled
    for low, high in pairwise(off):
        if low < load < high:
            share = math.log(load / low) / math.log(high / low)
            least, most = sorted((seen[low], seen[high]))
            return min(most, max(least, modelled * off[low] * (off[high] / off[low]) ** share))
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
    """Of tokens per second, over all loads of models that the catalog has."""
    return _errors([modelled(row) / row.tokens_per_second_each - 1 for row in rows if comparable(row)])


def latency_errors(rows: Sequence[Measurement]) -> tuple[Errors, Errors]:
    """Of first tokens and of times between tokens, over all loads at random moments of models that the catalog has."""
    first: list[float] = []
    between: list[float] = []
    for row in rows:
        found = modelled_latency(row)
        if found and row.first_token_p99 and row.between_tokens_p99:
            first.append(found.first_token / row.first_token_p99 - 1)
            between.append(found.between_tokens / row.between_tokens_p99 - 1)
    return _errors(first), _errors(between)


def _errors(found: Sequence[float]) -> Errors:
    return Errors(len(found), statistics.median(map(abs, found)), max(found, key=abs))


def comparable(row: Measurement) -> bool:
    """Requests were kept running, and the model is in the catalog."""
    return row.model in MODELS and row.rate is None and bool(row.tokens_per_second)


def modelled(row: Measurement) -> float:
    """Tokens per second of a replica, as the model has them."""
    sizing, rates, load = server_of(row)
    return throughput(sizing, rates, load, round(row.at_once_each)).tokens_per_second


def modelled_latency(row: Measurement) -> Latency | None:
    """Of a replica; None where requests did not come at a rate, or the model has it fall behind."""
    if row.model not in MODELS or not row.rate:
        return None
    return latency(*server_of(row), row.rate / row.replicas)


WITHOUT_DEEPGEMM = {"memory_share": 0.4, "fp8_share": 0.3}
"""What products with weight blocks reached of the card on the machine of the measurements, which lacked the kernels
that the official image has (measurements.json, `lacks`): fitted to the first 13 of its loads of Qwen3-32B-FP8. The
model is judged with them; answers count with the card's own shares."""


def server_of(row: Measurement) -> tuple[Sizing, GpuModel, Load]:
    """The server of a row, the rates of its card, and the load."""
    gpu, rates = gpu_of(next(one for one in INSTANCE_TYPES.values() if one.gpu == row.card))
    serving = Serving(
        tensor_parallel_size=row.tp,
        gpu_memory_utilization=None,
        max_num_batched_tokens=row.max_num_batched_tokens,
    )
    shape = with_quantization(catalog_shape(row.model), row.quantization)
    blocks = shape.quantization is not None and shape.quantization.main_scheme.block is not None
    known = replace(rates, **WITHOUT_DEEPGEMM) if blocks and row in MEASUREMENTS else rates
    return size(shape, serving, gpu), known, _load_of(row)
