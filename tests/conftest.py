"""What all tests share."""

from __future__ import annotations

import pytest

NEEDS_A_SERVER = {"moto_server", "account", "simulated"}
NEEDS_A_CONTROL_PLANE = {"kubernetes"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what starts a simulated account or a control plane, so that the inner loop can leave it out."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if NEEDS_A_SERVER & fixtures:
            item.add_marker("account")
        if NEEDS_A_CONTROL_PLANE & fixtures:
            item.add_marker("kubernetes")
