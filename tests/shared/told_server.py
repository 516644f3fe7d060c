"""A vLLM server that tells what a test wants of it.

Stands for: vLLM's metrics, those that telemetry reads.
Held by: tests/real/test_telemetry.py::test_a_real_server_tells_all_that_is_read
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

UP_TO_80 = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, *UP_TO_80, 160.0, 640.0, 2560.0, float("inf"))
BETWEEN_TOKENS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    float("inf"),
)
LABELS = 'engine="0",model_name="m"'


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
    first_token: Counter[float] = field(default_factory=Counter)
    between_tokens: Counter[float] = field(default_factory=Counter)
    answers: bool = True

    def ask(self) -> str:
        if not self.answers:
            raise ConnectionRefusedError
        lines = [
            f"process_start_time_seconds {self.started}",
            f"vllm:num_requests_running{{{LABELS}}} {float(self.running)}",
            f"vllm:num_requests_waiting{{{LABELS}}} {float(self.waiting)}",
            f"vllm:kv_cache_usage_perc{{{LABELS}}} {self.cache}",
            f"vllm:generation_tokens_total{{{LABELS}}} {float(self.tokens)}",
            f"vllm:prompt_tokens_total{{{LABELS}}} {float(self.prompt_tokens)}",
            f"vllm:num_preemptions_total{{{LABELS}}} {float(self.preemptions)}",
            f'vllm:admission_rejections_total{{model_name="m",reason="max_num_queued_reqs"}} {float(self.refused)}',
        ]
        for name, bounds, counts in (
            ("time_to_first_token", FIRST_TOKEN, self.first_token),
            ("inter_token_latency", BETWEEN_TOKENS, self.between_tokens),
        ):
            for bound in bounds:
                number = sum(count for seconds, count in counts.items() if seconds <= bound)
                end = "+Inf" if bound == float("inf") else f"{bound}"
                lines.append(f'vllm:{name}_seconds_bucket{{{LABELS},le="{end}"}} {float(number)}')
        return "\n".join(lines) + "\n"
