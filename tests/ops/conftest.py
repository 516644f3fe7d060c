from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.account_gaps import AccountGaps, account_gaps
from rehearsal.moto import SimulatedAccount, simulated_account


@pytest.fixture(scope="session")
def moto_account() -> Iterator[SimulatedAccount]:
    """One moto server for all tests; `aws_account` empties it."""
    with simulated_account() as account:
        yield account


@pytest.fixture
def aws_account(moto_account: SimulatedAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccountGaps]:
    """An empty account in which everything is right, and the shell's credentials for it."""
    moto_account.reset()
    with account_gaps(moto_account.url) as gaps:
        for name, value in {**moto_account.environment("us-east-1"), "AWS_ENDPOINT_URL": gaps.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        yield gaps
