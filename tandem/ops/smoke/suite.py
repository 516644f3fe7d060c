"""Which checks there are, and how they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from tandem.ops.smoke.checks import (
    Smoke,
    certificate,
    chat,
    client_hangs_up,
    forbidden_paths,
    headers,
    long_prompt,
    models,
    plain_http,
    streamed_chat,
    structured_output,
    wrong_key,
)
from tandem.ops.smoke.pooled import answer, no_chat, too_long
from tandem.ops.smoke.result import Result, Skipped, Surprise

Check = Callable[[Smoke], str]

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "certificate": certificate,
        "plain http": plain_http,
        "models": models,
        "chat": chat,
        "streamed chat": streamed_chat,
        "structured output": structured_output,
        "wrong key": wrong_key,
        "forbidden paths": forbidden_paths,
        "headers": headers,
        "long prompt": long_prompt,
        "client hangs up": client_hangs_up,
    }
)
"""All checks of a model that generates by name, in the order in which they run."""
POOLED: Mapping[str, Check] = MappingProxyType(
    {
        "certificate": certificate,
        "plain http": plain_http,
        "models": models,
        "answer": answer,
        "no chat": no_chat,
        "wrong key": wrong_key,
        "forbidden paths": forbidden_paths,
        "headers": headers,
        "too long": too_long,
    }
)
"""Of one that embeds or scores."""


def run(smoke: Smoke) -> Iterator[Result]:
    """Runs all checks of its task, one after the other; each result comes as soon as it is known."""
    for name, check in (CHECKS if smoke.task == "generate" else POOLED).items():
        started = time.monotonic()
        try:
            outcome, detail = "ok", check(smoke)
        except Surprise as surprise:
            outcome, detail = "surprise", str(surprise)
        except Skipped as skipped:
            outcome, detail = "skipped", str(skipped)
        yield Result(name, outcome, smoke.target.redact(detail), time.monotonic() - started)
