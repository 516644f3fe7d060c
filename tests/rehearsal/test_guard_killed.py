"""Kills `pulumi up` and `pulumi destroy` of the development stack with SIGKILL where a GPU host starts, or stops being
guarded, and goes on as docs/runbook.md says: nothing has run unguarded then, and nothing is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pulumi_rehearsal.aws.account import AwsError
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.workspace import Workspace
from tandem.ops import inventory
from tests.rehearsal.watched import REGION, Watched, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]


def kill(workspace: Workspace, watched: Watched, command: str, operation: str, number: int = 1) -> None:
    """Runs a command until a call of this operation is done for the nth time; the provider dies with the engine."""
    before = len([moment for moment in watched.moments if moment.operation == operation])

    def deadly(name: str) -> None:
        done = len([moment for moment in watched.moments if moment.operation == operation]) - before
        if engine.poll() is None and name == operation and done == number:
            engine.kill()
            engine.wait()
        if engine.poll() is not None:
            raise AwsError(name, "Killed", "the engine was killed, and its providers with it")

    arguments = [workspace.command, command, "--stack", "dev", "--yes", "--skip-preview", "--non-interactive"]
    engine = subprocess.Popen(
        arguments, cwd=workspace.directory, env=dict(workspace.environment), stdout=subprocess.DEVNULL
    )
    watched.after = deadly
    status = engine.wait(timeout=300)
    watched.after = lambda _operation: None
    assert status == -9, f"`{command}` ended before {operation} was called {number} times"
    assert watched.moments[-1].guarded or not watched.moments[-1].running


def recover(workspace: Workspace) -> None:
    """`tandem recover dev --yes`, in the directory of Pulumi.yaml."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("tandem"), "recover", "dev", "--yes"],
        cwd=workspace.directory,
        env={**workspace.environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr + ran.stdout


def gone(workspace: Workspace, account: SimulatedAccount) -> None:
    done(workspace.destroy())
    found = inventory.find(lambda service: account.client(service, REGION), "dev")
    assert (found.resources, found.unreadable) == ([], [])


@pytest.mark.parametrize(
    ("operation", "number"),
    [
        pytest.param("create_schedule", 2, id="between schedules"),
        pytest.param("create_auto_scaling_group", 1, id="the group is made"),
        pytest.param("update_auto_scaling_group", 1, id="the group has its size"),
    ],
)
def test_a_killed_up_is_recovered_and_goes_on_or_away(
    workspace: Workspace, watched: Watched, account: SimulatedAccount, operation: str, number: int
) -> None:
    kill(workspace, watched, "up", operation, number)
    recover(workspace)
    if operation != "create_auto_scaling_group":
        done(workspace.up())
        assert watched.moments[-1].running
    gone(workspace, account)
    assert watched.unguarded == []


@pytest.mark.parametrize(
    ("operation", "then"),
    [
        pytest.param("delete_auto_scaling_group", "destroy", id="the group is gone"),
        pytest.param("delete_schedule", "up", id="between schedules"),
        pytest.param("delete_schedule_group", "destroy", id="the schedules are gone"),
    ],
)
def test_a_killed_destroy_is_recovered_and_goes_on_or_back(
    workspace: Workspace, watched: Watched, account: SimulatedAccount, operation: str, then: str
) -> None:
    done(workspace.up())
    kill(workspace, watched, "destroy", operation)
    recover(workspace)
    if then == "up":
        done(workspace.up())
        assert watched.moments[-1].running
    gone(workspace, account)
    assert watched.unguarded == []
