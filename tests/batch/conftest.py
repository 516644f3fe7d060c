"""Makes what works at a batch importable, as it lies there."""

from __future__ import annotations

import sys

from tandem.scripts import DIRECTORY

sys.path[:0] = [str(DIRECTORY / room) for room in ("batch", "shared")]
