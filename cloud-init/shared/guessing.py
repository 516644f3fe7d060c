"""vLLM's own scheduler, which guesses nothing where guesses are right too seldom. Runs in the server's process.

vLLM takes it by `--scheduler-cls guessing.scheduler`, and has a table of how many tokens it guesses for each request in
steps of how many requests, of which this makes another one while it runs: no server starts anew for it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

PAYS = "TANDEM_GUESSES_PAY"
"""JSON: the share of right guesses from which they pay, by the number of requests in a step (sizing's model)."""
GUESSES = 2000
"""Judged together: a share of 10 % is then known within 2 % of guesses."""
PAUSE_SECONDS = 300
"""After it guesses are judged anew, for texts change: 2,000 of them in 5 minutes cost nothing that one could see."""


class Judge:
    """Says how much to guess in steps of how many requests.

    Args:
        table: vLLM's own, by the number of requests.
        pays: the share of right ones from which guesses pay, by numbers of requests: each stands for those up to it.
        say: one line for the server's log.
    """

    def __init__(
        self,
        table: Sequence[int],
        pays: Mapping[int, float],
        say: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._whole, self._pays, self._say, self._clock = list(table), pays, say, clock
        self._table = self._said = self._whole
        self._guessed, self._right, self._judged = 0, 0, clock()

    def table(self) -> list[int]:
        """Of this step; the whole one, again, once the last judgement is old."""
        if self._table is not self._whole and self._clock() - self._judged > PAUSE_SECONDS:
            self._table, self._guessed, self._right = self._whole, 0, 0
        return self._table

    def count(self, guessed: int, right: int) -> None:
        """What came of the guesses for one request."""
        self._guessed, self._right = self._guessed + guessed, self._right + right
        if self._guessed >= GUESSES:
            self._judge(self._right / self._guessed)

    def _judge(self, share: float) -> None:
        made = [0 if self._needed(requests) > share else tokens for requests, tokens in enumerate(self._whole)]
        if made != self._said:
            some = [requests for requests, tokens in enumerate(made) if tokens]
            where = f"in steps of up to {max(some)} requests" if some else "nowhere"
            self._say(f"guesses: {share:.1%} of {self._guessed} were right, they pay {where}")
        self._table, self._said = self._whole if made == self._whole else made, made
        self._guessed, self._right, self._judged = 0, 0, self._clock()

    def _needed(self, requests: int) -> float:
        return self._pays[min((number for number in self._pays if number >= requests), default=max(self._pays))]


def scheduler(**given: Any) -> Any:
    """What vLLM would have chosen, with a judge."""
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler  # pyright: ignore[reportMissingImports]
    from vllm.v1.core.sched.scheduler import Scheduler  # pyright: ignore[reportMissingImports]

    base: Any = AsyncScheduler if given["vllm_config"].scheduler_config.async_scheduling else Scheduler

    class Judged(base):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            pays = {int(number): share for number, share in json.loads(os.environ[PAYS]).items()}
            self._judge = Judge(self.dynamic_sd_lookup, pays, logging.getLogger("vllm.guessing").info)

        def schedule(self, *given: Any, **named: Any) -> Any:
            self.dynamic_sd_lookup = self._judge.table()
            return super().schedule(*given, **named)

        def make_spec_decoding_stats(self, *given: Any, **named: Any) -> Any:
            self._judge.count(named["num_draft_tokens"], named["num_accepted_tokens"])
            return super().make_spec_decoding_stats(*given, **named)

    return Judged(**given)
