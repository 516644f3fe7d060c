"""One thing that the doctor saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Literal

from tandem.errors import Problem, command_in

Severity = Literal["ok", "unknown", "warning", "error"]
"""ok: as it should be. unknown: could not be looked at. warning: `up` works and something later does not, or costs
more than expected. error: `up` fails, or no host ever serves."""

SEVERITIES: tuple[Severity, ...] = ("ok", "unknown", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """What was seen, and what to do about it.

    Attributes:
        check: the check that found it.
        code: the rule that is broken, where there is one: what programs may tell findings by, beside the check.
        what: one sentence without a full stop.
        value: what is there; never a secret's value.
        needed: what would be right, with units.
        fix: the exact command or link that mends it; empty for "ok".
    """

    severity: Severity
    what: str
    value: str = ""
    needed: str = ""
    fix: str = ""
    check: str = ""
    code: str = ""

    def of(self, check: str) -> Finding:
        """The same, found by a check."""
        return replace(self, check=check)

    def as_json(self) -> dict[str, str]:
        """All of it, and the first command of the remedy by itself."""
        return asdict(self) | {"command": command_in(self.fix)}


def from_problem(problem: Problem, severity: Severity = "error") -> Finding:
    """A problem of the settings, or of a call, as a finding."""
    value = "" if problem.value is None else str(problem.value)
    return Finding(
        severity=severity,
        what=f"{problem.key}: {problem.wrong}",
        value=value,
        needed=problem.allowed,
        fix=problem.fix,
        code=problem.code,
    )


ok, unknown = partial(Finding, "ok"), partial(Finding, "unknown")
warning, error = partial(Finding, "warning"), partial(Finding, "error")
"""A finding of each severity."""


def or_fine(complaints: Iterable[Finding], what: str, value: str) -> Iterator[Finding]:
    """Each complaint; where there is none, that all is as it should be."""
    fine = True
    for complaint in complaints:
        fine = False
        yield complaint
    if fine:
        yield ok(what, value)


def worst(findings: Iterable[Finding]) -> Severity:
    """The severity of the worst one; "ok" for none."""
    rank = max((SEVERITIES.index(finding.severity) for finding in findings), default=0)
    return SEVERITIES[rank]


def exit_status(findings: Iterable[Finding]) -> int:
    """0: nothing stands in the way. 1: warnings, or something that could not be looked at. 2: `up` would fail."""
    return {"ok": 0, "unknown": 1, "warning": 1, "error": 2}[worst(findings)]
