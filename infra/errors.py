"""Errors that a user can mend. They are printed as they are, without a traceback."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        key: the setting, file, argument or resource concerned, as the user wrote or knows it (`network.egress`).
        wrong: what is wrong with it, in one sentence without a full stop.
        value: what was found; never a secret's value.
        allowed: what would be right, with units.
        fix: the next thing to do, a command where there is one.
    """

    key: str
    wrong: str
    value: object = None
    allowed: str = ""
    fix: str = ""

    def __str__(self) -> str:
        lines = [f"{self.key}: {self.wrong}"]
        if self.value is not None:
            lines.append(f"  value:   {self.value!r}")
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.fix:
            lines.append(f"  fix:     {self.fix}")
        return "\n".join(lines)


class UserError(Exception):
    """One or more problems, all found before anything was changed."""

    def __init__(self, *problems: Problem) -> None:
        if not problems:
            raise ValueError("a UserError names at least one problem")
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
