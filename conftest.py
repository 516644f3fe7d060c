"""What all tests share."""

from __future__ import annotations

import gc
import os

import pytest

import rehearsal as _its_cache  # noqa: F401 (the simulator builds once for all, its own tests as well)

OF_A_TERMINAL = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables by which rich and typer break lines and colour; a test that is about one sets it."""
NEEDS_A_SERVER = {"moto_server", "moto", "moto_url", "bucket", "account", "simulated"}
NEEDS_A_CONTROL_PLANE = {"kubernetes"}
WAITS_ON_THE_CLOCK = {"in_real_time", "vllm", "connection"}
GARBAGE = (100_000, 20, 20)
"""gc.set_threshold: new objects before a look at them, and looks before one at the older. Python's own, 700, 10 and 10,
spend a tenth of the inner loop's processor time on looks that find nothing."""


def pytest_configure() -> None:
    """The same output in every shell, and no look for garbage while modules are imported."""
    gc.disable()
    for name in OF_A_TERMINAL:
        os.environ.pop(name, None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what starts a simulated account or a control plane, or waits, so that the inner loop can leave it out.

    What starts servers and engines runs first: thousands of short tests then fill the workers to the same moment.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if NEEDS_A_SERVER & fixtures:
            item.add_marker("account")
        if NEEDS_A_CONTROL_PLANE & fixtures:
            item.add_marker("kubernetes")
        if WAITS_ON_THE_CLOCK & fixtures:
            item.add_marker("clock")
    marked = [(item.path, {mark.name for mark in item.iter_markers()}) for item in items]
    engines = {path for path, marks in marked if "engine" in marks}
    servers = {path for path, marks in marked if "account" in marks}
    items.sort(key=lambda item: (item.path not in engines, item.path not in servers))


def pytest_collection_finish() -> None:
    """Modules stay until the end, with what little garbage they left: the collector need not look at them at all."""
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure() -> None:
    """pytest ends with five looks at all that is there, in each worker, for warnings of what ends anyhow."""
    gc.freeze()
