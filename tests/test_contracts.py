"""The import contracts in pyproject.toml hold what they say: an import that breaks one is seen."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
LINT = Path(sys.executable).with_name("lint-imports")


def broken(project: Path) -> set[str]:
    """Names of the contracts that do not hold.

    Raises:
        ValueError: none was looked at.
    """
    done = subprocess.run([LINT, "--no-cache"], cwd=project, capture_output=True, text=True, timeout=120)
    if "Contracts: " not in done.stdout:
        raise ValueError(done.stdout + done.stderr)
    return set(re.findall(r"^(.+) BROKEN", done.stdout, re.MULTILINE))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, to be spoilt."""
    made = tmp_path_factory.mktemp("copy")
    shutil.copy(PROJECT / "pyproject.toml", made)
    for package in ("infra", "ops", "rehearsal"):
        shutil.copytree(PROJECT / package, made / package, ignore=shutil.ignore_patterns("__pycache__"))
    return made


@pytest.mark.parametrize(
    ("file", "planted", "contract"),
    [
        ("infra/tags.py", "import pulumi", "What a setting means"),
        ("infra/subnets.py", "import infra.host.render", "What a setting means"),
        ("infra/settings/types.py", "import infra.rules", "From settings up"),
        ("infra/components/secrets.py", "import boto3", "The program asks AWS nothing"),
        ("ops/plot.py", "import infra.components.secrets", "Operators read settings"),
        ("ops/plot.py", "import rehearsal.run", "One command starts the rehearsal"),
        ("infra/kubernetes/names.py", "import infra.kubernetes.objects", "No cycles"),
    ],
)
def test_a_planted_import_is_seen(copy: Path, file: str, planted: str, contract: str) -> None:
    place = copy / file
    text = place.read_text(encoding="utf-8")
    extra = "import infra.kubernetes.names\n" if contract.startswith("No cycles") else ""
    other = copy / "infra/kubernetes/objects.py"
    before = other.read_text(encoding="utf-8")
    try:
        place.write_text(f"{text}\n{planted}\n", encoding="utf-8")
        other.write_text(f"{before}\n{extra}", encoding="utf-8")
        assert any(name.startswith(contract) for name in broken(copy))
    finally:
        place.write_text(text, encoding="utf-8")
        other.write_text(before, encoding="utf-8")


def test_as_it_is_nothing_is_broken(copy: Path) -> None:
    assert broken(copy) == set()
