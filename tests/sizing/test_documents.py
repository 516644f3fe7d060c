"""docs/sizing.md says what the measured rows and today's predictions are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.sizing_tables import replaced

DOCUMENT = Path(__file__).parents[2] / "docs" / "sizing.md"


def test_the_tables_are_current() -> None:
    text = DOCUMENT.read_text()
    assert replaced(text) == text, "run `make docs`"


def test_a_document_without_marks_is_not_rewritten() -> None:
    with pytest.raises(ValueError, match="no <!-- throughput"):
        replaced("# nothing here")
