"""What an error says to do is a command to paste, and after it that is no error any more.

tests/rehearsal/test_fixes_mend.py runs some by the real `pulumi`.
"""

from __future__ import annotations

import json
import re
import shlex
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest

from tandem.errors import Problem, UserError
from tandem.loading import load
from tandem.settings.commands import place, set_to
from tests.settings import test_wrong_cluster_settings as of_clusters
from tests.settings import test_wrong_settings as of_all

WRONG = [
    *({"region": "us-east-1"} | one.settings for one in of_all.WRONG),
    *(of_clusters.SOUND | one.settings for one in of_clusters.WRONG),
]
BY_HAND = {
    "keep only the reserved type": "which it is, nobody but its owner knows",
    "choose a time an hour later": "of two times, and either may be meant",
    "choose a shorter name": "a name is one's own",
    "did you mean": "the right name's value is in the file",
    "tandem/catalog/instances.py": "of several types, or a new one",
}
"""Fixes without a command, and why."""
COMMAND = re.compile(r"`pulumi (config [^`]*)`")
OWN = re.compile(r"\b[A-Z]{2,}\b")
"""What people put in themselves."""


def problems(settings: dict[str, Any]) -> list[Problem]:
    try:
        load({f"tandem:{key}": one if isinstance(one, str) else json.dumps(one) for key, one in settings.items()})
    except UserError as error:
        return list(error.problems)
    return []


FOUND = [(settings, problem) for settings in WRONG for problem in problems(settings)]
EXACT = [
    (settings, problem, commands)
    for settings, problem in FOUND
    if (commands := COMMAND.findall(problem.fix.partition(", or ")[0])) and not OWN.search("".join(commands))
]


def carried_out(command: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings after `pulumi config set` or `rm` with `--path`.

    Stands for: `pulumi config`.
    Held by: tests/rehearsal/test_fixes_mend.py::test_a_fix_mends_the_file
    """
    _, verb, *words = shlex.split(command)
    changed: Any = deepcopy(settings)
    if "--path" not in words:
        del changed[words[0].partition(":")[2]]
        return changed
    path, *value = words[words.index("--path") + 1 :]
    parts = re.findall(r'\["([^"]*)"\]|\[(\d+)\]|([^.\[]+)', path.partition(":")[2])
    *above, last = [int(number) if number else name or quoted for quoted, number, name in parts]
    inner = changed
    for part, below in pairwise([*above, last]):
        inner = inner.setdefault(part, [] if isinstance(below, int) else {}) if isinstance(inner, dict) else inner[part]
    if verb == "rm":
        del inner[last]
    elif isinstance(inner, list) and last == len(inner):
        inner.append(typed(*value))
    else:
        inner[last] = typed(*value)
    return changed


def typed(text: str) -> Any:
    return json.loads(text) if re.fullmatch(r"true|false|0|[1-9]\d*", text) else text


@pytest.mark.parametrize(("settings", "problem"), FOUND, ids=lambda one: getattr(one, "key", ""))
def test_a_fix_is_a_command(settings: dict[str, Any], problem: Problem) -> None:
    assert COMMAND.search(problem.fix) or any(words in problem.fix for words in BY_HAND), problem.fix


@pytest.mark.parametrize(("settings", "problem", "commands"), EXACT, ids=lambda one: getattr(one, "key", ""))
def test_after_it_that_is_no_error(settings: dict[str, Any], problem: Problem, commands: list[str]) -> None:
    for command in commands:
        settings = carried_out(command, settings)
    assert (problem.key, problem.wrong) not in [(one.key, one.wrong) for one in problems(settings)]


def test_there_are_forty_or_more() -> None:
    assert len(EXACT) >= 40


def test_values_are_quoted_and_names_with_dots_too() -> None:
    assert set_to("tags", "it's") == "`pulumi config set --path 'tandem:tags' 'it'\"'\"'s'`"
    assert place("tags", "a.b") == 'tandem:tags["a.b"]'
