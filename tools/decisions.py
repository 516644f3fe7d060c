"""The index of the decisions: `python tools/decisions.py docs/decisions/README.md`, as `make docs` does.

A decision is a file NNNN-WORDS.md, numbered in the order in which they were made. Its third line is its status:

    Status: accepted · 2026-11-21        or: superseded by NNNN · 2026-12-01
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = Path(__file__).parents[1] / "docs" / "decisions"
FORM = re.compile(
    r"\A# (?P<title>.+)\n\nStatus: (?P<status>accepted|superseded by \d{4}) · (?P<date>\d{4}-\d\d-\d\d)\n"
)
HEAD = """# Decisions

What was worth arguing about, half a page each. Made by `make docs` from the files. A new one takes the next number; one
that no longer holds stays, with `Status: superseded by NNNN`, its successor's number.

| | decision | status | date |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Decision:
    """One decision, as its file says it."""

    file: str
    title: str
    status: str
    date: str

    @property
    def number(self) -> str:
        return self.file.partition("-")[0]


def decisions(directory: Path = DIRECTORY) -> list[Decision]:
    """All of them, by number.

    Raises:
        ValueError: a file does not begin as decisions do, or numbers are not 0001, 0002 and so on.
    """
    found = [_read(path) for path in sorted(directory.glob("*.md")) if path.name != "README.md"]
    wanted = [f"{number:04}" for number in range(1, len(found) + 1)]
    if (numbers := [one.number for one in found]) != wanted:
        raise ValueError(
            f"numbers are {', '.join(numbers)}; give each file its own, without gaps, {wanted[-1]} the last"
        )
    for one in found:
        if (successor := one.status.removeprefix("superseded by ")) != one.status and successor not in numbers:
            raise ValueError(f"{one.file}: there is no decision {successor}")
    return found


def page(found: list[Decision]) -> str:
    """The index, in Markdown."""
    rows = (f"| {one.number} | [{one.title}]({one.file}) | {one.status} | {one.date} |\n" for one in found)
    return HEAD + "".join(rows)


def _read(path: Path) -> Decision:
    found = FORM.match(path.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{path.name}: begin with `# TITLE`, an empty line, and `Status: accepted · YYYY-MM-DD`")
    return Decision(path.name, **found.groupdict())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(decisions()), encoding="utf-8")
