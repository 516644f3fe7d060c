"""Commands that are imported when they are called: the list of them costs nothing but their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tandem.errors import UserError

ONLY_IN_A_CLONE = ("pulumi_rehearsal", "rehearsal")
"""Packages beside tandem that its wheel leaves out."""


@dataclass(frozen=True)
class Place:
    """Where a command is, and what a list of commands says of it.

    Attributes:
        name: `module:name` of a function, or of a Typer with commands below this one.
        summary: the first sentence of its help, which a test holds to it.
    """

    name: str
    summary: str


class Deferred(TyperCommand):
    """Stands for a command in its group's list, and becomes it once it is called."""

    def __init__(self, name: str, place: Place) -> None:
        super().__init__(name, help=place.summary)
        self._place = place

    @cached_property
    def command(self) -> Any:
        """The command itself; imports it.

        Raises:
            UserError: it needs what only a clone of the project has.
        """
        module, _, name = self._place.name.partition(":")
        try:
            found = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            if error.name not in ONLY_IN_A_CLONE:
                raise
            raise UserError.of(
                key=f"tandem {self.name}",
                wrong=f"it needs the package {error.name}, which is not installed with tandem",
                fix="call it in a clone of the project: uv run tandem ...",
            ) from None
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command()(found)
            found = alone
        made = get_command(found)
        made.name = self.name
        return made

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself: from here on the group has nothing more to do with this one."""
        return self.command.make_context(info_name, args, parent=parent, **extra)


def group_of(places: Mapping[str, Place]) -> type[TyperGroup]:
    """A group, as `typer.Typer(cls=...)` takes it, whose commands are these."""

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            commands = {name: Deferred(name, place) for name, place in places.items()}
            super().__init__(**{**attributes, "commands": commands})

    return Group
