"""Heavy proofs on real parts. `make test-real` installs what they need and runs them; `make test` leaves them out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "host")]

from boot import host  # noqa: E402, F401  a fixture
from groups import GUESTS, Groups  # noqa: E402
from scripts import load  # noqa: E402, F401  a fixture


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What boots guests comes first, and last of it the guest that several files share, since that lives to the end."""
    items.sort(key=lambda item: (not item.path.name.startswith(GUESTS), "host" in _fixtures(item)))


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])
