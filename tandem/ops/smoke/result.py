"""What a check says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["ok", "surprise", "skipped"]


class Surprise(Exception):
    """The API did something else than it should; the message says what, and what was expected."""


class Skipped(Exception):
    """There is nothing to check here; the message says why."""


@dataclass(frozen=True)
class Result:
    """One check's outcome.

    Attributes:
        detail: figures of a check that passed, or what was expected and what came.
    """

    check: str
    outcome: Outcome
    detail: str
    seconds: float

    def line(self) -> str:
        """All but the outcome, in columns."""
        return f"{self.check:<19}{self.seconds:6.2f} s  {self.detail}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": round(self.seconds, 3)}
