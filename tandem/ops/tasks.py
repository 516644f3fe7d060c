"""What a stack's models do, for commands that ask them."""

from __future__ import annotations

from tandem.errors import Problem, UserError
from tandem.settings import Settings
from tandem.settings.schema import InferenceSettings


def served(settings: Settings, name: str | None) -> tuple[str, InferenceSettings]:
    """The model that clients call so, and the prefix of its keys; else the main one."""
    found = settings.scaled.items()
    model, inference = next(((model, one) for model, (one, _) in found if name in one.names), ("", settings.inference))
    return f"models.{model}." if model in settings.models else "", inference


def must_generate(settings: Settings, name: str | None, command: str) -> None:
    """
    Raises:
        UserError: the model makes no tokens, of which the command is.
    """
    prefix, inference = served(settings, name)
    if not inference.makes_tokens:
        raise UserError(
            Problem(
                key=f"{prefix}inference.task",
                wrong=f"makes no tokens, and {command} asks for some",
                value=inference.task,
                allowed="generate",
                fix="`tandem smoke` asks such a model for what it makes",
            )
        )
