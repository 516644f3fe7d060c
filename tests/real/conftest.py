"""Heavy proofs on real parts. `make test-real` installs what they need and runs them; `make test` leaves them out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "host")]

from boot import host  # noqa: E402, F401  a fixture
from scripts import load  # noqa: E402, F401  a fixture


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each file is a group (`--dist loadgroup`), and the files that share a guest are one."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
