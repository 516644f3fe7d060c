from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rehearsal.aws import AwsProvider
from rehearsal.moto import SimulatedAccount, simulated_account
from tests.rehearsal.aws.world import World


@pytest.fixture(scope="session")
def account() -> Iterator[SimulatedAccount]:
    """One moto server for all tests; names are unique to each world, so nothing has to be emptied between them."""
    with simulated_account() as account:
        yield account


@pytest.fixture
def world(account: SimulatedAccount) -> World:
    return World(AwsProvider(account))


@pytest.fixture
def world_with(account: SimulatedAccount) -> Callable[..., World]:
    """A world with default tags or in another region."""
    return lambda **options: World(AwsProvider(account), **options)
