"""The command, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulumi_rehearsal.command import ignored, region_of
from pulumi_rehearsal.errors import SetupError


@pytest.mark.parametrize(
    ("runtime", "told"),
    [
        ("runtime: python", []),
        ("runtime: {name: python, options: {virtualenv: venv}}", ["virtualenv: venv"]),
        ("runtime: {name: python, options: {toolchain: uv}}", ["toolchain: uv"]),
        ("nothing: here", []),
        (": no YAML", []),
    ],
)
def test_an_environment_that_is_not_entered_is_told(tmp_path: Path, runtime: str, told: list[str]) -> None:
    (tmp_path / "Pulumi.yaml").write_text(f"name: shop\n{runtime}\n")
    found = list(ignored(tmp_path))
    assert [line.removeprefix("runtime option ").partition(" is not followed")[0] for line in found] == told


def test_without_a_region_both_ways_to_give_one_are_told(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config: {}\n")
    with pytest.raises(SetupError, match="--region"):
        region_of("dev", tmp_path)
