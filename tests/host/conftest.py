"""Makes the helpers beside the tests importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from machine import on  # noqa: F401  fixtures
from played import host, in_real_time  # noqa: F401
from scripts import load  # noqa: F401
