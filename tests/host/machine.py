"""Records the commands of a host's scripts in place of running them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


class Machine:
    """Stands for a host's commands: records each, answers from a table by its beginning.

    Stands for: the commands of a host.
    Held by: tests/real/test_boot.py::test_the_ledger_tells_each_stage_once_and_in_order (the same stages, with the
        real commands).
    """

    def __init__(self, answers: dict[str, str | Exception] | None = None) -> None:
        self.answers = answers or {}
        self.commands: list[str] = []

    def sh(self, *command: str, **_: object) -> str:
        line = " ".join(command)
        self.commands.append(line)
        for beginning, answer in self.answers.items():
            if line.startswith(beginning):
                if isinstance(answer, Exception):
                    raise answer
                return answer
        return ""

    def apt(self, *arguments: str) -> str:
        return self.sh("apt-get", *arguments)

    def install(self, packages: list[str]) -> None:
        self.sh("install", *packages)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    def put(module: ModuleType, answers: dict[str, str | Exception] | None = None) -> Machine:
        machine = Machine(answers)
        for name in ("sh", "apt", "install"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(machine, name))
        return machine

    return put
