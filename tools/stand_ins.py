"""The page of stand-ins: every part of the tests, the rehearsal and the benchmarks that stands for a real one.

    python tools/stand_ins.py docs/stand-ins.md

It is collected from what stands beside each, in a docstring or a comment of Python, Go or shell:

    Stands for: the real thing.
    Held by: tests/path/test_file.py::test_name        or: nothing, and why.

A package under packages/ has tests of its own: a path in its files is looked for there first, then in the project.

Something that only looks like a stand-in says `Stands for: nothing` and why; the page leaves it out.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("rehearsal", "packages", "tests", "bench")
LINES = re.compile(r"^Stands for: (?P<thing>.+?)\nHeld by: (?P<holder>.+?)(?:\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
TEST = re.compile(r"tests/[\w/]+\.py(?:::\w+)?")
LOOKS_LIKE_ONE = re.compile(r"stub|fake|stand_?in|played|double|mock|dummy", re.IGNORECASE)
NAMED_LIKE_ONE = re.compile(rf"\b(?:class|def)\s+\w*(?:{LOOKS_LIKE_ONE.pattern})", re.IGNORECASE)
HEAD = """# Stand-ins, and what holds them

Made by `make docs` from the lines `Stands for:` and `Held by:` beside each stand-in; a test fails when it is stale,
when a test that is named here does not exist, and when something looks like a stand-in and has no such lines. A
stand-in proves only what it was held against.
"""


@dataclass(frozen=True)
class StandIn:
    """One stand-in. `tests` are those that hold it; without any, `why` says why nothing does."""

    path: str
    name: str
    thing: str
    tests: tuple[str, ...]
    why: str


def stand_ins(root: Path = ROOT) -> list[StandIn]:
    """All of them, by their place."""
    return [found for path in _files(root) for found in _in_file(path, str(path.relative_to(root)))]


def problems(root: Path = ROOT) -> Iterator[str]:
    """What is wrong with them, in words."""
    found = stand_ins(root)
    for one in found:
        if not one.tests and not one.why:
            yield f"{one.path}: {one.name}: `Held by:` names neither a test nor `nothing, WHY`"
        yield from (f"{one.path}: {one.name}: there is no {test}" for test in one.tests if not _exists(root, test))
    spoken = {str(Path(one.path).parent) for one in found}
    for path in _files(root):
        place = path.relative_to(root)
        if path.suffix == ".py":
            names = _nameless(path, str(place))
        else:  # files of one directory are one program
            names = [""] if LOOKS_LIKE_ONE.search(str(place)) and str(place.parent) not in spoken else []
        yield from (f"{place}: {name}: looks like a stand-in and has no line `Stands for:`" for name in names)


def page(found: list[StandIn]) -> str:
    """The page, in Markdown."""
    real = [one for one in found if not one.thing.startswith("nothing")]
    rows = [f"| {_link(one)} | {one.thing} | {'<br>'.join(map(_test, one.tests))} |" for one in real if one.tests]
    loose = [f"| {_link(one)} | {one.thing} | {one.why} |" for one in real if not one.tests]
    return "\n".join(
        [
            HEAD,
            f"## Held by a test ({len(rows)})\n",
            *("| stand-in | stands for | held by |", "|---|---|---|", *rows, ""),
            f"## Held by nothing ({len(loose)})\n",
            *("| stand-in | stands for | why |", "|---|---|---|", *loose, ""),
        ]
    )


def _files(root: Path) -> list[Path]:
    paths = (path for room in ROOMS for path in (root / room).rglob("*") if path.suffix in (".py", ".go", ".sh"))
    return sorted(path for path in paths if "golden" not in path.parts and "node_modules" not in path.parts)


def _in_file(path: Path, place: str) -> Iterator[StandIn]:
    """Those of docstrings, then those of comments."""
    text = path.read_text(encoding="utf-8")
    if "Stands for:" not in text:
        return
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                yield from _read(ast.get_docstring(node) or "", place, getattr(node, "name", ""))
    for block in re.finditer(r"(?:^[ \t]*(?:#|//) ?.*\n)+(?P<next>.*)", text, re.MULTILINE):
        words = re.findall(r"\w+", block["next"])
        remark = re.sub(r"^[ \t]*(?:#|//) ?", "", block[0], flags=re.MULTILINE)
        yield from _read(remark.removesuffix(block["next"]), place, words[0] if words and path.suffix == ".py" else "")


def _read(text: str, place: str, name: str) -> Iterator[StandIn]:
    for found in LINES.finditer(inspect.cleandoc(text)):
        thing, holder = (" ".join(found[key].split()) for key in ("thing", "holder"))
        nothing = holder.removeprefix("nothing").strip(" ,.") if holder.startswith("nothing") else ""
        tests = () if holder.startswith("nothing") else tuple(_of_package(place, test) for test in TEST.findall(holder))
        yield StandIn(place, name, thing.rstrip("."), tests, nothing)


def _of_package(place: str, test: str) -> str:
    package = "/".join(place.split("/")[:2])
    own = f"{package}/{test}"
    return own if place.startswith("packages/") and (ROOT / own.partition("::")[0]).is_file() else test


def _exists(root: Path, test: str) -> bool:
    path, _, name = test.partition("::")
    file = root / path
    return file.is_file() and (not name or bool(re.search(rf"^\s*def {name}\b", file.read_text(), re.MULTILINE)))


def _nameless(path: Path, place: str) -> Iterator[str]:
    """Modules (""), classes and functions whose names say that they stand for something, and do not say for what."""
    text = path.read_text(encoding="utf-8")
    spoken = {one.name for one in _in_file(path, place)}
    if "" in spoken:
        return
    if re.search(f"{LOOKS_LIKE_ONE.pattern}|moto", path.stem) and not path.stem.startswith("test_") and not spoken:
        yield ""
    if not NAMED_LIKE_ONE.search(text):
        return
    for node in _outside_classes(ast.parse(text)):
        inside = {getattr(one, "name", getattr(one, "id", "")) for one in ast.walk(node)}
        if LOOKS_LIKE_ONE.search(node.name) and not node.name.startswith("test_") and not inside & spoken:
            yield node.name


def _outside_classes(tree: ast.AST) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """Classes and functions, wherever they are, less methods."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node
        if not isinstance(node, ast.ClassDef):
            yield from _outside_classes(node)


def _link(one: StandIn) -> str:
    return f"[`{one.path}`](../{one.path})" + (f" `{one.name}`" if one.name else "")


def _test(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[`{name or path}`](../{path})"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(stand_ins()), encoding="utf-8")
