"""How long answers take to begin and tokens to follow, of one replica to which requests come at random moments.

A step makes a token for each running request and takes in what prompts wait, up to `--max-num-batched-tokens`:

    step(chunks) = max(LAUNCH x layers, a step without prompts + chunks x their arithmetic)

The requests that come during a step wait for the next, so how many wait is a Markov chain over steps; its stationary
distribution gives every quantile. Left out: the network, the API server's queue, and that answers have many lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from tandem.catalog.gpus import GpuModel
from tandem.sizing.memory import Sizing
from tandem.sizing.throughput import Load, held_requests, prompt_token_seconds, step_seconds

LAUNCH_SECONDS = 1.3e-3
"""For each layer, that the processor takes to launch a step with prompts, which no CUDA graph holds: with TP=2 on H200
the first token of a prompt of 1,024 tokens came after 47 ms with 36 layers and after 100 ms with 80."""
LAUNCH_ALONE_SECONDS = 0.85e-3
"""Likewise with TP=1, at most: 36 layers took 32 ms a step with such a prompt, all of it arithmetic."""
FRONT_SECONDS = 0.055
"""From the client's request to the engine and back: what first tokens took longer than the step, by aiperf."""
FRONT_TOKENS = 11_000
"""A second, that one API server passes on at most; 9,158 were measured. The nearer, the longer all wait in it."""
BUSIEST = 0.95
"""Of the time that steps may take in prompts; beyond, the queue has no end that a model would know."""
PARTS = 4
"""Chunks of a step, at least: the rest of a prompt shares its step with the beginning of the next. One chunk of 1,024
tokens in steps of 2,048 that also make some answers would leave half of each empty."""
MOST_WAITING = 64
"""Chunks of prompts; what is beyond is counted as so many."""
ROUNDS, SETTLED = 40, 1e-9
"""Steps until shares are stationary: at most, and when none moves further."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Of one replica, in seconds.

    Attributes:
        at_once: requests that run.
        first_token, between_tokens: 99 of 100 come sooner. Where prompts are in fewer than one step of a hundred, few
            tokens wait for them: a 70B on two H200 had 18 ms with them in 1.2 of 100.
        between_tokens_mean: what a reader sees.
        measured: on such a server at such a rate; else it is modelled.
    """

    at_once: float
    first_token: float
    between_tokens: float
    between_tokens_mean: float
    measured: bool = False


@dataclass(frozen=True)
class _Steps:
    """Of one server under one load.

    Attributes:
        plain: seconds without prompts.
        chunk: seconds that one chunk of a prompt adds.
        largest: likewise, of as much of one prompt as a step takes.
        launch: seconds that a step with prompts takes at least.
        most: chunks in a step.
        each: chunks of a request.
    """

    plain: float
    chunk: float
    largest: float
    launch: float
    most: int
    each: int

    @cached_property
    def seconds(self) -> list[float]:
        """By how many chunks wait before a step."""
        with_prompts = [max(self.launch, self.plain + taken * self.chunk) for taken in range(1, self.most + 1)]
        beyond = MOST_WAITING - self.most
        return [self.plain, *with_prompts, *with_prompts[-1:] * beyond]

    def longest(self, waiting: int) -> float:
        return max(self.seconds[waiting], self.launch, self.plain + self.largest) if waiting else self.plain


def latency(sizing: Sizing, gpu: GpuModel, load: Load, rate: float) -> Latency | None:
    """At so many requests a second; None where the replica cannot keep up with them."""
    running, passed_on = _running(sizing, gpu, load, rate), rate * load.answer_tokens / FRONT_TOKENS
    if running is None or passed_on > BUSIEST:
        return None
    steps = _steps(sizing, gpu, load, running)
    shares = _stationary(steps, rate)
    mean = sum(share * steps.seconds[waiting] for waiting, share in enumerate(shares))
    first = _quantile(_first_tokens(steps, shares, rate, mean), 0.99)
    between = _quantile([(steps.longest(waiting), share) for waiting, share in enumerate(shares)], 0.99)
    return Latency(
        at_once=running,
        first_token=FRONT_SECONDS / (1 - passed_on) + first,
        between_tokens=max(between, mean),
        between_tokens_mean=mean,
    )


def _steps(sizing: Sizing, gpu: GpuModel, load: Load, running: float) -> _Steps:
    room = max(1, sizing.batch.tokens - math.ceil(running))
    each = math.ceil(PARTS * load.prompt_tokens / room)
    tokens, seconds = load.prompt_tokens / each, prompt_token_seconds(sizing, gpu)
    alone = sizing.serving.tensor_parallel_size == 1
    return _Steps(
        plain=step_seconds(sizing, gpu, running, load),
        chunk=tokens * seconds,
        largest=min(load.prompt_tokens, room) * seconds,
        launch=(LAUNCH_ALONE_SECONDS if alone else LAUNCH_SECONDS) * len(sizing.shape.layers),
        most=max(1, int(room / tokens)),
        each=each,
    )


def _running(sizing: Sizing, gpu: GpuModel, load: Load, rate: float) -> float | None:
    """Requests at once, by Little's law: their rate times the tokens and the seconds between these."""
    most, running = held_requests(sizing, load), 1.0
    for _ in range(12):
        steps = _steps(sizing, gpu, load, running)
        busy = rate * steps.each * steps.chunk
        if busy > BUSIEST:
            return None
        running = max(1.0, rate * load.answer_tokens * steps.plain / (1 - busy))
        if running > most:
            return None
    return running


def _stationary(steps: _Steps, rate: float) -> list[float]:
    """Share of steps before which so many chunks wait."""
    arrivals = [list(_poisson(rate * seconds)) for seconds in steps.seconds[: min(steps.most, MOST_WAITING) + 1]]
    arrivals += arrivals[-1:] * (MOST_WAITING + 1 - len(arrivals))
    shares = [1.0] + [0.0] * MOST_WAITING
    for _ in range(ROUNDS):
        following = [0.0] * (MOST_WAITING + 1)
        for waiting, share in enumerate(shares):
            if share < 1e-6:
                continue
            left = max(0, waiting - steps.most)
            for chance in arrivals[waiting]:
                following[left if left < MOST_WAITING else MOST_WAITING] += share * chance
                left += steps.each
        settled = all(abs(now - before) < SETTLED for now, before in zip(following, shares, strict=True))
        shares = following
        if settled:
            break
    total = sum(shares)
    return [share / total for share in shares]


def _poisson(mean: float) -> Iterator[float]:
    chance, number = math.exp(-mean), 0
    while number <= mean or chance > 1e-5:
        yield chance
        number += 1
        chance *= mean / number


def _first_tokens(steps: _Steps, shares: list[float], rate: float, mean: float) -> list[tuple[float, float]]:
    """Seconds until the first token, with their shares, of requests that come at any moment of a step."""
    moments = (0.1, 0.3, 0.5, 0.7, 0.9)
    found: list[tuple[float, float]] = []
    for waiting, share in enumerate(shares):
        if not share:
            continue
        during = steps.seconds[waiting]
        came = rate * during * steps.each
        for moment in moments:
            ahead = max(0, waiting - steps.most) + moment * came + steps.each
            full, last = divmod(ahead, steps.most)
            beside = min(steps.most, last + (1 - moment) * came)
            own = full * steps.seconds[steps.most] + (steps.seconds[max(1, round(beside))] if last else 0.0)
            found.append(((1 - moment) * during + own, share * during / mean / len(moments)))
    return found


def _quantile(values: list[tuple[float, float]], wanted: float) -> float:
    """The least value with so much of the weight at or below it."""
    total, passed = sum(weight for _, weight in values), 0.0
    for value, weight in sorted(values):
        passed += weight
        if passed >= wanted * total:
            return value
    return max(value for value, _ in values)
