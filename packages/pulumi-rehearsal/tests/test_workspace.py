from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.errors import SetupError
from pulumi_rehearsal.operations import Step
from pulumi_rehearsal.plugin import attach
from pulumi_rehearsal.workspace import Workspace, open_workspace
from simulated.toy import ToyProvider, write_project

pytestmark = pytest.mark.engine

Opener = Callable[[str], tuple[Workspace, ToyProvider]]


@pytest.fixture
def opened(pulumi_engine: Engine, tmp_path: Path) -> Iterator[Opener]:
    """Opens a workspace on a program, with a toy provider attached."""
    with ExitStack() as stack:

        def start(program: str) -> tuple[Workspace, ToyProvider]:
            provider = ToyProvider()
            providers = stack.enter_context(attach(provider))
            project = write_project(tmp_path / "project", program)
            workspace = stack.enter_context(open_workspace("dev", pulumi_engine, providers, {}, project))
            return workspace, provider

        yield start


def test_a_stack_comes_up_stays_and_goes(opened: Opener) -> None:
    workspace, provider = opened("""
        first = Thing("first", size=1)
        Thing("second", opts=pulumi.ResourceOptions(depends_on=[first]))
        pulumi.export("id", first.id)
        print("from the program")
    """)

    preview = workspace.preview()
    assert preview.changes() == Counter(create=3)
    assert provider.things == {}

    up = workspace.up()
    assert up.succeeded
    assert up.changes() == Counter(create=3)
    assert [step.name for step in up.steps] == ["first", "second", "toy-dev"]
    assert up.messages == ["from the program"]
    assert workspace.outputs() == {"id": "first-1"}
    assert provider.things == {"first-1": {"size": 1.0}, "second-2": {}}

    again = workspace.up()
    assert again.changes() == Counter(same=3)
    assert again.changing() == []

    destroy = workspace.destroy()
    assert destroy.changes() == Counter(delete=3)
    assert provider.things == {}


def test_a_change_names_the_properties(opened: Opener) -> None:
    workspace, _ = opened('Thing("thing", size=config.get_int("size"))')
    workspace.pulumi("config", "set", "size", "1")
    workspace.up()
    workspace.pulumi("config", "set", "size", "2")
    assert workspace.up().changing() == [
        Step("update", "toy:index:Thing", "urn:pulumi:dev::toy::toy:index:Thing::thing", ("size",))
    ]


def test_a_program_that_has_said_what_is_wrong_is_not_explained_again(opened: Opener) -> None:
    workspace, _ = opened("""
        import sys
        pulumi.log.error("size: too large")
        sys.exit(32)
    """)
    up = workspace.up()
    assert not up.succeeded
    assert up.messages == ["error: size: too large"]


def test_a_program_that_breaks_shows_its_traceback(opened: Opener) -> None:
    workspace, _ = opened("1 / 0")
    up = workspace.up()
    assert not up.succeeded
    assert "ZeroDivisionError: division by zero" in up.messages[0]


def test_a_refused_resource_fails_the_operation(opened: Opener) -> None:
    workspace, _ = opened('Thing("thing", fails=True)')
    up = workspace.up()
    assert not up.succeeded
    assert [step.name for step in up.failed] == ["thing"]
    assert any("ValueError: thing is meant to fail" in message for message in up.messages)


def test_secrets_are_masked_and_encrypted(opened: Opener) -> None:
    workspace, provider = opened("""
        thing = Thing("thing", token=config.require_secret("token"))
        pulumi.export("token", config.require_secret("token"))
    """)
    workspace.set_secrets({"token": "hf_made_up"})
    workspace.up()
    assert provider.things == {"thing-1": {"token": "hf_made_up"}}
    assert workspace.outputs() == {"token": "[secret]"}
    assert "hf_made_up" not in "".join(workspace.state_files().values())
    assert "hf_made_up" not in workspace.stack_file.read_text()


def test_an_exception_kills_the_engine_in_the_middle(opened: Opener) -> None:
    workspace, provider = opened("""
        last = None
        for index in range(20):
            last = Thing(f"thing-{index}", opts=pulumi.ResourceOptions(depends_on=[last] if last else []))
    """)

    def stop(step: Step) -> None:
        if step.name == "thing-3":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workspace.up(stop)
    assert 4 <= len(provider.things) < 20
    locks = [name for name in workspace.state_files() if "/locks/" in name and name.endswith(".json")]
    assert len(locks) == 1, "a killed engine leaves its lock"
    wait_until(lambda: not processes_in(workspace.directory), "the program and its host end with the engine")


def processes_in(directory: Path) -> list[str]:
    """Command lines of the processes that were started for a workspace."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # gone meanwhile
            lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return [line for line in lines if str(directory) in line]


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_the_users_project_is_not_written_to(opened: Opener, tmp_path: Path) -> None:
    workspace, _ = opened('Thing("thing")')
    workspace.set_secrets({"token": "x"})
    workspace.up()
    project = tmp_path / "project"
    files = sorted(str(path.relative_to(project)) for path in project.rglob("*.*") if path.suffix != ".pyc")
    files = [file for file in files if "__pycache__" not in file]  # Python's own, as with any program that is run
    assert files == ["Pulumi.dev.yaml", "Pulumi.yaml", "infra/__main__.py"], "byte code apart, nothing is new"
    assert (project / "Pulumi.dev.yaml").read_text() == "config: {}\n"


def test_an_unknown_stack_is_refused_with_those_that_exist(pulumi_engine: Engine, tmp_path: Path) -> None:
    project = write_project(tmp_path, "")
    with pytest.raises(SetupError) as caught, open_workspace("staging", pulumi_engine, "", {}, project):
        pass
    problem = caught.value
    assert (problem.key, problem.value, problem.allowed) == ("Pulumi.staging.yaml", "staging", "dev")
