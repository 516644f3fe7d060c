"""Counts the starts of a server since its last token. For hosts and pods alike."""

from __future__ import annotations

import json
import time
from pathlib import Path

from basics import write

TRIES = 3  # starts that end without a token, before one with an empty compile cache


def read(file: Path) -> tuple[int, float]:
    """Starts since the last token, and when the last of them was (time.time); 0 where a token came."""
    return tuple(json.loads(file.read_text())) if file.exists() else (0, 0)


def count(file: Path) -> int:
    """One start more: its number."""
    number = read(file)[0] + 1
    write(file, json.dumps([number, time.time()]))
    return number
