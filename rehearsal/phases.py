"""Goes through one phase of a rehearsal: what breaks it is a failure of the report, and not the end of the command."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from pulumi_rehearsal.errors import SetupError
from rehearsal.expectations import Verdict
from rehearsal.report import Phase
from tandem.errors import UserError


def go_through(name: str, body: Callable[[Phase], None]) -> tuple[Phase, bool]:
    """Times a phase.

    Args:
        body: adds to the phase what it finds.

    Returns:
        The phase, with what it had found until it broke, and whether it broke: what comes after it means nothing then.
    """
    phase, broken, started = Phase(name), False, time.monotonic()
    try:
        body(phase)
    except Exception as error:
        phase.verdicts.append(Verdict("the phase goes through to its end", _told(error)))
        broken = True
    phase.seconds = time.monotonic() - started
    return phase, broken


def _told(error: Exception) -> tuple[str, ...]:
    """In words where there are some, else with the way to the line."""
    lines = [str(error)] if isinstance(error, UserError | SetupError) else traceback.format_exception(error)
    return tuple("".join(lines).splitlines())
