"""One-letter names for what is local to a function: no other code sees them, and user data has no room for more."""

from __future__ import annotations

import ast
import itertools
import keyword
import string
from collections.abc import Collection, Iterator


def keywords(*sources: str) -> set[str]:
    """Names by which arguments are given: parameters that have one of them must keep it.

    Where a mapping from data is given with **, any parameter of what is called may be meant. A bare name after ** is a
    function's own `**parameters`, handed on: what is in it was named in a call.
    """
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    open_ended = {_called(call) for call in calls if any(_from_data(one) for one in call.keywords)}
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name in open_ended]
    given = {one.arg for call in calls for one in call.keywords if one.arg}
    return given.union(argument.arg for function in functions for argument in function.args.args)


def _from_data(argument: ast.keyword) -> bool:
    return argument.arg is None and not isinstance(argument.value, ast.Name)


def _called(call: ast.Call) -> str:
    """Name of what is called, without the module or object that it belongs to."""
    return getattr(call.func, "attr", "") or getattr(call.func, "id", "")


def short_names(source: str, kept: Collection[str]) -> str:
    """Python source whose functions have short names for parameters and variables.

    Args:
        kept: the keywords of all modules that run together.
    """
    tree = ast.parse(source)
    module = {name for node in tree.body for name in _bound(node)}.union(kept, {"self"})
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
    parameters = [node for node in nodes if isinstance(node, ast.arg)]
    stay = module | {
        node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ExceptHandler)) and node.name
    }
    stay |= {name for node in nodes if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names}
    places = [(node.lineno, node.col_offset, node.arg) for node in parameters]
    places += [(node.lineno, node.col_offset, node.id) for node in names]
    bound = [node.arg for node in parameters] + [node.id for node in names if isinstance(node.ctx, ast.Store)]
    free = (letter for letter in _letters() if letter not in stay | {name for *_, name in places})
    short = {name: next(free) if len(name) > 1 else name for name in dict.fromkeys(bound) if name not in stay}
    return ((row, column, name, short[name]) for row, column, name in places if name in short)


def _letters() -> Iterator[str]:
    """a, b ... z, aa, ab ..."""
    for length in itertools.count(1):
        names = map("".join, itertools.product(string.ascii_lowercase, repeat=length))
        yield from itertools.filterfalse(keyword.iskeyword, names)
