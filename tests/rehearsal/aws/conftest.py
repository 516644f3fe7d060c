from __future__ import annotations

from collections.abc import Iterator

import pytest

from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.account import simulated_account


@pytest.fixture(scope="session")
def account() -> Iterator[SimulatedAccount]:
    """One moto server for all tests; names are unique to each test, so nothing has to be emptied between them."""
    with simulated_account() as account:
        yield account
