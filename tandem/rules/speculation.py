"""What vLLM refuses of speculative decoding, beside it or without it (`vllm/config/speculative.py`, `vllm.py`)."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import InferenceSettings, Settings


def guesses_can_be_made(settings: Settings) -> Iterator[Problem]:
    """The pinned release would not start."""
    for prefix, inference, _ in models(settings):
        yield from _spans(f"{prefix}inference.speculation", inference)
        for number, argument in enumerate(inference.extra_arguments):
            yield from _arguments(f"{prefix}inference.", number, argument, inference)


def _spans(key: str, inference: InferenceSettings) -> Iterator[Problem]:
    said = inference.speculation
    if said and (said.prompt_lookup_min or 0) > (most := said.prompt_lookup_max or said.prompt_lookup_min or 0):
        yield Problem(
            key=f"{key}.promptLookupMin",
            wrong="is more than promptLookupMax",
            value=said.prompt_lookup_min,
            allowed=f"1 to {most}",
            fix=f"{set_to(f'{key}.promptLookupMin', most)}, or raise the other",
        )


def _arguments(at: str, number: int, argument: str, inference: InferenceSettings) -> Iterator[Problem]:
    key, (name, _, value) = f"{at}extraArguments[{number}]", argument.partition("=")
    if inference.speculation and name == "--async-scheduling":
        yield Problem(
            key=key,
            wrong="vLLM schedules no step before it knows what n-grams guess, and would refuse to start",
            value=argument,
            allowed=f"without {at}speculation",
            fix=f"{removed(key)}, or {removed(f'{at}speculation')}",
        )
    if not inference.speculation and name == "--per-request-spec-decode-metrics" and value != "none":
        yield Problem(
            key=key,
            wrong="nothing is guessed, and vLLM would refuse to start",
            value=argument,
            allowed=f"together with {at}speculation",
            fix=f"{set_to(f'{at}speculation.tokens', 4)}, or {removed(key)}",
        )
