"""Which fleets keep an objective under a load, the cheapest first: types, how many hosts, and what follows from it.

A fleet here is what a stack can be: one instance type, replicas of 1, 2, 4 or 8 of its GPUs, and one host more than the
load needs. So what is promised is promised without that one, too.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from tandem.catalog.gpus import GpuModel
from tandem.catalog.instances import InstanceType
from tandem.catalog.measurements import Measurement
from tandem.sizing.fits import verdict
from tandem.sizing.gpus import gpu_of
from tandem.sizing.latency import Latency, latency
from tandem.sizing.measured import latency_as_measured
from tandem.sizing.memory import Sizing, size
from tandem.sizing.serving import Serving
from tandem.sizing.shapes import ModelShape
from tandem.sizing.steps import LEAST, step_tokens
from tandem.sizing.support import FP8_CAPABILITY, TENSOR_PARALLEL_SIZE
from tandem.sizing.throughput import Load, prompt_share, prompt_token_seconds

MOST_HOSTS = 100
"""What `fleet.hosts` takes."""
SPARE_HOSTS = 1
NO_SPOT: Mapping[str, float] = {}
SIZES = (2, 1, 4, 8)
"""GPUs of a replica, as `inference.tensorParallelSize` takes them; the default first, which is kept among equals."""


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What is wanted.

    Attributes:
        rate: requests a second, of all clients together, at random moments.
        first_token, between_tokens: seconds in which 99 of 100 are to come; None for whatever comes.
    """

    rate: float
    load: Load
    first_token: float | None = None
    between_tokens: float | None = None

    def times(self, found: Latency) -> str:
        """In words."""
        if not self.load.answer_tokens:
            return f"a vector or a score in {found.first_token:.2f} s"
        return f"first token in {found.first_token:.2f} s, {1000 * found.between_tokens:.0f} ms between tokens"

    def kept(self, found: Latency) -> bool:
        """Both objectives."""
        return self.excess(found) <= 1

    def excess(self, found: Latency) -> float:
        """How many times as long as wanted it takes: of both objectives, the one that is further off."""
        return max(
            found.first_token / (self.first_token or math.inf), found.between_tokens / (self.between_tokens or math.inf)
        )


@dataclass(frozen=True, kw_only=True)
class Way:
    """One checkpoint on one instance type with one length of steps.

    Attributes:
        quantization: as the setting says; None for the checkpoint's own.
        measured: rows of this model as it is quantized.
    """

    instance_type: InstanceType
    sizing: Sizing
    quantization: str | None
    load: Load
    measured: tuple[Measurement, ...]

    @property
    def replicas(self) -> int:
        """On one host."""
        return self.instance_type.servers(self.sizing.serving.tensor_parallel_size)

    @property
    def gpu(self) -> GpuModel:
        """Its rates."""
        return gpu_of(self.instance_type)[1]

    def latency(self, hosts: int, rate: float) -> Latency | None:
        """Under so many requests a second on all hosts; None where they cannot keep up."""
        each = rate / (hosts * self.replicas)
        found = latency(self.sizing, self.gpu, self.load, each)
        return found and latency_as_measured(found, self.measured, self.sizing, self.gpu, self.load, each)

    def hosts(self, demand: Demand, most: int = MOST_HOSTS) -> int | None:
        """The fewest that keep the objective; None where no number up to `most` does."""

        def keep(hosts: int) -> bool:
            found = self.latency(hosts, demand.rate)
            return found is not None and demand.kept(found)

        if not most or not keep(most):
            return None
        too_few, enough = 0, 1
        while not keep(enough):
            too_few, enough = enough, min(2 * enough, most)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            too_few, enough = (too_few, middle) if keep(middle) else (middle, enough)
        return enough


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a fleet gives under one load.

    Attributes:
        latency: without the spare host; None where it cannot keep up.
        kept: the objective.
        hosts: that this load would need, the spare one with them; None for more than a stack has.
    """

    rate: float
    latency: Latency | None
    kept: bool
    hosts: int | None


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """One that keeps the objective.

    Attributes:
        needed: hosts without which it would not.
        spot_usd: of an hour of a host, where all hosts are spot; None on demand.
    """

    way: Way
    demand: Demand
    needed: int
    spot_usd: float | None = None

    @property
    def hosts(self) -> int:
        """N+1."""
        return self.needed + SPARE_HOSTS

    @property
    def replicas(self) -> int:
        """On all hosts."""
        return self.hosts * self.way.replicas

    @property
    def usd_per_hour(self) -> float:
        """Of all hosts."""
        return self.hosts * (self.spot_usd or self.way.instance_type.usd_per_hour)

    @cached_property
    def given(self) -> tuple[Given, Given, Given]:
        """At half the load, at the load, at twice the load."""
        half, same, twice = (self._at(share * self.demand.rate) for share in (0.5, 1.0, 2.0))
        return half, same, twice

    def _at(self, rate: float) -> Given:
        found, needed = self.way.latency(self.needed, rate), self.way.hosts(replace(self.demand, rate=rate))
        kept = found is not None and self.demand.kept(found)
        return Given(rate=rate, latency=found, kept=kept, hosts=needed and needed + SPARE_HOSTS)

    def usd_per_million(self) -> tuple[float, float]:
        """Of prompt tokens and of answer tokens: the fleet's price, shared out by what takes the GPUs' time."""
        load, now = self.demand.load, self.given[1].latency
        assert now is not None
        if not load.answer_tokens:
            return self.usd_per_hour / (self.demand.rate * 3600 * load.prompt_tokens) * 1e6, 0.0
        request = self.usd_per_hour / (self.demand.rate * 3600)
        share = prompt_share(self.way.sizing, self.way.gpu, now.at_once, load)
        return (
            request * share / load.prompt_tokens * 1e6,
            request * (1 - share) / load.answer_tokens * 1e6,
        )


@dataclass(frozen=True)
class Lack:
    """Why a type is no fleet.

    Attributes:
        name: of the type, and the quantization that is not the checkpoint's own.
        best: what it gives on as many hosts as a stack has; None where it cannot keep up or not serve the model.
        fix: what would help, where it cannot serve the model at all.
    """

    name: str
    why: str
    best: Latency | None = None
    fix: str = ""


@dataclass(frozen=True)
class Answer:
    """Fleets, the cheapest first; and why types are none. Of types with the same GPUs it names the cheapest alone."""

    fleets: tuple[Fleet, ...]
    missing: tuple[Lack, ...]


Shapes = Sequence[tuple[str | None, ModelShape, tuple[Measurement, ...]]]
"""Quantizations to try, each with the model in it and what was measured of it."""


def fleets(
    shapes: Shapes,
    serving: Serving,
    demand: Demand,
    types: Iterable[InstanceType],
    sizes: Sequence[int] = SIZES,
    spot: Mapping[str, float] = NO_SPOT,
) -> Answer:
    """All that keep the objective.

    Args:
        spot: by type, US dollars of an hour as spot; one that is not in there is counted on demand alone.
        serving: as a replica of a stack is; steps that are not set are chosen.
        sizes: GPUs of a replica that are tried, where a type's GPUs make whole groups of them.
    """
    found: list[Fleet] = []
    missing: list[Lack] = []
    unlike: list[Lack] = []
    for alike in _with_the_same_gpus(types):
        instance_type = min(alike, key=lambda one: one.usd_per_hour)
        servings = [replace(serving, tensor_parallel_size=tp) for tp in sizes if not instance_type.gpus % tp]
        if not servings:
            why = f"its GPUs are {instance_type.gpus}, in no whole groups of {' or '.join(map(str, sizes))}"
            unlike.append(Lack(instance_type.name, why, fix="a smaller --tp, or none: 1, 2, 4 and 8 are then tried"))
            continue
        for quantization, shape, measured in _tried(shapes, instance_type):
            name = f"{instance_type.name}{f' {quantization}' if quantization else ''}"
            ways = [way for one in servings for way in _ways(shape, one, instance_type, quantization, demand, measured)]
            working = [way for way in ways if verdict(way.sizing).fits]
            if fleet := _fewest(working, demand):
                found.append(fleet)
                found += _as_spot(fleet, alike, spot)
            else:
                missing.append(_best(name, working, demand) if working else _refused(name, ways))
    return Answer(tuple(sorted(found, key=lambda fleet: (fleet.usd_per_hour, fleet.needed))), (*missing, *unlike))


def _with_the_same_gpus(types: Iterable[InstanceType]) -> list[list[InstanceType]]:
    """They serve alike, whatever else a host has."""
    found: dict[tuple[str, int, int], list[InstanceType]] = defaultdict(list)
    for one in types:
        found[one.gpu, one.gpu_mib, one.gpus].append(one)
    return list(found.values())


def _as_spot(fleet: Fleet, types: Iterable[InstanceType], spot: Mapping[str, float]) -> Iterator[Fleet]:
    """Of the type that costs least as spot, if any has a price."""
    priced = [one for one in types if one.name in spot]
    if priced:
        best = min(priced, key=lambda one: spot[one.name])
        yield replace(fleet, way=replace(fleet.way, instance_type=best), spot_usd=spot[best.name])


def _fewest(ways: Sequence[Way], demand: Demand) -> Fleet | None:
    """The first way with the fewest hosts: of each further one it is asked whether it needs fewer."""
    best: Fleet | None = None
    for way in ways:
        if needed := way.hosts(demand, best.needed - 1 if best else MOST_HOSTS):
            best = Fleet(way=way, demand=demand, needed=needed)
    return best


def _tried(shapes: Shapes, instance_type: InstanceType) -> Shapes:
    """FP8 at load on cards without its units saves memory alone, and is left to those who ask for it."""
    able = instance_type.compute_capability >= FP8_CAPABILITY
    return [one for one in shapes if able or one[0] != "fp8" or len(shapes) == 1]


def _ways(
    shape: ModelShape,
    serving: Serving,
    instance_type: InstanceType,
    quantization: str | None,
    demand: Demand,
    measured: tuple[Measurement, ...],
) -> Iterator[Way]:
    """With steps as a stack has them, and with those that are short enough for the objective."""
    gpu, rates = gpu_of(instance_type)
    tokens = step_tokens(shape, serving, [instance_type])
    way = Way(
        instance_type=instance_type,
        sizing=size(shape, replace(serving, max_num_batched_tokens=tokens), gpu),
        quantization=quantization,
        load=demand.load,
        measured=measured,
    )
    yield way
    if demand.between_tokens is None or serving.max_num_batched_tokens or shape.vision:
        return
    fitting = int(demand.between_tokens / prompt_token_seconds(way.sizing, rates))
    for most in {max(LEAST, 1 << max(0, fitting.bit_length() - fewer)) for fewer in (1, 2)}:
        if most < way.sizing.batch.tokens:
            yield replace(way, sizing=size(shape, replace(serving, max_num_batched_tokens=most), gpu))


def _refused(name: str, ways: Sequence[Way]) -> Lack:
    """Why the most GPUs that the model can be divided by do not serve it; of one that is asked for, why not by it."""
    problems = [verdict(way.sizing).problems[0] for way in sorted(ways, key=lambda way: way.replicas)]
    problem = next((one for one in problems if one.key != TENSOR_PARALLEL_SIZE), problems[0])
    flag = f"{problem.key} " if problem.key.startswith("--") else ""
    return Lack(name, f"{flag}{problem.wrong}; is {problem.value}; allowed: {problem.allowed}", fix=problem.fix)


def _best(name: str, ways: Sequence[Way], demand: Demand) -> Lack:
    """What it gives at best: on as many hosts as a stack has."""
    found = [one for way in ways if (one := way.latency(MOST_HOSTS, demand.rate))]
    if not found:
        return Lack(name, f"{MOST_HOSTS} hosts cannot keep up with {demand.rate:g} requests a second")
    best = min(found, key=demand.excess)
    why = f"at best, on {MOST_HOSTS} hosts: {demand.times(best)}"
    return Lack(name, why, best)
