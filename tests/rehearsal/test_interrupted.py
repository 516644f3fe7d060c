"""Kills `pulumi up` with SIGKILL in the middle, four times on the way up, and recovers as docs/runbook.md says."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import attach
from pulumi_rehearsal.providers import random_provider, time_provider, tls_provider
from pulumi_rehearsal.workspace import Workspace
from rehearsal import placeholders
from rehearsal.account import simulated_account
from rehearsal.scene import open_workspace, pins_of
from tandem.ops import inventory
from tandem.ops.kinds import KINDS, state_key
from tandem.ops.kinds.kind import Clients
from tests.rehearsal.deadly import DeadlyProvider

pytestmark = [pytest.mark.engine, pytest.mark.long]

STACK = "dev"
REGION = "us-east-1"

FILE_SYSTEM = "aws:efs/fileSystem:FileSystem"
SUBNET = "aws:ec2/subnet:Subnet"
LOAD_BALANCER = "aws:lb/loadBalancer:LoadBalancer"
GROUP = "aws:autoscaling/group:Group"


@pytest.fixture(scope="module")
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as account:
        yield account


@pytest.fixture(scope="module")
def provider(account: SimulatedAccount) -> DeadlyProvider:
    return DeadlyProvider(account)


@pytest.fixture(scope="module")
def workspace(account: SimulatedAccount, provider: DeadlyProvider, pulumi_engine: Engine) -> Iterator[Workspace]:
    """The shipped development stack."""
    with (
        attach(provider, random_provider(), tls_provider(), time_provider()) as providers,
        open_workspace(STACK, pulumi_engine, providers, account.environment(REGION)) as workspace,
    ):
        placeholders.fill(pins_of(workspace))
        yield workspace


def kill_up_at(workspace: Workspace, provider: DeadlyProvider, type: str) -> str:
    """Runs `up` until a resource of the type is created; returns the id, which the state does not know."""
    provider.deadly, provider.struck = ("create", type), ""
    command = [workspace.command, "up", "--stack", STACK, "--yes", "--skip-preview", "--non-interactive"]
    engine = subprocess.Popen(
        command, cwd=workspace.directory, env=dict(workspace.environment), stdout=subprocess.DEVNULL
    )
    provider.kill = lambda: (engine.kill(), engine.wait())
    status = engine.wait(timeout=300)
    provider.kill = None
    provider.settle()  # what else was being created goes on for a moment after the engine's death
    assert provider.struck, f"no {type} was created"
    assert status == -9
    return provider.struck


def recover(workspace: Workspace) -> str:
    """`tandem recover dev --yes`, in the directory of Pulumi.yaml."""
    tandem = Path(sys.executable).with_name("tandem")
    done = subprocess.run(
        [tandem, "recover", STACK, "--yes"],
        cwd=workspace.directory,
        env={**workspace.environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def found(account: SimulatedAccount) -> Counter[tuple[str, str]]:
    """What boto3 finds of the types that the program declares, by type and id."""
    clients: Clients = lambda service: account.client(service, REGION)  # noqa: E731
    listed = inventory.find(clients, STACK)
    assert listed.unreadable == []
    return Counter(resource.key for resource in listed.resources if KINDS[resource.type].program)


def recorded(workspace: Workspace) -> Counter[tuple[str, str]]:
    return Counter(state_key(resource) for resource in workspace.resources() if resource["type"] in KINDS)


@pytest.mark.parametrize(
    ("type", "adopted"),
    [
        pytest.param(FILE_SYSTEM, True, id="early, with data"),
        pytest.param(SUBNET, False, id="with siblings"),
        pytest.param(LOAD_BALANCER, False, id="middle"),
        pytest.param(GROUP, False, id="late"),
    ],
)
def test_a_killed_up_is_recovered(
    workspace: Workspace, account: SimulatedAccount, provider: DeadlyProvider, type: str, adopted: bool
) -> None:
    id = kill_up_at(workspace, provider, type)
    lost = found(account) - recorded(workspace)
    assert (type, id) in lost, "created, not recorded"

    recover(workspace)

    assert found(account) == recorded(workspace)
    assert ((type, id) in recorded(workspace)) is adopted
    assert ((type, id) in found(account)) is adopted


def test_then_up_ends_in_the_wanted_state(workspace: Workspace, account: SimulatedAccount) -> None:
    up = workspace.up()
    assert up.succeeded, up.messages
    assert found(account) == recorded(workspace)
    assert max(found(account).values()) == 1
    again = workspace.up()
    assert again.changing() == []
    destroy = workspace.destroy()
    assert destroy.succeeded, destroy.messages
    assert found(account) == Counter()
