"""The shapes of the catalog's models."""

from __future__ import annotations

from functools import cache

from tandem.catalog.models import MODELS
from tandem.sizing.reading import read_shape
from tandem.sizing.shapes import ModelShape


@cache
def catalog_shape(model: str) -> ModelShape:
    """What decides the memory of a model of the catalog.

    Raises:
        KeyError: the catalog lacks it.
    """
    return read_shape(MODELS[model].config)
