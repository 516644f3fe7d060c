"""Bytes, and the units that people read."""

from __future__ import annotations

MIB = 2**20
GIB = 2**30

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


def divide_up(amount: int, part: int) -> int:
    """How many parts hold the amount."""
    return -(-amount // part)


def round_up(amount: int, multiple: int) -> int:
    """The next multiple that is not smaller."""
    return divide_up(amount, multiple) * multiple
