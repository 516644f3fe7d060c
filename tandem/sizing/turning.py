"""Whether two GPUs make more as one server or as two: up to how many requests at once the pair does.

A pair reads each weight once for all requests, half of them on each GPU, but waits for all-reduces; two servers wait
for nobody. So a pair is faster while few ask, and slower once prompts take the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tandem.catalog.instances import InstanceType
from tandem.catalog.measurements import Measurement
from tandem.sizing.fits import verdict
from tandem.sizing.gpus import gpu_of
from tandem.sizing.measured import as_measured
from tandem.sizing.memory import size
from tandem.sizing.serving import Serving
from tandem.sizing.shapes import ModelShape
from tandem.sizing.steps import step_tokens
from tandem.sizing.throughput import Load, Throughput, held_requests, throughput

MOST = 1024
"""Requests at once on both GPUs that are looked at."""


@dataclass(frozen=True, kw_only=True)
class TurningPoint:
    """Of one model on one type of GPU under one load.

    Attributes:
        at_once: requests on both GPUs, the fewest with which two servers make more tokens a second; None where one
            server of both does with all that they hold.
        measured: both ways were, at that point.
    """

    at_once: int | None
    measured: bool


def turning_point(
    shape: ModelShape,
    serving: Serving,
    instance_type: InstanceType,
    load: Load,
    measured: tuple[Measurement, ...] = (),
) -> TurningPoint | None:
    """None where a model does not fit on one of the GPUs, or there are no two."""
    gpu, rates = gpu_of(instance_type)
    ways = [replace(serving, tensor_parallel_size=tp) for tp in (1, 2)]
    tokens = [step_tokens(shape, way, [instance_type]) for way in ways]
    alone, pair = (
        size(shape, replace(way, max_num_batched_tokens=step), gpu) for way, step in zip(ways, tokens, strict=True)
    )
    if instance_type.gpus < 2 or not (verdict(alone).fits and verdict(pair).fits):
        return None

    def both(each: int) -> tuple[Throughput, Throughput]:
        """One of the two servers of a GPU each, and the server of both, under so many requests for each GPU."""
        one, two = throughput(alone, rates, load, each), throughput(pair, rates, load, 2 * each)
        return as_measured(one, measured, alone, rates, load), as_measured(two, measured, pair, rates, load)

    def two_make_more(each: int) -> bool:
        one, two = both(each)
        return 2 * one.tokens_per_second > two.tokens_per_second

    most = min(MOST // 2, held_requests(alone, load), held_requests(pair, load) // 2)
    if most < 1 or not two_make_more(most):
        return TurningPoint(at_once=None, measured=False)
    fewer, more = 0, most
    while more - fewer > 1:
        middle = (fewer + more) // 2
        fewer, more = (fewer, middle) if two_make_more(middle) else (middle, more)
    return TurningPoint(at_once=2 * more, measured=all(one.measured for one in both(more)))
