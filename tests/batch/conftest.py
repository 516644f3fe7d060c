"""Makes what works at a batch importable, as it lies there."""

from __future__ import annotations

import sys
from pathlib import Path

from tandem.scripts import DIRECTORY

sys.path[:0] = [str(Path(__file__).parent), *(str(DIRECTORY / room) for room in ("batch", "shared", "pod"))]
