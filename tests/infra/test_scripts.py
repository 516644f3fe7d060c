"""What machines get of the Python in cloud-init/: all of it, less what no machine reads."""

from __future__ import annotations

import ast

import pytest

from infra.scripts import ONLY_FOR_TYPES, packed, sources, tight, without_remarks

ROOMS = ("host", "shared", "bake", "pod")
ALL = {f"{room}/{name}": text for room in ROOMS for name, text in sources(room).items()}


def bare(source: str) -> str:
    """The syntax tree without docstrings, annotations, and imports that only those use."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(body := getattr(node, "body", None), list):
            kept = [one for one in body if not (isinstance(one, ast.ImportFrom) and one.module in ONLY_FOR_TYPES)]
            node.body = [  # type: ignore[attr-defined]
                ast.Assign([one.target], one.value, lineno=0) if isinstance(one, ast.AnnAssign) and one.value else one
                for one in kept
            ]
    return ast.dump(tree)


@pytest.mark.parametrize("name", ALL)
def test_what_is_shipped_is_the_source_without_remarks(name: str) -> None:
    shipped = packed(tight(without_remarks(ALL[name])))
    assert bare(shipped) == bare(ALL[name])
    assert "#" not in shipped.replace('"#', "")


def test_remarks_go_and_strings_stay() -> None:
    source = '"""Doc."""\n\n\ndef f():\n    """Doc."""\n\n\n'
    source += 'class E(Exception):\n    """Doc\n\n    more."""\n\n\nX = "# no"  # yes\n'
    assert packed(without_remarks(source)) == 'def f():\n pass\nclass E(Exception):\n pass\nX = "# no"\n'


def test_spaces_beside_operators_go_and_those_in_strings_stay() -> None:
    source = 'def f(a = 1):\n    return [-a, f"{a + 1} = {a}", "a = b"] if a else (not a)\n'
    assert tight(source) == 'def f(a=1):\n    return[-a,f"{a + 1} = {a}","a = b"]if a else(not a)'


def test_types_go_and_defaults_stay() -> None:
    source = "from typing import Any\ndef f(a: int, *b: str, c: dict[str, Any] = {1: 2}) -> Any:\n"
    source += "    x: int = a\n    return x\n"
    assert packed(without_remarks(source)) == "def f(a, *b, c = {1: 2}):\n x = a\n return x\n"


def test_a_module_of_one_name_in_two_rooms_is_refused() -> None:
    with pytest.raises(AssertionError, match="share one directory"):
        sources("host", "host")
