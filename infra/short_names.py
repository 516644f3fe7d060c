"""One-letter names for what is local to a function: no other code sees them, and user data has no room for more."""

from __future__ import annotations

import ast
import itertools
import string
from collections.abc import Iterator


def short_names(source: str) -> str:
    """Python source whose functions have short local names; names of parameters and of modules stay."""
    tree = ast.parse(source)
    module = {name for node in tree.body for name in _bound(node)}
    lines = [line.encode() for line in source.splitlines()]
    found = [place for function in _outermost(tree) for place in _places(function, module)]
    for row, column, name, short in sorted(found, reverse=True):
        line = lines[row - 1]
        assert line[column : column + len(name)] == name.encode(), f"{name} is not where Python says that it is"
        lines[row - 1] = line[:column] + short.encode() + line[column + len(name) :]
    return "".join(f"{line.decode()}\n" for line in lines)


def _outermost(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions and methods; those within them are a part of them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _outermost(node)


def _bound(node: ast.AST) -> set[str]:
    """Names that a statement of a module gives a meaning to."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    imports = (one for one in ast.walk(node) if isinstance(one, (ast.Import, ast.ImportFrom)))
    return names | {(alias.asname or alias.name).split(".")[0] for one in imports for alias in one.names}


def _places(function: ast.FunctionDef, module: set[str]) -> Iterator[tuple[int, int, str, str]]:
    """(row, column, name, short name) of each place where a local name stands."""
    nodes = list(ast.walk(function))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    stay = module | {node.arg for node in nodes if isinstance(node, ast.arg)}
    stay |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ExceptHandler)) and node.name}
    stay |= {name for node in nodes if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names}
    local = dict.fromkeys(node.id for node in names if isinstance(node.ctx, ast.Store) and node.id not in stay)
    taken = stay | {node.id for node in names}
    free = (letter for letter in _letters() if letter not in taken)
    short = {name: next(free) if len(name) > 1 else name for name in local}
    for node in names:
        if node.id in short:
            yield node.lineno, node.col_offset, node.id, short[node.id]


def _letters() -> Iterator[str]:
    """a, b ... z, aa, ab ..."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(string.ascii_lowercase, repeat=length))
