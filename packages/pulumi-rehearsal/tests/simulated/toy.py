"""A provider and small projects of the tests' own: what they do wrong is known, and nothing of AWS is needed."""

from __future__ import annotations

import itertools
from pathlib import Path
from textwrap import dedent

from pulumi_rehearsal.plugin import Difference, Provider, Subject, changed_paths
from pulumi_rehearsal.wire import Properties

PRELUDE = """
import pulumi

class Thing(pulumi.CustomResource):
    def __init__(self, name, opts=None, **inputs):
        super().__init__("toy:index:Thing", name, inputs | {"computed": None}, opts)

config = pulumi.Config()
"""


class ToyProvider(Provider):
    """Keeps things in memory. A change updates in place; `fails: true` is refused.

    Attributes:
        things: inputs by id.

    Stands for: a provider plugin.
    Held by: nothing, what it does wrong is chosen by the tests; the engine and the protocol are real.
    """

    name = "toy"

    def __init__(self) -> None:
        self.things: dict[str, Properties] = {}
        self._ids = itertools.count(1)

    def diff(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Difference:
        return Difference(changed_paths(old, new))

    def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
        if inputs.get("fails"):
            raise ValueError(f"{subject.name} is meant to fail")
        id = f"{subject.name}-{next(self._ids)}"
        self.things[id] = inputs
        return id, inputs

    def update(self, subject: Subject, id: str, old: Properties, new: Properties, state: Properties) -> Properties:
        self.things[id] = new
        return new

    def delete(self, subject: Subject, id: str, inputs: Properties, state: Properties) -> None:
        self.things.pop(id, None)


def write_project(directory: Path, program: str, config: str = "config: {}") -> Path:
    """A Pulumi project with a stack `dev`; the program may use `Thing(name, **inputs)` and `config`."""
    (directory / "infra").mkdir(parents=True)
    (directory / "Pulumi.yaml").write_text("name: toy\nmain: infra\nruntime: python\n")
    (directory / "Pulumi.dev.yaml").write_text(dedent(config) + "\n")
    (directory / "infra" / "__main__.py").write_text(PRELUDE + dedent(program))
    return directory
