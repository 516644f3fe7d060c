"""The wheel holds what it needs: another team's program runs with it, on the real engine in the simulated account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from pulumi_rehearsal import engine
from pulumi_rehearsal.aws.provider import AwsProvider
from pulumi_rehearsal.plugin import attach
from pulumi_rehearsal.providers import random_provider, time_provider, tls_provider
from pulumi_rehearsal.workspace import open_workspace
from rehearsal.account import simulated_account

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "examples" / "own-program"
REGION = "eu-central-1"
UV = os.environ.get("UV", "uv")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel in it, as `pip install tandem` leaves it, away from the sources."""
    made = tmp_path_factory.mktemp("wheel")
    subprocess.run([UV, "build", "--quiet", "--wheel", "--out-dir", str(made), str(ROOT)], check=True)
    (wheel,) = made.glob("tandem-*.whl")
    site = made / "site"
    subprocess.run([UV, "pip", "install", "-q", "--no-deps", "--target", str(site), str(wheel)], check=True)
    return site


@pytest.mark.engine
def test_the_wheel_is_one_package_with_all_its_files(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} - {"bin", ".lock"} == {"tandem"}
    program = "from tandem import infra, scripts; print(infra.__file__, len(scripts.host_archive('')[1]))"
    only = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd="/", env=only, capture_output=True, check=True)
    where, size = done.stdout.split()
    assert where.decode().startswith(str(installed))
    assert int(size) > 10_000


@pytest.mark.engine
def test_another_teams_program_runs_with_the_installed_wheel(installed: Path) -> None:
    with ExitStack() as up:
        account = up.enter_context(simulated_account())
        groups = account.clients(REGION)("autoscaling").describe_auto_scaling_groups
        providers = attach(AwsProvider(account), random_provider(), tls_provider(), time_provider())
        variables = {**account.environment(REGION), "PYTHONPATH": str(installed)}
        workspace = up.enter_context(
            open_workspace("lab", engine.ensure(print), up.enter_context(providers), variables, PROGRAM)
        )
        first = workspace.up()
        assert first.succeeded, first.messages
        assert set(workspace.up().changes()) == {"same"}
        (group,) = groups()["AutoScalingGroups"]
        assert group["AutoScalingGroupName"] == workspace.outputs()["hosts"]
        assert workspace.destroy().succeeded
        assert not groups()["AutoScalingGroups"]


@pytest.mark.engine
def test_another_teams_program_fits_the_types_of_the_installed_wheel(installed: Path, tmp_path: Path) -> None:
    settings = {"include": [str(PROGRAM)], "extraPaths": [str(installed)], "typeCheckingMode": "standard"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--project", tmp_path, "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
