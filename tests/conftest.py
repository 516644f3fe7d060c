"""What all tests share."""

from __future__ import annotations

import pytest

NEEDS_A_SERVER = {"moto_server", "account", "simulated"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what starts a simulated account, so that the inner loop can leave it out."""
    for item in items:
        if NEEDS_A_SERVER & set(getattr(item, "fixturenames", ())):
            item.add_marker("account")
