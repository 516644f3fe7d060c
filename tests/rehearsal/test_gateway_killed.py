"""Kills `pulumi up` of a stack with a gateway for teams with SIGKILL at several points, and recovers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import attach
from pulumi_rehearsal.providers import random_provider, time_provider, tls_provider
from pulumi_rehearsal.workspace import Workspace
from rehearsal import placeholders
from rehearsal.account import simulated_account
from rehearsal.scene import open_workspace, pins_of
from tandem import type_tokens as types
from tests.rehearsal.deadly import DeadlyProvider
from tests.rehearsal.test_gateway import EPHEMERAL, with_a_zone
from tests.rehearsal.test_interrupted import REGION, STACK, found, kill_up_at, recorded, recover
from tests.rehearsal.watched import done

pytestmark = [pytest.mark.engine, pytest.mark.long]


@pytest.fixture(scope="module")
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as account:
        yield account


@pytest.fixture(scope="module")
def provider(account: SimulatedAccount) -> DeadlyProvider:
    return DeadlyProvider(account)


@pytest.fixture(scope="module")
def workspace(account: SimulatedAccount, provider: DeadlyProvider, pulumi_engine: Engine) -> Iterator[Workspace]:
    with (
        attach(provider, random_provider(), tls_provider(), time_provider()) as providers,
        open_workspace(STACK, pulumi_engine, providers, account.environment(REGION)) as workspace,
    ):
        placeholders.fill(pins_of(workspace))
        workspace.stack_file.write_text(EPHEMERAL)
        with_a_zone(workspace, account)
        yield workspace


def tagged(workspace: Workspace) -> Counter[tuple[str, str]]:
    """All that is recorded but the records that prove a certificate, which bear no mark in a zone of somebody's."""
    proofs = {key for key in recorded(workspace) if key[0] == types.RECORD and key[1].endswith("_CNAME")}
    return Counter({key: count for key, count in recorded(workspace).items() if key not in proofs})


@pytest.mark.parametrize(
    ("type", "adopted"),
    [
        pytest.param(types.SERVICES, False, id="the cluster"),
        pytest.param(types.DATABASE_SUBNETS, False, id="before the database"),
        pytest.param(types.DATABASE, True, id="with data"),
        pytest.param(types.CACHE, False, id="the cache"),
        pytest.param(types.SERVICE, False, id="the copies"),
    ],
)
def test_a_killed_up_is_recovered(
    workspace: Workspace, account: SimulatedAccount, provider: DeadlyProvider, type: str, adopted: bool
) -> None:
    kill_up_at(workspace, provider, type)
    assert type in {kind for kind, _ in found(account)}, "created, and the engine never heard of it"

    recover(workspace)

    assert found(account) == tagged(workspace)
    assert (type in {kind for kind, _ in recorded(workspace)}) is adopted


def test_then_up_ends_in_the_wanted_state(workspace: Workspace, account: SimulatedAccount) -> None:
    done(workspace.up())
    assert found(account) == tagged(workspace)
    assert max(found(account).values()) == 1
    assert done(workspace.up()).changing() == []
    done(workspace.destroy())
    assert found(account) == Counter()
