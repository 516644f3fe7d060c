"""Settings that hold: read from Pulumi's configuration or a stack file, then held against the rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from tandem import rules
from tandem.errors import UserError
from tandem.settings import Settings, parsing


def load(config: Mapping[str, str], secret_keys: Collection[str] = ()) -> Settings:
    """Settings from Pulumi's configuration; the arguments are those of `parsing.parse`.

    Raises:
        UserError: with every problem found, before anything is created.
    """
    return _held(parsing.parse(config, secret_keys))


def load_stack_file(path: Path) -> Settings:
    """Settings from a Pulumi.STACK.yaml, without an engine; encrypted values stay out of reach and count as set.

    Raises:
        UserError: the file is missing, is not YAML, or its settings are wrong.
    """
    return _held(parsing.parse_stack_file(path))


def _held(settings: Settings) -> Settings:
    if found := rules.problems(settings):
        raise UserError(*found)
    return settings
