"""The text files of cloud-init/ that have values to fill in. A value that is missing is an error."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from tandem.scripts import DIRECTORY


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(DIRECTORY),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  plain text files, not HTML
    )


def filled_in(name: str, **values: Any) -> str:
    """A template of cloud-init/ with its values."""
    return _environment().get_template(name).render(**values)
