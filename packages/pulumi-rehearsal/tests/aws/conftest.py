from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pulumi_rehearsal.aws import AwsProvider
from pulumi_rehearsal.moto import SimulatedAccount, simulated_account
from simulated.world import World

INSTANCE_TYPES = ("g6.12xlarge", "m7i.large")


@pytest.fixture(scope="session")
def account() -> Iterator[SimulatedAccount]:
    """One moto server for all tests; names are unique to each world, so nothing has to be emptied between them."""
    with simulated_account(INSTANCE_TYPES) as account:
        yield account


@pytest.fixture
def world(account: SimulatedAccount) -> World:
    return World(AwsProvider(account))


@pytest.fixture
def world_with(account: SimulatedAccount) -> Callable[..., World]:
    """A world with default tags or in another region."""
    return lambda **options: World(AwsProvider(account), **options)
