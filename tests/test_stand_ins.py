"""The page of stand-ins is what the code says, and each one says what holds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import stand_ins


def test_the_page_is_not_stale() -> None:
    page = (stand_ins.ROOT / "docs/stand-ins.md").read_text(encoding="utf-8")
    assert page == stand_ins.page(stand_ins.stand_ins()), "`make docs` writes it anew"


def test_every_stand_in_says_what_holds_it_and_that_is_there() -> None:
    assert list(stand_ins.problems()) == []


def tree(root: Path, path: str, text: str) -> Path:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return root


DOCSTRING = 'class Played:\n    """A server.\n\n    Stands for: a server\n        of vLLM.\n    Held by: {}\n    """\n'


def test_lines_are_read_from_docstrings_and_comments(tmp_path: Path) -> None:
    tree(tmp_path, "tests/test_a.py", "def test_b(): ...\n")
    tree(
        tmp_path,
        "rehearsal/a.py",
        DOCSTRING.format("tests/test_a.py::test_b\n        (the real client), tests/test_a.py."),
    )
    tree(tmp_path, "rehearsal/b.py", "# Stands for: a mount helper.\n# Held by: nothing, it needs EFS.\nHELPER = 1\n")
    tree(
        tmp_path,
        "bench/stub/main.go",
        "package main\n\n// Stands for: vLLM.\n// Held by: tests/test_a.py::test_b\nfunc main() {}\n",
    )
    found = [(one.path, one.name, one.thing, one.tests, one.why) for one in stand_ins.stand_ins(tmp_path)]
    assert found == [
        ("bench/stub/main.go", "", "vLLM", ("tests/test_a.py::test_b",), ""),
        ("rehearsal/a.py", "Played", "a server of vLLM", ("tests/test_a.py::test_b", "tests/test_a.py"), ""),
        ("rehearsal/b.py", "HELPER", "a mount helper", (), "it needs EFS"),
    ]
    assert list(stand_ins.problems(tmp_path)) == []
    page = stand_ins.page(stand_ins.stand_ins(tmp_path))
    assert "Held by a test (2)" in page
    assert "| [`rehearsal/b.py`](../rehearsal/b.py) `HELPER` | a mount helper | it needs EFS |" in page


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        (
            "rehearsal/a.py",
            DOCSTRING.format("tests/test_gone.py::test_b"),
            "Played: there is no tests/test_gone.py::test_b",
        ),
        ("rehearsal/a.py", DOCSTRING.format("somebody."), "Played: `Held by:` names neither a test nor `nothing, WHY`"),
        ("rehearsal/a.py", DOCSTRING.format("nothing."), "Played: `Held by:` names neither a test nor `nothing, WHY`"),
        ("tests/test_a.py", "class FakeHub: ...\n", "FakeHub: looks like a stand-in"),
        ("tests/test_a.py", "def a():\n    def stub(): ...\n", "stub: looks like a stand-in"),
        ("bench/moto_more.py", "A = 1\n", ": looks like a stand-in"),
        ("bench/dummy.sh", "true\n", ": looks like a stand-in"),
    ],
)
def test_what_holds_nothing_or_does_not_say_so_is_named(tmp_path: Path, path: str, text: str, said: str) -> None:
    (problem,) = stand_ins.problems(tree(tmp_path, path, text))
    assert problem.startswith(f"{path}: {said}")
