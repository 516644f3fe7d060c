"""Makes what hosts and pods share importable, as it lies there."""

from __future__ import annotations

import sys

from tandem.scripts import DIRECTORY

sys.path.insert(0, str(DIRECTORY / "shared"))
