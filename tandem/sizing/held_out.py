"""How near the answers are to what was measured: with the load itself left out, and of two measurements of one load."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tandem.catalog.measurements import Measurement
from tandem.sizing.measured import (
    as_measured,
    comparable,
    latency_as_measured,
    modelled,
    modelled_latency,
    server_of,
)
from tandem.sizing.throughput import throughput

WITHIN = 0.15
Value = Callable[[Measurement], float]


@dataclass(frozen=True)
class Spread:
    """Errors as shares of what was measured.

    Attributes:
        loads: that were compared; of all that there are.
        worst: the largest either way, with its sign.
        within: share of the loads that are within 15 %.
    """

    loads: int
    median: float
    worst: float
    within: float


def spread(errors: Sequence[float]) -> Spread:
    """Of at least one."""
    sizes = [abs(one) for one in errors]
    return Spread(
        len(errors), statistics.median(sizes), max(errors, key=abs), sum(one <= WITHIN for one in sizes) / len(sizes)
    )


def tokens(row: Measurement) -> float:
    """A second, of one server."""
    return row.tokens_per_second_each


def first_token(row: Measurement) -> float:
    """Seconds, 99 of 100."""
    return row.first_token_p99 or 0


def between_tokens(row: Measurement) -> float:
    """Likewise."""
    return row.between_tokens_p99 or 0


def interpolated_tokens(rows: Sequence[Measurement]) -> list[float]:
    """Errors of tokens per second between loads with fewer and with more at once, the load itself left out."""
    found: list[float] = []
    for row in filter(comparable, rows):
        sizing, gpu, load = server_of(row)
        others = [one for one in rows if one.model == row.model and one.quantization == row.quantization]
        others = [one for one in others if one.at_once_each != row.at_once_each]
        said = as_measured(throughput(sizing, gpu, load, round(row.at_once_each)), others, sizing, gpu, load)
        if said.measured:
            found.append(said.tokens_per_second / tokens(row) - 1)
    return found


def interpolated_times(rows: Sequence[Measurement]) -> tuple[list[float], list[float]]:
    """Errors of first tokens and of times between tokens, likewise between lower and higher rates of the same run."""
    first: list[float] = []
    between: list[float] = []
    for row in rows:
        said = modelled_latency(row)
        if said is None:
            continue
        sizing, gpu, load = server_of(row)
        others = [one for one in rows if one.model == row.model and one.quantization == row.quantization]
        others = [one for one in others if one.rate != row.rate and one.run == row.run]
        said = latency_as_measured(said, others, sizing, gpu, load, (row.rate or 0) / row.replicas)
        if said.measured:
            first.append(said.first_token / first_token(row) - 1)
            between.append(said.between_tokens / between_tokens(row) - 1)
    return first, between


def repeated(rows: Iterable[Measurement], value: Value) -> list[float]:
    """How far single measurements of one load are from their geometric mean: no answer is nearer to all of them."""
    return [
        error for same in _alike(rows) if len(same) > 1 for error in _about_their_mean([value(one) for one in same])
    ]


def _about_their_mean(values: Sequence[float]) -> Iterator[float]:
    mean = math.exp(statistics.fmean(map(math.log, values)))
    return (one / mean - 1 for one in values)


def _alike(rows: Iterable[Measurement]) -> list[list[Measurement]]:
    found: dict[object, list[Measurement]] = {}
    for row in rows:
        server = (row.model, row.quantization, row.card, row.tp, row.max_num_batched_tokens)
        load = (row.prompt_tokens, row.answer_tokens, row.rate, row.at_once_each if row.rate is None else None)
        found.setdefault((server, load), []).append(row)
    return list(found.values())


@dataclass(frozen=True)
class Accuracy:
    """Of one figure.

    Attributes:
        model: alone, on all loads.
        interpolated: between measured loads of the same server (of times: and the same run), this one left out.
        repeated: of measurements of one load, about their mean.
    """

    name: str
    model: Spread
    interpolated: Spread
    repeated: Spread


def accuracies(rows: Sequence[Measurement]) -> tuple[Accuracy, ...]:
    """Of tokens per second, first tokens and times between tokens."""
    kept = [row for row in rows if comparable(row)]
    timed = [(row, found) for row in rows if (found := modelled_latency(row)) and row.first_token_p99]
    came = [row for row, _ in timed]
    first, between = interpolated_times(rows)
    return (
        Accuracy(
            "tokens a second",
            spread([modelled(row) / tokens(row) - 1 for row in kept]),
            spread(interpolated_tokens(rows)),
            spread(repeated(kept, tokens)),
        ),
        Accuracy(
            "first token, 99 %",
            spread([found.first_token / first_token(row) - 1 for row, found in timed]),
            spread(first),
            spread(repeated(came, first_token)),
        ),
        Accuracy(
            "between tokens, 99 %",
            spread([found.between_tokens / between_tokens(row) - 1 for row, found in timed]),
            spread(between),
            spread(repeated(came, between_tokens)),
        ),
    )
