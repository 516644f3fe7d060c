"""Makes what runs in a pod importable, as it lies there: all modules in one directory."""

from __future__ import annotations

import sys

from infra.scripts import DIRECTORY

sys.path[:0] = [str(DIRECTORY / room) for room in ("pod", "shared")]
