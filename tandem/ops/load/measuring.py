"""Throughput as `tandem size` reads it: so many requests kept running, of the lengths of tandem's own measurements."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import Measurement
from tandem.ops.load import generator
from tandem.ops.load.sweep import Request, at_share
from tandem.ops.load.traffic import Lengths, Model, Shape, requests
from tandem.ops.smoke import Target
from tandem.pins import Pins
from tandem.settings import Settings
from tandem.settings.inference import InferenceSettings
from tandem.sizing.gpus import smallest_step
from tandem.sizing.plan import Plan
from tandem.sizing.throughput import Load

AT_ONCE = (1, 8, 32, 128, 256)
"""In each replica."""
SHAPE = Shape(prompt=Lengths(Load().prompt_tokens, 0), answer=Lengths(Load().answer_tokens, 0))
FAILED = 0.05
"""With more failures it is no measurement of throughput."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """What is behind the API, in the words of a measurement."""

    model: str
    quantization: str | None
    card: str
    tp: int
    max_num_batched_tokens: int
    vllm: str


def server_of(settings: Settings, inference: InferenceSettings, sized: Plan, pins: Pins) -> Server | None:
    """Of one model of a stack; None where its fleet has several cards."""
    types = [INSTANCE_TYPES[name] for name in settings.fleet.instance_types]
    cards = {one.gpu for one in types}
    if len(cards) > 1:
        return None
    _, tokens = smallest_step(types, inference.max_num_seqs, sized.max_num_batched_tokens)
    version = pins.vllm.tag.removeprefix("v")
    return Server(
        model=inference.model,
        quantization=inference.quantization,
        card=cards.pop(),
        tp=inference.tensor_parallel_size,
        max_num_batched_tokens=tokens,
        vllm=version,
    )


def loads(
    server: Server, replicas: int, target: Target, model: Model, seconds: int
) -> Iterator[tuple[int, Measurement | None]]:
    """More and more requests at once, and what was measured; the first load of which too few were answered ends it.

    Raises:
        UserError: aiperf could not be installed, or measured nothing.
    """
    run = f"{datetime.now(UTC):%Y-%m-%d}"
    for number, each in enumerate(AT_ONCE):
        at_once = each * replicas
        bodies = [*islice(requests(SHAPE, model, number), at_once * max(4, seconds))]
        row = measurement(server, run, replicas, at_once, generator.keep(target, model.name, at_once, bodies, seconds))
        yield at_once, row
        if row is None:
            return


def measurement(server: Server, run: str, replicas: int, at_once: int, sent: Sequence[Request]) -> Measurement | None:
    """The row of a load; None where none or too few were answered."""
    answered = [one for one in sent if one.failed is None and one.first_token is not None]
    if not answered or len(sent) - len(answered) > FAILED * len(sent):
        return None
    firsts = sorted(one.first_token or 0 for one in answered)
    gaps = sorted(gap for one in answered for gap in one.gaps)
    answer = statistics.mean(one.output_tokens for one in answered)
    return Measurement(
        run=run,
        model=server.model,
        quantization=server.quantization,
        card=server.card,
        tp=server.tp,
        replicas=min(replicas, at_once),
        flags="tandem",
        max_num_batched_tokens=server.max_num_batched_tokens,
        vllm=server.vllm,
        prompt_tokens=round(statistics.mean(one.prompt_tokens for one in answered)),
        answer_tokens=round(answer),
        rate=None,
        at_once=at_once,
        requests=len(sent),
        failed=len(sent) - len(answered),
        tokens_per_second=_short(at_once * answer / statistics.mean(one.seconds for one in answered)),
        **dict(_latencies("first_token", firsts)),
        **dict(_latencies("between_tokens", gaps)),
    )


def _latencies(name: str, ordered: Sequence[float]) -> Iterator[tuple[str, float | None]]:
    yield f"{name}_mean", _short(statistics.mean(ordered)) if ordered else None
    for share in (50, 99):
        value = at_share(ordered, share / 100)
        yield f"{name}_p{share}", None if value is None else _short(value)


def _short(value: float) -> float:
    """Four digits, which is more than two runs agree in."""
    return float(f"{value:.4g}")
