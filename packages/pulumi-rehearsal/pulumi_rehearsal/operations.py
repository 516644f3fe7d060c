"""One run of the engine (`preview`, `up`, `destroy`), as the events that it streams while it works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHOWN = frozenset({"info", "info#err", "warning", "error"})
"""Severities that `pulumi` shows; it streams its debug messages too."""


@dataclass(frozen=True)
class Step:
    """What the engine did with one resource.

    Attributes:
        operation: `create`, `update`, `same`, `replace`, `create-replacement`, `delete-replaced`, `delete`, `read`,
            `discard` and the like, in the engine's words.
        type: resource type (`aws:ec2/vpc:Vpc`).
        urn: the engine's name of the resource.
        changed: paths of the properties that made it an update or a replacement.
        retained: on a delete, whether the resource stays because it is retained on delete.
    """

    operation: str
    type: str
    urn: str
    changed: tuple[str, ...] = ()
    retained: bool = False

    @property
    def name(self) -> str:
        """The name that the program gives the resource."""
        return self.urn.rpartition("::")[2]


@dataclass
class Operation:
    """A finished run of the engine.

    Attributes:
        name: `preview`, `up` or `destroy`.
        steps: one for each resource, in the order in which they ended.
        failed: the steps that failed.
        messages: what the engine and the program said, as `pulumi` shows it, without debug messages.
        status: exit status; negative for the signal that ended the engine.
        seconds: from the start of the command to its end.
    """

    name: str
    steps: list[Step] = field(default_factory=list)
    failed: list[Step] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    status: int = 0
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        return self.status == 0

    def changes(self) -> Counter[str]:
        """How many resources by operation."""
        return Counter(step.operation for step in self.steps)

    def changing(self) -> list[Step]:
        """The steps that changed something."""
        return [step for step in self.steps if step.operation not in ("same", "read", "refresh")]

    def take(self, event: Mapping[str, Any]) -> Step | None:
        """Adds an event of the engine; returns the step that it ended, if it ended one."""
        if diagnostic := event.get("diagnosticEvent"):
            if diagnostic["severity"] in SHOWN:
                self.messages.append((diagnostic.get("prefix", "") + diagnostic["message"]).rstrip())
        elif done := event.get("resOutputsEvent"):
            step = _step(done["metadata"])
            if step in self.steps:
                return None  # a component ends twice in a preview: when it is declared, and with its outputs
            self.steps.append(step)
            return step
        elif failed := event.get("resOpFailedEvent"):
            self.failed.append(_step(failed["metadata"]))
        return None


def _step(metadata: Mapping[str, Any]) -> Step:
    old = metadata.get("old") or {}
    return Step(
        operation=metadata["op"],
        type=metadata["type"],
        urn=metadata["urn"],
        changed=tuple(sorted(metadata.get("detailedDiff") or ())),
        retained=bool(old.get("retainOnDelete")),
    )


def run(
    command: list[str | Path],
    name: str,
    directory: Path,
    environment: Mapping[str, str],
    on_step: Callable[[Step], None],
) -> Operation:
    """Runs a `pulumi` command that streams its events (`--json`).

    Args:
        on_step: called after each resource; an exception from it kills the engine at once, as a lost machine would.
    """
    operation, started = Operation(name), time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        # what is no event is a message: a stack that is locked, a configuration that cannot be read
        stderr=subprocess.STDOUT,
        text=True,
        # Ctrl-C in a terminal goes to every process of its group; we end the engine ourselves
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if not line.startswith("{"):
                operation.messages.append(line.rstrip())
            elif step := operation.take(json.loads(line)):
                on_step(step)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        operation.status = process.wait()
        operation.seconds = time.monotonic() - started
    return operation
