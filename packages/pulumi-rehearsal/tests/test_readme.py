"""The README's program is rehearsed as the README says, to the letter, from the wheel, in an environment of its own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from pulumi_rehearsal import cache
from pulumi_rehearsal.engine import Engine

PACKAGE = Path(__file__).parents[1]
BLOCKS = dict(re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n", (PACKAGE / "README.md").read_text(), re.DOTALL))
CHANGES = ("create", "create", "same", "delete")
UV = os.environ.get("UV", "uv")


@pytest.fixture
def project(tmp_path: Path, pulumi_engine: Engine) -> Path:
    """Somebody's project, as the README has it; the engine is there."""
    del pulumi_engine
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "__main__.py"):
        (tmp_path / name).write_text(BLOCKS[name])
    return tmp_path


def rehearse(project: Path, commands: Path, shell: str = "shell") -> tuple[int, str]:
    """What the README tells people to type; exit status and output, with the seconds taken out."""
    variables = {**os.environ, cache.VARIABLE: str(cache.cache_directory())}
    variables["PATH"] = f"{commands}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        BLOCKS[shell], shell=True, cwd=project, env=variables, stdout=subprocess.PIPE, text=True, check=False
    )
    return done.returncode, without_seconds(done.stdout)


def without_seconds(text: str) -> str:
    return re.sub(r" +\d+\.\d s", "", text)


@pytest.mark.engine
def test_somebody_elses_program_from_the_wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("wheel")
    environment = {**os.environ, "VIRTUAL_ENV": str(place / "venv")}
    for command in (f"build -q --wheel -o {place} {PACKAGE}", f"venv -q --python {sys.executable} {place / 'venv'}"):
        subprocess.run([UV, *shlex.split(command)], check=True, cwd=place)
    [wheel] = place.glob("*.whl")
    subprocess.run([UV, "pip", "install", "-q", str(wheel)], check=True, cwd=place, env=environment)
    found = rehearse(project, place / "venv" / "bin")
    assert found == (0, without_seconds(BLOCKS["output"]))


@pytest.mark.engine
def test_what_aws_would_refuse_fails_in_its_words(project: Path) -> None:
    wrong = BLOCKS["__main__.py"].replace("10.0.1.0/24", "10.1.1.0/24")
    (project / "__main__.py").write_text(wrong)
    status, said = rehearse(project, Path(sys.executable).parent)
    assert status == 1
    assert "InvalidSubnet.Range: The CIDR '10.1.1.0/24' is invalid." in said


@pytest.mark.engine
@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_it_leaves_nothing(project: Path, tmp_path: Path, ends: signal.Signals) -> None:
    (project / "__main__.py").write_text('import pathlib, time; pathlib.Path("runs").touch(); time.sleep(60)')
    (temporary := tmp_path / "temporary").mkdir()
    variables = {**os.environ, cache.VARIABLE: str(cache.cache_directory()), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "pulumi_rehearsal.command", "dev"]
    with subprocess.Popen(
        command,
        cwd=project,
        env=variables,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own: what a terminal's Ctrl-C reaches
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    ) as running:
        deadline = time.monotonic() + 30
        while not (project / "runs").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(running.pid, ends)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 128 + ends
    assert "Traceback" not in said
    assert list(temporary.iterdir()) == []


@pytest.mark.engine
def test_what_is_kept_on_purpose_is_no_fault(project: Path) -> None:
    kept = BLOCKS["__main__.py"].replace("force_destroy=True", "opts=pulumi.ResourceOptions(retain_on_delete=True)")
    (project / "__main__.py").write_text(kept)
    status, said = rehearse(project, Path(sys.executable).parent)
    assert (status, said.splitlines()[-1]) == (0, "aws:s3/bucket:Bucket: 1 kept on purpose after destroy")


@pytest.mark.engine
def test_as_a_library(project: Path) -> None:
    subprocess.run([sys.executable, "-c", BLOCKS["library"]], cwd=project, check=True)


@pytest.mark.engine
@pytest.mark.kubernetes
def test_on_kubernetes(project: Path) -> None:
    (project / "__main__.py").write_text(BLOCKS["kubernetes/__main__.py"])
    status, said = rehearse(project, Path(sys.executable).parent, "kubernetes/shell")
    assert (status, [line.split()[2:] for line in said.splitlines()]) == (0, [["3", change] for change in CHANGES])
