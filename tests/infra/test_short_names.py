"""Local names become short, and nothing else changes."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from infra.scripts import sources
from infra.short_names import keywords, short_names

TOGETHER = set().union(*map(keywords, sources("host", "shared", "bake").values()))
ALL = {f"{room}/{name}": text for room in ("host", "shared", "bake", "pod") for name, text in sources(room).items()}


def nameless(node: ast.AST) -> str:
    """A syntax tree without the names of variables."""
    copied = ast.parse(ast.unparse(node))
    for one in ast.walk(copied):
        if isinstance(one, ast.Name):
            one.id = ""
        if isinstance(one, ast.arg):
            one.arg = ""
    return ast.dump(copied)


def names(node: ast.AST) -> list[str]:
    found = [one for one in ast.walk(node) if isinstance(one, (ast.Name, ast.arg))]
    return [one.id if isinstance(one, ast.Name) else one.arg for one in found]


@pytest.mark.parametrize("name", ALL)
def test_a_module_does_what_it_did(name: str) -> None:
    """Statement by statement the same tree, and in each function another name for each name, wherever it stands."""
    before, after = ast.parse(ALL[name]), ast.parse(short_names(ALL[name], TOGETHER))
    assert nameless(after) == nameless(before)
    for old, new in zip(functions(before), functions(after), strict=True):
        pairs = set(zip(names(old), names(new), strict=True))
        assert len(pairs) == len(set(names(old))) == len(set(names(new)))
    for old, new in zip(before.body, after.body, strict=True):
        if not isinstance(old, (ast.FunctionDef, ast.ClassDef)):
            assert ast.dump(old) == ast.dump(new)


def functions(node: ast.AST) -> list[ast.AST]:
    return [one for one in ast.walk(node) if isinstance(one, ast.FunctionDef)]


def test_what_other_code_sees_keeps_its_name() -> None:
    source = (
        "LIMIT = 3\n"
        "def outer(given, *, option=1):\n"
        "    found = given + LIMIT\n"
        "    def inner(other):\n"
        "        nonlocal found\n"
        "        kept = other.found(option=found)\n"
        "        return f'{kept} {found}'\n"
        "    return [inner(one) for one in found]\n"
    )
    assert short_names(source, keywords(source)) == (
        "LIMIT = 3\n"
        "def outer(a, *, option=1):\n"
        "    found = a + LIMIT\n"
        "    def inner(b):\n"
        "        nonlocal found\n"
        "        c = b.found(option=found)\n"
        "        return f'{c} {found}'\n"
        "    return [inner(d) for d in found]\n"
    )


def test_a_short_name_is_not_one_that_is_there() -> None:
    assert short_names("def f(a):\n    b, word = a\n    return c(b, word)\n", ()) == (
        "def f(a):\n    b, d = a\n    return c(b, d)\n"
    )


def test_the_name_of_an_error_stays() -> None:
    source = "def f():\n    error = 1\n    try:\n        g()\n    except E as error:\n        h(error)\n"
    assert short_names(source, ()) == source


def test_what_a_mapping_gives_keeps_its_names() -> None:
    """Such as `command(**row)`: the names are in data, where nobody sees them."""
    source = (
        "def f(replica, gpus):\n    return replica, gpus\n\n\ndef g():\n    return f(**{'replica': 1, 'gpus': 2})\n"
    )
    shortened: dict[str, Any] = {}
    exec(short_names(source, keywords(source)), shortened)
    assert shortened["g"]() == (1, 2)
