"""Heavy proofs on real parts. `make test-real` installs what they need and runs them; `make test` leaves them out."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "host")]

from scripts import load  # noqa: E402, F401  a fixture
