"""The `pulumi` command on PATH, working on one stack of a project."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.ops import file_backend

Deployment = dict[str, Any]
"""What `pulumi stack export` prints."""

DEADLINE_SECONDS = 600
"""For everything but `up` and `destroy`, which wait for hosts that drain for up to two hours."""


@dataclass(frozen=True)
class Stack:
    """A stack as the `pulumi` command sees it.

    Attributes:
        directory: of Pulumi.yaml; None for the current one.
        variables: beside those of this process, such as AWS_PROFILE.
    """

    name: str
    directory: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def region(self) -> str:
        """The region that the stack's configuration names."""
        return self._pulumi("config", "get", "tandem:region").strip()

    def exists(self) -> bool:
        """Whether the backend knows the stack. Asked by name: a list of all breaks while others are being written."""
        arguments = ["stack", "--show-name", "--stack", self.name]
        done = self._run(arguments)
        if done.returncode != 0 and _UNKNOWN not in done.stderr:
            raise self._refused(arguments, done.stderr.strip())
        return done.returncode == 0

    def init(self) -> None:
        """Makes the stack in the backend, if it is not there; the shell's selected stack stays selected."""
        if not self.exists():
            self._checked(["stack", "init", self.name, "--no-select"])

    def copy_secret(self, key: str, source: str) -> None:
        """Takes an encrypted value over from another stack, encrypted anew for this one."""
        self._checked(["config", "cp", key, "--stack", source, "--dest", self.name])

    def up(self, told: Callable[[str], None], *, refresh: bool = False) -> None:
        """`pulumi up`, without its own question; the caller has asked.

        Args:
            told: each line that it prints.
            refresh: look at the account first; a schedule may have stopped the fleet.
        """
        self._stream(["up", "--yes", "--skip-preview", *(["--refresh"] if refresh else [])], told)

    def destroy(self, told: Callable[[str], None]) -> None:
        """`pulumi destroy`, without its own question; the caller has asked."""
        self._stream(["destroy", "--yes", "--skip-preview"], told)

    def remove(self, *, keep_file: bool = False) -> None:
        """Forgets the stack and, unless it is to be kept, its configuration file, whatever its state says."""
        kept = ["--preserve-config"] if keep_file else []
        self._checked(["stack", "rm", self.name, "--yes", "--force", *kept])

    def release_lock(self) -> None:
        """Ends the update that the backend believes to be running.

        Some backends refuse when there is none. A lock that really stays is named by the next command that needs it.
        """
        self._run(["cancel", "--yes", self.name])

    def export(self) -> Deployment:
        """The state with its secrets encrypted."""
        return json.loads(self._pulumi("stack", "export"))

    def replace(self, deployment: Deployment) -> None:
        """Writes the state, from a file that only this user can read and that goes away."""
        with tempfile.TemporaryDirectory(prefix="tandem-recover-") as directory:
            file = Path(directory) / "deployment.json"
            file.write_text(json.dumps(deployment), encoding="utf-8")
            self._pulumi("stack", "import", "--file", str(file))

    def refresh(self, urns: Sequence[str]) -> None:
        """Reads these resources from AWS into the state; what was under way stays noted.

        Raises:
            UserError: AWS refused, or another `pulumi` works on the stack.
        """
        targets = [argument for urn in urns for argument in ("--target", urn)]
        self._pulumi("refresh", "--yes", "--skip-preview", "--skip-pending-creates", *targets)

    def _pulumi(self, *arguments: str) -> str:
        return self._checked([*arguments, "--stack", self.name])

    def _checked(self, arguments: Sequence[str]) -> str:
        """Runs a command; returns what it prints, or a UserError with what it said."""
        done = self._run(arguments)
        if done.returncode != 0:
            raise self._refused(arguments, done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        done = self._ran(arguments)
        while done.returncode != 0 and self._cleared(done.stderr + done.stdout):
            done = self._ran(arguments)
        return done

    def _cleared(self, said: str) -> bool:
        """Whether what a killed `pulumi` left in a backend of local files was in the way, and is not any more."""
        return file_backend.cleared(said, self.name, self.directory or Path.cwd(), self._backend)

    def _backend(self) -> str:
        return json.loads(self._ran(["whoami", "--verbose", "--json"]).stdout or "{}").get("url", "")

    def _ran(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["pulumi", *arguments, "--non-interactive"],
                cwd=self.directory,
                env={**os.environ, **self.variables},
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=DEADLINE_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise _missing() from None
        except subprocess.TimeoutExpired:
            shown = f"pulumi {' '.join(arguments[:2])}"
            wrong = f"`{shown}` did not end within {DEADLINE_SECONDS} s"
            raise _failed(shown, wrong, None, "run the same command by hand to see what it waits for") from None

    def _stream(self, arguments: Sequence[str], told: Callable[[str], None]) -> None:
        """Runs a command and passes on what it prints. Ctrl-C reaches it, too: it ends the call that it is in."""
        status, last = self._streamed(arguments, told)
        while status != 0 and self._cleared(last):
            status, last = self._streamed(arguments, told)
        if status != 0:
            raise self._refused(arguments, last)

    def _streamed(self, arguments: Sequence[str], told: Callable[[str], None]) -> tuple[int, str]:
        """The exit status, and the last lines that were printed."""
        last: list[str] = []
        try:
            process = subprocess.Popen(
                ["pulumi", *arguments, "--stack", self.name, "--non-interactive"],
                cwd=self.directory,
                env={**os.environ, **self.variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                text=True,
            )
        except FileNotFoundError:
            raise _missing() from None
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last = [*last[-20:], line.rstrip()]
                told(line.rstrip())
        finally:
            status = process.wait()
        return status, "\n".join(last)

    def _refused(self, arguments: Sequence[str], said: str) -> UserError:
        if _UNKNOWN in said:
            fix = "`pulumi stack ls` names those that are there, `pulumi whoami --verbose` says where that is"
            return _failed(self.name, "there is no such stack where `pulumi` is logged in", None, fix)
        shown, fix = f"pulumi {' '.join(arguments[:2])}", "mend what it says, then run the same command again"
        if any(words in said for words in _LOCKED):
            release = f"`tandem recover {self.name} --yes` releases it"
            fix = f"wait until the other `pulumi` has ended; where none works on the stack any more, {release}"
        elif any(words in said for words in _NO_PROJECT):
            fix = "the same command in the directory of Pulumi.yaml"
        return _failed(shown, f"`{shown}` failed", said[-2000:], fix)


def _missing() -> UserError:
    return _failed("pulumi", "there is no `pulumi` on PATH", None, "https://www.pulumi.com/docs/install/")


_NO_PROJECT = ("pass the fully qualified name", "no Pulumi.yaml project file found")
"""What `pulumi` says outside of a project, to a stack's name and to a command that needs the program."""
_UNKNOWN = "no stack named"
_LOCKED = ("the stack is currently locked", "Another update is currently in progress")
"""What a backend of files or buckets says, and Pulumi's service."""


def _failed(key: str, wrong: str, value: str | None, fix: str) -> UserError:
    return UserError.of(key=key, wrong=wrong, value=value, fix=fix)
