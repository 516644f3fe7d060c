"""The commands that change a setting, as errors print them to be pasted."""

from __future__ import annotations

import functools
import re
import shlex

NAMESPACE = "tandem"


def set_to(key: str, value: object) -> str:
    """Sets one; a value in capitals is to be replaced by one's own.

    Args:
        key: as `place` has it.
    """
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`pulumi config set --path '{place(key)}' {shlex.quote(text)}`"


def removed(key: str, *names: str) -> str:
    """Removes one, which then has its default; `names` as `place` has them."""
    return f"`pulumi config rm --path '{place(key, *names)}'`"


def place(key: str, *names: str) -> str:
    """As `--path` of `pulumi config` reads it: names with a dot in quotes.

    Args:
        key: with dots between its parts, and entries of lists by number (`network.zones[1]`).
        names: of one's own below it, which may have dots themselves.
    """
    return f"{NAMESPACE}:{functools.reduce(below, names, key)}"


def below(key: str, name: str) -> str:
    """A key and the name of a part of it."""
    return f"{key}.{name}" if re.fullmatch(r"[\w:/-]+", name) else f'{key}["{name}"]'
