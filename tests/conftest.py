"""What all tests share."""

from __future__ import annotations

import os

import pytest

OF_A_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables by which rich and typer break lines and colour; a test that is about one sets it."""
NEEDS_A_SERVER = {"moto_server", "moto", "account", "simulated"}
NEEDS_A_CONTROL_PLANE = {"kubernetes"}


def pytest_configure() -> None:
    """The same output in every shell."""
    for name in OF_A_TERMINAL:
        os.environ.pop(name, None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what starts a simulated account or a control plane, so that the inner loop can leave it out.

    What starts servers and engines runs first: thousands of short tests then fill the workers to the same moment.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if NEEDS_A_SERVER & fixtures:
            item.add_marker("account")
        if NEEDS_A_CONTROL_PLANE & fixtures:
            item.add_marker("kubernetes")
    marked = [(item.path, {mark.name for mark in item.iter_markers()}) for item in items]
    engines = {path for path, marks in marked if "engine" in marks}
    servers = {path for path, marks in marked if "account" in marks}
    items.sort(key=lambda item: (item.path not in engines, item.path not in servers))
