"""The terminal. What an account's data says is shown as it is, whatever it is made of."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

_HIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Control characters but the line feed, and those that only change how others look or in which order."""
_PIPE_COLUMNS = 1000
"""So wide is what no terminal shows, such as a file or another program's input: no id is cut or folded."""


def visible(text: object) -> str:
    """The text with what a terminal would obey, not show, written out (`\\x1b`)."""
    return _HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), str(text))


class Screen(Console):
    """A console without markup, without emoji names, and with no escape sequence but its own styles.

    Args:
        wrap: break lines between words, for prose; an id is never in it.
    """

    def __init__(self, *, stderr: bool = False, wrap: bool = False) -> None:
        terminal = (sys.stderr if stderr else sys.stdout).isatty()
        width = None if terminal or wrap or "COLUMNS" in os.environ else _PIPE_COLUMNS
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=not wrap, width=width)

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as it is; every string that is printed, also in a table, comes through here."""
        kept = {name: options[name] for name in ("style", "justify", "overflow") if options.get(name) is not None}
        return Text(visible(text), **kept)

    def marked(self, mark: str, style: str, text: str) -> None:
        """A line that begins with a coloured mark."""
        self.print(Text.assemble((mark, style), visible(text)))

    def status(self, status: Any, **options: Any) -> Status:
        """A line that says what is going on, on terminals only."""
        return super().status(Text(visible(status)), **options)


@contextmanager
def continued(console: Screen, command: str) -> Iterator[None]:
    """Ctrl-C leaves what there is, and says how to go on; exit status 130."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"\nInterrupted. To go on: {command}")
        raise typer.Exit(130) from None


def columns(*names: str, title: str = "") -> Table:
    """A table whose cells are folded where a terminal is too narrow for them, never cut; `$` columns to the right."""
    made = Table(title=title or None, title_justify="left")
    for name in names:
        made.add_column(name, overflow="fold", justify="right" if name.startswith("$") else "left")
    return made
