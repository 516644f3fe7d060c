"""The command, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulumi_rehearsal.command import CANNOT_START, ignored, known, main, region_of
from pulumi_rehearsal.errors import SetupError


@pytest.mark.parametrize(
    ("runtime", "told"),
    [
        ("runtime: python", []),
        ("runtime: {name: python, options: {virtualenv: venv}}", ["virtualenv: venv"]),
        ("runtime: {name: python, options: {toolchain: uv}}", ["toolchain: uv"]),
        ("nothing: here", []),
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


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (None, ("Pulumi.yaml: there is no such file", "--project")),
        ("name: [shop\n", ("Pulumi.yaml: is not YAML", "line 2")),
        ("shop\n", ("Pulumi.yaml: is no mapping", "'shop'")),
    ],
)
def test_a_project_that_cannot_be_read_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], described: str | None, words: tuple[str, ...]
) -> None:
    if described:
        (tmp_path / "Pulumi.yaml").write_text(described)
    assert main(["dev", "--project", str(tmp_path)]) == CANNOT_START
    said = capsys.readouterr().err
    assert all(word in said for word in words)


def test_a_stack_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text("config:\n  aws:region: [eu\n")
    with pytest.raises(SetupError, match=r"Pulumi\.dev\.yaml: is not YAML"):
        region_of("dev", tmp_path)


def test_without_any_stack_file_none_is_offered(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"fix: +write Pulumi\.dev\.yaml"):
        region_of("dev", tmp_path)


def test_a_region_that_aws_does_not_have_is_told_with_those_like_it() -> None:
    with pytest.raises(SetupError, match=r"'eu-west-11'\n  allowed: .*eu-west-1"):
        known("eu-west-11")
    assert known("cn-north-1") == "cn-north-1"
