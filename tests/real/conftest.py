"""Heavy proofs on real parts. `make test-real` installs what they need and runs them; `make test` leaves them out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "host")]

from boot import host  # noqa: E402, F401  a fixture
from scripts import load  # noqa: E402, F401  a fixture

GUESTS = ("test_bake", "test_boot")
"""Files that boot a guest, which takes both cores."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each file is a group (`--dist loadgroup`), and those that boot guests are one, which comes first.

    Last of it is the guest that several files share, since that lives to the end.
    """
    for item in items:
        group = "guests" if item.path.name.startswith(GUESTS) else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (not item.path.name.startswith(GUESTS), "host" in _fixtures(item)))


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])
