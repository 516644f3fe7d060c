"""Commands that are imported when they are called: the list of them costs nothing but their names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tandem.errors import UserError

ONLY_IN_A_CLONE = ("pulumi_rehearsal", "rehearsal")
"""Packages beside tandem that its wheel leaves out."""


class Deferred(TyperCommand):
    """Stands for a command in its group's list, and becomes it once it is called: what the module of its name has as
    `app`, a Typer with commands below this one, or else the function of its name.

    Args:
        summary: what the list says of it.
    """

    def __init__(self, name: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._name = name

    @cached_property
    def command(self) -> Any:
        """The command itself; imports it.

        Raises:
            UserError: it needs what only a clone of the project has.
        """
        try:
            module = import_module(f"tandem.ops.commands.{self._name}")
        except ModuleNotFoundError as error:
            if error.name not in ONLY_IN_A_CLONE:
                raise
            raise UserError.of(
                key=f"tandem {self.name}",
                wrong=f"it needs the package {error.name}, which is not installed with tandem",
                fix="call it in a clone of the project: uv run tandem ...",
            ) from None
        if (found := getattr(module, "app", None)) is None:
            found = typer.Typer(add_completion=False)
            found.command()(getattr(module, self._name))
        made = get_command(found)
        made.name = self.name
        return made

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself: from here on the group has nothing more to do with this one."""
        return self.command.make_context(info_name, args, parent=parent, **extra)


def group_of(summaries: Mapping[str, str]) -> type[TyperGroup]:
    """A group, as `typer.Typer(cls=...)` takes it, whose commands are these."""

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            commands = {name: Deferred(name, summary) for name, summary in summaries.items()}
            super().__init__(**{**attributes, "commands": commands})

    return Group
