"""Simulated accounts for the commands that speak to AWS."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.account import account_gaps, simulated_account
from tandem.ops.doctor.address import DNS_VARIABLE
from tandem.ops.kinds.kind import Clients
from tests.ops.account import REGION
from tests.ops.broken_account import World


@pytest.fixture(scope="session")
def moto_server() -> Iterator[SimulatedAccount]:
    """One moto server for all tests of a worker."""
    with simulated_account() as account:
        yield account


@pytest.fixture
def account(moto_server: SimulatedAccount) -> SimulatedAccount:
    """An empty account."""
    moto_server.reset()
    return moto_server


@pytest.fixture
def clients(account: SimulatedAccount) -> Clients:
    """boto3 clients of an empty account, in the region of these tests."""
    return lambda service: account.client(service, REGION)


@pytest.fixture
def aws_account(moto_server: SimulatedAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccountGaps]:
    """An empty account in which everything is right, moto's gaps filled, and the shell's credentials for it."""
    moto_server.reset()
    with account_gaps(moto_server.url) as gaps:
        for name, value in {**moto_server.environment("us-east-1"), "AWS_ENDPOINT_URL": gaps.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials of another test
        yield gaps


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Public DNS and the model hub, where the doctor looks for them."""
    world = World()
    monkeypatch.setenv("HF_ENDPOINT", world.url)
    monkeypatch.setenv(DNS_VARIABLE, f"{world.url}/resolve")
    yield world
    world.server.shutdown()
    world.server.server_close()
