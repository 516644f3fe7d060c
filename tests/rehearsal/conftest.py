from __future__ import annotations

import pytest

from rehearsal import engine
from rehearsal.engine import Engine


@pytest.fixture(scope="session")
def pulumi_engine() -> Engine:
    """The real engine; the first test run on a machine installs or builds it."""
    return engine.ensure(print)
