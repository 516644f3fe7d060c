"""What a stack's models do, for commands that ask them."""

from __future__ import annotations

from tandem.errors import UserError
from tandem.rules.cluster import prefix_of
from tandem.settings import Settings
from tandem.tags import MAIN_MODEL


def called(settings: Settings, name: str | None) -> str:
    """The model that clients call so; else the main one."""
    found = (model for model, (one, _) in settings.scaled.items() if name in one.names)
    return next(found, MAIN_MODEL)


def must_generate(settings: Settings, name: str | None, command: str) -> None:
    """
    Raises:
        UserError: the model makes no tokens, of which the command is.
    """
    model = called(settings, name)
    inference = settings.of(model).inference
    if not inference.makes_tokens:
        raise UserError.of(
            key=f"{prefix_of(model)}inference.task",
            wrong=f"makes no tokens, and {command} asks for some",
            value=inference.task,
            allowed="generate",
            fix="`tandem smoke` asks such a model for what it makes",
        )
