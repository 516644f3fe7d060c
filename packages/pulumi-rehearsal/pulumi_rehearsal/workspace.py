"""A scratch copy of the project, with one stack, in which the real engine works against attached providers.

Nothing of the user's is touched: state, secrets' salt and plugins are files in a directory that goes away. Only the
program is the project's own, through a link.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pulumi_rehearsal import operations
from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.errors import SetupError
from pulumi_rehearsal.operations import Operation, Step

PASSPHRASE = "rehearsal"  # noqa: S105 (it guards a state that lives for minutes and holds secrets made up for it)

FOREIGN = ("AWS_", "PULUMI_", "HELM_", "KUBECONFIG", "PYTHONDONTWRITEBYTECODE")
"""Variables of the user's shell that could lead the engine or a provider to a real account; and the one that would make
every run of the program compile pulumi_aws anew, which takes longer than all the rest."""

PROGRAM = "program-of-the-project"
"""Link to a project whose program lies beside its Pulumi.yaml."""

OnStep = Callable[[Step], None]


def ignore(step: Step) -> None:
    """Takes no notice of a step."""
    del step


def nothing(project: Path, directory: Path) -> Mapping[str, str]:
    """Puts nothing else beside the program."""
    del project, directory
    return {}


@dataclass(frozen=True)
class Workspace:
    """One stack of a project in a directory of its own.

    Attributes:
        directory: holds Pulumi.yaml, the stack file, and everything that the engine writes.
        stack: its name.
        engine: that works here.
        environment: in which `pulumi` works on this stack and no other, whatever the user's shell has set.
    """

    directory: Path
    stack: str
    engine: Engine
    environment: Mapping[str, str]

    @property
    def command(self) -> Path:
        return self.directory / "bin" / "pulumi"

    @property
    def stack_file(self) -> Path:
        return self.directory / f"Pulumi.{self.stack}.yaml"

    def preview(self, on_step: OnStep = ignore) -> Operation:
        return self._operation("preview", on_step)

    def up(self, on_step: OnStep = ignore) -> Operation:
        return self._operation("up", on_step, "--yes", "--skip-preview")

    def destroy(self, on_step: OnStep = ignore) -> Operation:
        return self._operation("destroy", on_step, "--yes", "--skip-preview")

    def destroy_with_preview(self, on_step: OnStep = ignore) -> Operation:
        """`pulumi destroy` as people run it: its preview stops at the first protected resource, before anything goes.

        Without the preview the engine would delete everything that is not protected.
        """
        return self._operation("destroy", on_step, "--yes")

    def outputs(self) -> dict[str, Any]:
        """What `pulumi stack output` shows: secrets masked."""
        return json.loads(self.pulumi("stack", "output", "--json"))

    def resources(self) -> list[dict[str, Any]]:
        """The resources of the state, as `pulumi stack export` shows them: secrets encrypted."""
        return json.loads(self.pulumi("stack", "export"))["deployment"].get("resources") or []

    def state_files(self) -> dict[str, str]:
        """What the engine keeps on disk: the state, its backups and the history, as text by file name."""
        root = self.directory / "state"
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}

    def set_secrets(self, secrets: Mapping[str, str]) -> None:
        """`pulumi config set --secret` for each; a key may be a path (`mine:apiKeys.team`)."""
        pairs = [text for key, value in secrets.items() for text in ("--secret", f"{key}={value}")]
        if pairs:
            self.pulumi("config", "set-all", "--path", *pairs)

    def pulumi(self, *arguments: str) -> str:
        """Runs any other `pulumi` command on this stack; returns what it prints.

        Raises:
            RuntimeError: with what it printed, when it fails.
        """
        done = subprocess.run(
            [self.command, *arguments, "--stack", self.stack, "--non-interactive"],
            cwd=self.directory,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"`pulumi {' '.join(arguments[:2])}` failed:\n{done.stderr}{done.stdout}")
        return done.stdout

    def _operation(self, name: str, on_step: OnStep, *flags: str) -> Operation:
        command = [self.command, name, "--stack", self.stack, "--non-interactive", "--json", *flags]
        return operations.run(command, name, self.directory, self.environment, on_step)


@contextmanager
def open_workspace(
    stack: str,
    engine: Engine,
    providers: str,
    variables: Mapping[str, str],
    project: Path,
    beside: Callable[[Path, Path], Mapping[str, str]] = nothing,
) -> Iterator[Workspace]:
    """A fresh workspace with an empty stack; it goes away with the block.

    Args:
        stack: must have a file `Pulumi.<stack>.yaml` in the project.
        providers: value of PULUMI_DEBUG_PROVIDERS.
        variables: that lead boto3 to the simulated account.
        beside: is called with the project and the workspace's directory; puts what else the program reads there, and
            gives variables that lead to it.
    """
    with tempfile.TemporaryDirectory(prefix=f"rehearsal-{stack}-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        _copy_project(project, directory, stack)
        more = {**variables, **beside(project, directory)}
        workspace = Workspace(directory, stack, engine, _environment(directory, providers, more))
        _provide_commands(directory / "bin", engine)
        workspace.pulumi("stack", "init")
        yield workspace


def stack_file(project: Path, stack: str) -> Path:
    """The file of a stack.

    Raises:
        SetupError: there is no such file; it names those that there are.
    """
    path = project / f"Pulumi.{stack}.yaml"
    if not path.is_file():
        known = sorted(path.name.split(".")[1] for path in project.glob("Pulumi.*.yaml"))
        raise SetupError(
            key=path.name,
            wrong="there is no such stack file",
            value=stack,
            allowed=", ".join(known),
            fix=f"name one of these, or write {path.name}" if known else f"write {path.name}, or give --project",
        )
    return path


def project_file(project: Path) -> dict[str, Any]:
    """What Pulumi.yaml says.

    Raises:
        SetupError: there is none, or it cannot be read.
    """
    path = project / "Pulumi.yaml"
    if not path.is_file():
        raise SetupError(
            key=path.name,
            wrong="there is no such file",
            value=str(project.absolute()),
            allowed="the directory of a Pulumi project",
            fix="go to that directory, or give it with --project",
        )
    return mapping_in(path)


def mapping_in(path: Path) -> dict[str, Any]:
    """What a file of the project says; nothing, where it is empty.

    Raises:
        SetupError: it is no mapping in YAML.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise SetupError(key=path.name, wrong=f"is not YAML: {why}", allowed="keys and values", fix="mend it") from None
    if not isinstance(found or {}, dict):
        raise SetupError(key=path.name, wrong="is no mapping", value=found, allowed="keys and values", fix="mend it")
    return found or {}


def _copy_project(project: Path, directory: Path, stack: str) -> None:
    """Copies what the engine writes to, and links the program: the project's directory, where `main` names none."""
    shutil.copy(stack_file(project, stack), directory)
    described = project_file(project)
    program = described.setdefault("main", PROGRAM)
    (directory / "Pulumi.yaml").write_text(yaml.safe_dump(described))
    (directory / program).symlink_to((project if program == PROGRAM else project / program).absolute())
    (directory / "state").mkdir()


def _environment(directory: Path, providers: str, variables: Mapping[str, str]) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
    return {
        **own,
        **variables,
        "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PULUMI_HOME": str(directory / "home"),
        "PULUMI_BACKEND_URL": f"file://{directory / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_DEBUG_PROVIDERS": providers,
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        # Ours are running already; the real ones are half a gigabyte that nothing here would call.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true",
        **{f"HELM_{kind}_HOME": str(directory / "helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")},
    }


def _provide_commands(binaries: Path, engine: Engine) -> None:
    """`pulumi` and our language host, side by side: the engine takes plugins that lie beside it without a word."""
    binaries.mkdir()
    try:
        os.link(engine.command, binaries / "pulumi")
    except OSError:  # another file system
        shutil.copy(engine.command, binaries / "pulumi")
    host = binaries / "pulumi-language-python"
    command = f'"{sys.executable}" -P -m pulumi_rehearsal.language_host "{engine.start_script}" "$@"'
    host.write_text(f"#!/bin/sh\nexec {command}\n")
    host.chmod(0o755)
