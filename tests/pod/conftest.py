"""Makes what runs in a pod importable, as it lies there: all modules in one directory; and the hosts' helpers."""

from __future__ import annotations

import sys
from pathlib import Path

from tandem.scripts import DIRECTORY

sys.path[:0] = [
    *(str(DIRECTORY / room) for room in ("pod", "shared")),
    str(Path(__file__).parents[1] / "host"),
]
