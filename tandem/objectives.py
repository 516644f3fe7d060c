"""What a model's clients are promised, in figures. Pure: settings and what sizing says in, seconds and shares out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tandem.errors import Problem
from tandem.settings.commands import removed
from tandem.settings.observing import ObjectiveSettings
from tandem.settings.types import BETWEEN_TOKENS, FIRST_TOKEN

LATENCY_BUDGET = 0.01
"""Share of answers, and of tokens, that may be later than promised: the objectives are of the 99th percentile."""
FIRST_TOKENS, BETWEEN = 100, 4
"""A default is so many times what a token takes at least: a first token waits for its prompt and for others' prompts,
each further one shares its step with them. A lone request gets 60 to 80 % of the roofline (docs/sizing.md)."""
UNSIZED = 0.05
"""Seconds of a token of a model that is not sized."""


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """Of one model.

    Attributes:
        first_token_seconds: 99 of 100 answers have begun by then.
        between_tokens_seconds: 99 of 100 tokens come so soon after the one before.
        availability: share of requests that are answered, 0 to 1.
    """

    first_token_seconds: float
    between_tokens_seconds: float
    availability: float

    @property
    def error_budget(self) -> float:
        """Share of requests that may fail."""
        return 1 - self.availability


def objectives(settings: ObjectiveSettings, fastest_token_seconds: float | None) -> Objectives:
    """As set; what is unset follows from how long a token takes.

    Args:
        fastest_token_seconds: at least, on the slowest GPU of the fleet; None where sizing does not say.
    """
    token = fastest_token_seconds or UNSIZED
    return Objectives(
        first_token_seconds=settings.first_token_seconds or _bound(FIRST_TOKEN, max(2.5, FIRST_TOKENS * token)),
        between_tokens_seconds=settings.between_tokens_seconds or _bound(BETWEEN_TOKENS, max(0.1, BETWEEN * token)),
        availability=settings.availability_percent / 100,
    )


def impossible(settings: ObjectiveSettings, fastest_token_seconds: float | None, key: str) -> Iterator[Problem]:
    """Objectives that no server of this fleet can meet, however few ask it.

    Args:
        key: of the section, as it stands in the stack file.
    """
    if fastest_token_seconds is None:
        return
    said = {"firstTokenSeconds": settings.first_token_seconds, "betweenTokensSeconds": settings.between_tokens_seconds}
    for name, promised in said.items():
        if promised is not None and promised < fastest_token_seconds:
            yield Problem(
                key=f"{key}.{name}",
                wrong="is less than one token takes when nobody else asks: the weights must be read once for each",
                value=f"{promised:g}",
                allowed=f"{fastest_token_seconds:.3g} s and more on the slowest GPU of fleet.instanceTypes; a server "
                "under load takes some four times as long",
                fix=f"raise it, take GPUs with more bandwidth, or {removed(f'{key}.{name}')}",
            )


def _bound(bounds: Sequence[float], seconds: float) -> float:
    """The first bound that is not below; the last one where all are."""
    return next((bound for bound in bounds if bound >= seconds), bounds[-1])
