"""The Python that runs on machines, from cloud-init/: of hosts, of pods, and what both share.

It needs nothing but the standard library there. Here it is typed and explained; user data has it `tight` and `packed`.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import tokenize
from functools import cache
from pathlib import Path
from types import ModuleType

import infra

DIRECTORY = Path(infra.__file__).parents[1] / "cloud-init"
ONLY_FOR_TYPES = ("__future__", "collections.abc", "typing")


@cache
def sources(*rooms: str) -> dict[str, str]:
    """File name to text of every module in these directories of cloud-init/; names are unique among them."""
    found = [path for room in rooms for path in sorted((DIRECTORY / room).glob("*.py"))]
    assert len({path.name for path in found}) == len(found), "on a machine they share one directory"
    return {path.name: path.read_text(encoding="utf-8") for path in found}


@cache
def shared(name: str) -> ModuleType:
    """A module of cloud-init/shared/ that imports no other, for who must go by the same rule as the machines."""
    spec = importlib.util.spec_from_file_location(f"cloud_init_{name}", DIRECTORY / "shared" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def packed(text: str) -> str:
    """Text without blank lines, indented by one space a level instead of four: user data has no room for more."""
    lines = ((line.strip(), len(line) - len(line.lstrip(" "))) for line in text.splitlines())
    return "".join(f"{' ' * (indent // 4)}{line}\n" for line, indent in lines if line)


def tight(source: str) -> str:
    """Python source without the spaces beside operators; those in f-strings stay, whose tokens differ by Python."""
    lines, inside, before = source.splitlines(), 0, None
    cuts: list[tuple[int, int, int]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = tokenize.tok_name[token.type]
        inside += (name == "FSTRING_START") - (name == "FSTRING_END")
        if before and not inside and before.end[0] == token.start[0] and tokenize.OP in (before.type, token.type):
            cuts.append((token.start[0], before.end[1], token.start[1]))
        before = token
    for row, first, last in reversed(cuts):
        lines[row - 1] = lines[row - 1][:first] + lines[row - 1][last:]
    return "\n".join(lines)


def without_remarks(source: str) -> str:
    """Python source without docstrings, comments and types, which no host reads.

    Works on lines rather than on a syntax tree written out again, whose text would differ between Python versions and
    so replace hosts for nothing.
    """
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    tree = ast.parse(source)
    for row, first, last in sorted(_types(source.splitlines(), tree), reverse=True):
        lines[row - 1] = lines[row - 1][:first] + lines[row - 1][last:]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ONLY_FOR_TYPES:
            lines[node.lineno - 1] = ""
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) or ast.get_docstring(node) is None:
            continue
        docstring, *rest = node.body
        first, last = docstring.lineno - 1, docstring.end_lineno or docstring.lineno
        lines[first:last] = ["" if rest else " " * docstring.col_offset + "pass"] + [""] * (last - first - 1)
    return "\n".join(lines)


def _types(lines: list[str], tree: ast.Module) -> list[tuple[int, int, int]]:
    """Where annotations stand: line, first column, column after the last."""

    def span(start: int, annotation: ast.expr, marker: str) -> tuple[int, int, int]:
        assert annotation.lineno == annotation.end_lineno, "an annotation that spans lines cannot be taken out"
        assert annotation.end_col_offset is not None
        first = lines[annotation.lineno - 1].rindex(marker, start, annotation.col_offset)
        return annotation.lineno, len(lines[annotation.lineno - 1][:first].rstrip()), annotation.end_col_offset

    found: list[tuple[int, int, int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            found.append(span(node.col_offset, node.annotation, ":"))
        elif isinstance(node, ast.FunctionDef) and node.returns:
            found.append(span(0, node.returns, "->"))
        elif isinstance(node, ast.AnnAssign):
            found.append(span(node.col_offset, node.annotation, ":"))
    return found
