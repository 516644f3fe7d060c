"""Decisions have a number, a date and a status, and the index lists them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import decisions

ACCEPTED = "# Title\n\nStatus: accepted · 2026-11-21\n\nWhy.\n"


def test_the_index_is_current() -> None:
    found = decisions.decisions()
    assert len(found) >= 10
    assert (decisions.DIRECTORY / "README.md").read_text(encoding="utf-8") == decisions.page(found), "run `make docs`"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"0001-a": "# Title\n\nWhy.\n"}, r"0001-a\.md: begin with"),
        ({"0001-a": ACCEPTED.replace("accepted", "maybe")}, r"0001-a\.md: begin with"),
        ({"0001-a": ACCEPTED, "0001-b": ACCEPTED}, "0001, 0001; give each"),
        ({"0001-a": ACCEPTED, "0003-b": ACCEPTED}, "0001, 0003; give each file its own, without gaps, 0002 the last"),
        ({"0001-a": ACCEPTED.replace("accepted", "superseded by 0007")}, "there is no decision 0007"),
    ],
)
def test_a_decision_that_is_not_like_the_others_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / f"{name}.md").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        decisions.decisions(tmp_path)
