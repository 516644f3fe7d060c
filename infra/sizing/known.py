"""The shapes of the catalog's models."""

from __future__ import annotations

from functools import cache

from infra.catalog.models import MODELS
from infra.sizing.reading import read_shape
from infra.sizing.shapes import ModelShape


@cache
def catalog_shape(model: str) -> ModelShape:
    """What decides the memory of a model of the catalog.

    Raises:
        KeyError: the catalog lacks it.
    """
    return read_shape(MODELS[model].config)
