"""Which project a directory is in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.files import ROOT, project_of


def test_a_clone_is_one_wherever_one_stands_in_it() -> None:
    assert project_of(ROOT / "tandem" / "ops") == ROOT
    assert project_of(ROOT / "examples" / "own-program") == ROOT / "examples" / "own-program"


@pytest.mark.parametrize(
    ("settings", "found"), [("config:\n  tandem:region: us-east-1\n", True), ("config: {}\n", False)]
)
def test_a_project_of_ones_own_is_known_by_a_file_of_settings(tmp_path: Path, settings: str, found: bool) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: assistant\n")
    (tmp_path / "Pulumi.lab.yaml").write_text(settings)
    (tmp_path / "below").mkdir()
    assert project_of(tmp_path / "below") == (tmp_path if found else None)
