"""SIGKILL in the middle of each command that makes or removes a stack: the same command, run again, goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import attach
from pulumi_rehearsal.providers import random_provider, time_provider, tls_provider
from pulumi_rehearsal.workspace import Workspace
from rehearsal import placeholders
from rehearsal.account import account_gaps, simulated_account
from rehearsal.scene import open_workspace, pins_of
from tandem import type_tokens as types
from tandem.ops import inventory
from tandem.ops.kinds import KINDS, state_key
from tests.rehearsal.deadly import DEADLINE_SECONDS, DeadlyProvider

pytestmark = [pytest.mark.engine, pytest.mark.long]


class Workshop:
    """A copy of the project with the real engine, in an empty simulated account; `tandem` as users run it."""

    def __init__(self, workspace: Workspace, provider: DeadlyProvider, account: SimulatedAccount, url: str) -> None:
        self.workspace, self.provider, self.account = workspace, provider, account
        more = {"AWS_ENDPOINT_URL": url, "HF_ENDPOINT": "http://127.0.0.1:9", "COLUMNS": "250"}
        self.environment: Mapping[str, str] = {**workspace.environment, **more}

    def start(self, *command: str) -> subprocess.Popen[str]:
        """In a process group of its own, with the `pulumi` that it runs."""
        return subprocess.Popen(
            [sys.executable, "-c", "from tandem.ops.cli import main; main()", *command],
            cwd=self.workspace.directory,
            env=dict(self.environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> tuple[int, str]:
        process = self.start(*command)
        said, _ = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, said

    def killed(self, done: str, type_: str, *command: str, alone: bool = False) -> None:
        """Runs a command until AWS has done that to a resource of the type.

        Args:
            alone: `tandem` is killed, and not the `pulumi` that it runs.
        """
        process = self.start(*command)
        self.provider.deadly = (done, type_)
        self.provider.kill = lambda: (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
        said, _ = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == -signal.SIGKILL, said
        self.provider.settle()

    def found(self, stack: str, region: str) -> Counter[tuple[str, str]]:
        """What boto3 finds of the types that the program declares."""
        listed = inventory.find(lambda service: self.account.client(service, region), stack)
        assert listed.unreadable == []
        return Counter(one.key for one in listed.resources if KINDS[one.type].program)

    def recorded(self, stack: str) -> Counter[tuple[str, str]]:
        named = Workspace(self.workspace.directory, stack, self.workspace.engine, self.workspace.environment)
        return Counter(state_key(one) for one in named.resources() if one["type"] in KINDS)

    def assert_in_step(self, stack: str, region: str, said: str) -> None:
        found, recorded = self.found(stack, region), self.recorded(stack)
        assert found - recorded == recorded - found == Counter(), said
        assert max(found.values()) == 1


@pytest.fixture(scope="module")
def workshop(pulumi_engine: Engine) -> Iterator[Workshop]:
    with simulated_account() as account, account_gaps(account.url) as gaps:
        provider = DeadlyProvider(account)
        with (
            attach(provider, random_provider(), tls_provider(), time_provider()) as providers,
            open_workspace("dev", pulumi_engine, providers, account.environment("us-east-1")) as workspace,
        ):
            placeholders.fill(pins_of(workspace))
            gaps.add_images(pins_of(workspace))
            yield Workshop(workspace, provider, account, gaps.url)


def stack_names(directory: Path) -> set[str]:
    return {path.name.split(".")[1] for path in directory.glob("Pulumi.*.yaml")}


@pytest.mark.parametrize("alone", [False, True], ids=["with its pulumi", "tandem alone"])
@pytest.mark.parametrize("type_", [types.PARAMETER, types.GROUP], ids=["what holds the name", "the fleet"])
def test_ephemeral_up_goes_on(workshop: Workshop, type_: str, alone: bool) -> None:
    before = stack_names(workshop.workspace.directory)
    workshop.killed("create", type_, "ephemeral", "up", "--no-wait", alone=alone)
    (name,) = stack_names(workshop.workspace.directory) - before
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        status, said = workshop.run("ephemeral", "up", "--name", name, "--no-wait")
        # A `pulumi` that lost its `tandem` ends at the next thing it has to say.
        if status == 0 or not alone or time.monotonic() > deadline:
            break
        assert "wait until the other `pulumi` has ended" in said
    assert status == 0, said
    workshop.assert_in_step(name, "us-east-1", said)
    assert workshop.run("ephemeral", "down", name, "--yes")[0] == 0
    assert workshop.found(name, "us-east-1") == Counter()


def test_region_add_and_remove_go_on(workshop: Workshop) -> None:
    add = ("region", "add", "eu-west-1", "--from", "dev", "--yes")
    workshop.killed("create", types.SUBNET, *add)
    status, said = workshop.run(*add)
    assert status == 0, said
    workshop.assert_in_step("dev-eu-west-1", "eu-west-1", said)

    remove = ("region", "remove", "dev-eu-west-1", "--yes")
    workshop.killed("delete", types.GROUP, *remove)
    status, said = workshop.run(*remove)
    assert status == 0, said
    assert workshop.found("dev-eu-west-1", "eu-west-1") == Counter()
    assert "dev-eu-west-1" not in stack_names(workshop.workspace.directory)


def test_recover_goes_on_and_so_does_up(workshop: Workshop) -> None:
    """Killed in `up`, and then while it reads into the state what it adopted."""
    up = subprocess.Popen(
        [workshop.workspace.command, "up", "--stack", "dev", "--yes", "--skip-preview", "--non-interactive"],
        cwd=workshop.workspace.directory,
        env=dict(workshop.workspace.environment),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    workshop.provider.deadly = ("create", types.FILE_SYSTEM)
    workshop.provider.kill = lambda: os.killpg(up.pid, signal.SIGKILL)
    assert up.wait(timeout=DEADLINE_SECONDS) == -signal.SIGKILL
    workshop.provider.settle()
    workshop.killed("read", types.FILE_SYSTEM, "recover", "dev", "--yes")
    status, said = workshop.run("recover", "dev", "--yes")
    assert status == 0, said
    workshop.assert_in_step("dev", "us-east-1", said)
    done = workshop.workspace.up()
    assert done.succeeded, done.messages
    workshop.assert_in_step("dev", "us-east-1", "\n".join(done.messages))
