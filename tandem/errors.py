"""Errors that a user can mend. They are printed as they are, without a traceback."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        key: the setting, file, argument or resource concerned, as the user wrote or knows it (`network.egress`).
        wrong: what is wrong with it, in one sentence without a full stop.
        value: what was found; never a secret's value.
        allowed: what would be right, with units.
        fix: the next thing to do, a command where there is one.
        code: the rule that it breaks, for programs, to which prose is no interface; empty where no rule has it.
    """

    key: str
    wrong: str
    value: object = None
    allowed: str = ""
    fix: str = ""
    code: str = ""

    @property
    def command(self) -> str:
        """The first of `fix`, to be pasted or run; empty where it names none."""
        return command_in(self.fix)

    def __str__(self) -> str:
        lines = [f"{self.key}: {self.wrong}"]
        if self.value is not None:
            lines.append(f"  value:   {self.value!r}")
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.fix:
            lines.append(f"  fix:     {self.fix}")
        return "\n".join(lines)


def command_in(fix: str) -> str:
    """The first command that a remedy names; empty where it names none."""
    found = re.search(r"`([^`]+)`", fix)
    return found[1] if found else ""


def coded(code: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Problems of one rule, with its name."""
    return (replace(problem, code=code) for problem in problems)


_FEW = 3


def merged(problems: Iterable[Problem]) -> list[Problem]:
    """The problems, those of one cause as one that names what it concerns: a cause is said once."""
    by_cause: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in problems:
        by_cause.setdefault((problem.wrong, problem.allowed, problem.fix), []).append(problem)
    return [_as_one(same) for same in by_cause.values()]


def _as_one(same: Sequence[Problem]) -> Problem:
    first, values = same[0], list({repr(problem.value): problem.value for problem in same}.values())
    if len(same) == 1:
        return first
    value = values[0] if len(values) == 1 else _few([str(one) for one in values], "; ")
    return replace(first, key=_few(list(dict.fromkeys(problem.key for problem in same)), ", "), value=value)


def _few(texts: Sequence[str], separator: str) -> str:
    more = len(texts) - _FEW
    return separator.join(texts[:_FEW]) + (f" and {more} more" if more > 0 else "")


class UserError(Exception):
    """One or more problems, all found before anything was changed."""

    def __init__(self, *problems: Problem) -> None:
        if not problems:
            raise ValueError("a UserError names at least one problem")
        super().__init__("\n".join(str(problem) for problem in merged(problems)))
        self.problems = problems

    @classmethod
    def of(cls, *, key: str, wrong: str, value: object = None, allowed: str = "", fix: str = "") -> UserError:
        """One problem."""
        return cls(Problem(key=key, wrong=wrong, value=value, allowed=allowed, fix=fix))
