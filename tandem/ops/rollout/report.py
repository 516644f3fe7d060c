"""Where rollouts happen, and what can be done there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tandem.rollout import Rollout


class Platform(Protocol):
    """Where rollouts happen. Each method can be called again after an interruption.

    Raises:
        UserError: AWS or the cluster refuses, or nothing is there.
        botocore's errors.
    """

    def look(self) -> Sequence[Rollout]:
        """All that the stack rolls out."""
        ...

    def cancel(self, rollout: Rollout) -> None:
        """Stops replacing; what runs stays as it is."""
        ...

    def runs(self, rollout: Rollout, version: str) -> Mapping[str, str]:
        """What a version runs, as `Version.runs`.

        Raises:
            UserError: there is none of that name.
        """
        ...

    def take(self, rollout: Rollout, version: str) -> None:
        """Goes to that version: what is under way ends, what starts of another is given up, what serves replaced."""
        ...

    def go_on(self, rollout: Rollout) -> None:
        """Ends a pause after the first new one."""
        ...
