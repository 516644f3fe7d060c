from __future__ import annotations

import pytest

from pulumi_rehearsal import engine
from pulumi_rehearsal.engine import Engine


@pytest.fixture(scope="session")
def pulumi_engine() -> Engine:
    """The real engine; the first test run on a machine installs or builds it."""
    return engine.ensure(print)
