"""What SIGKILL can leave in a backend of local files, with the real engine: each command goes on without a word."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pulumi_rehearsal.engine import Engine
from tandem.errors import UserError
from tandem.ops.pulumi import Stack

pytestmark = pytest.mark.engine

BACKENDS = {"absolute": "file://{}/st%20ate", "relative": "file://../st%20ate", "home": "file://~/st%20ate"}


@pytest.fixture(params=BACKENDS)
def stack(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pulumi_engine: Engine
) -> Stack:
    """One that has made nothing, and a second one beside it."""
    project, state = tmp_path / "project", tmp_path / "st ate"
    project.mkdir()
    state.mkdir()
    (project / "Pulumi.yaml").write_text("name: tandem\nruntime: python\n")
    for name, value in {
        "PATH": f"{pulumi_engine.command.parent}{os.pathsep}{os.environ['PATH']}",
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "x",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }.items():
        monkeypatch.setenv(name, value)
    url = BACKENDS[request.param].format(tmp_path)
    if request.param == "home":  # the engine asks the system where that is, and not the shell
        url = f"file://~/{os.path.relpath(state, Path.home())}"
    monkeypatch.setenv("PULUMI_BACKEND_URL", url)
    for one in ("dev", "other"):
        Stack(one, project).init()
    return Stack("dev", project)


def backend(tmp_path: Path) -> Path:
    return tmp_path / "st ate" / ".pulumi"


COMMANDS: tuple[Callable[[Stack], object], ...] = (
    lambda stack: stack.exists(),
    lambda stack: stack.export(),
    lambda stack: stack.release_lock(),
    lambda stack: stack.replace({"version": 3, "deployment": {}}),
    lambda stack: stack.destroy(lambda _line: None),
    lambda stack: stack.remove(),
)


def test_attributes_that_were_cut_off_go(stack: Stack, tmp_path: Path) -> None:
    """Those of the state and of its copy, and of no other stack."""
    directory = backend(tmp_path) / "stacks" / "tandem"
    own, other = [directory / f"dev.json{end}.attrs" for end in ("", ".bak")], directory / "other.json.attrs"
    for command in COMMANDS:
        for path in (*own, other):
            path.write_text("")
        command(stack)
        assert not any(path.exists() and path.stat().st_size == 0 for path in own)
    assert other.stat().st_size == 0


@pytest.mark.parametrize("stack", ["absolute"], indirect=True)
def test_a_lock_that_was_cut_off_goes_and_other_faults_are_named(stack: Stack, tmp_path: Path) -> None:
    lock = backend(tmp_path) / "locks" / "organization" / "tandem" / "dev" / "0b0c.json.187c.tmp"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")
    stack.destroy(lambda _line: None)
    assert not lock.exists()

    attributes = backend(tmp_path) / "stacks" / "tandem" / "dev.json.attrs"
    attributes.write_text("{")
    with pytest.raises(UserError, match="unexpected EOF"):
        stack.export()
    assert attributes.exists()
