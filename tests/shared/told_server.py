"""A vLLM server that tells what a test wants of it.

Stands for: vLLM's metrics, those that telemetry reads.
Held by: tests/real/test_telemetry.py::test_a_real_server_tells_all_that_is_read
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

UP_TO_80 = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, *UP_TO_80, 160.0, 640.0, 2560.0, float("inf"))
BETWEEN_TOKENS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    float("inf"),
)
LABELS = 'engine="0",model_name="m"'
Pairs = Sequence[tuple[Any, float]]
GUESSES = "vllm:spec_decode_num_"


@dataclass
class ToldServer:
    """Counters since its start, and what it is like now."""

    started: float = 1000.0
    running: int = 0
    waiting: int = 0
    cache: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0
    preemptions: int = 0
    refused: int = 0
    guessed: int | None = None
    right: int = 0
    first_token: Counter[float] = field(default_factory=Counter)
    between_tokens: Counter[float] = field(default_factory=Counter)
    answers: bool = True

    def ask(self) -> str:
        if not self.answers:
            raise ConnectionRefusedError
        counts = {
            "vllm:num_requests_running": self.running,
            "vllm:num_requests_waiting": self.waiting,
            "vllm:kv_cache_usage_perc": self.cache,
            "vllm:generation_tokens_total": self.tokens,
            "vllm:prompt_tokens_total": self.prompt_tokens,
            "vllm:num_preemptions_total": self.preemptions,
        }
        if self.guessed is not None:  # what never guesses has none of these
            counts |= {f"{GUESSES}draft_tokens_total": self.guessed, f"{GUESSES}accepted_tokens_total": self.right}
        latencies = (tuple(one.items()) for one in (self.first_token, self.between_tokens))
        return _text(self.started, self.refused, tuple(counts.items()), *latencies)


@functools.lru_cache(64)
def _text(started: float, refused: int, counts: Pairs, first_token: Pairs, between_tokens: Pairs) -> str:
    lines = [
        f"process_start_time_seconds {started}",
        *(f"{name}{{{LABELS}}} {float(number)}" for name, number in counts),
        f'vllm:admission_rejections_total{{model_name="m",reason="max_num_queued_reqs"}} {float(refused)}',
    ]
    for name, bounds, answers in (
        ("time_to_first_token", FIRST_TOKEN, first_token),
        ("inter_token_latency", BETWEEN_TOKENS, between_tokens),
    ):
        for bound in bounds:
            number = sum(count for seconds, count in answers if seconds <= bound)
            end = "+Inf" if bound == float("inf") else f"{bound}"
            lines.append(f'vllm:{name}_seconds_bucket{{{LABELS},le="{end}"}} {float(number)}')
    return "\n".join(lines) + "\n"
