"""The import contracts in pyproject.toml hold what they say: an import that breaks one is seen."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
SIMULATOR = "packages/pulumi-rehearsal/pulumi_rehearsal"
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
    shutil.copytree(
        PROJECT / SIMULATOR, made / "pulumi_rehearsal", ignore=shutil.ignore_patterns("__pycache__", "modules")
    )
    for package in ("infra", "tandem", "rehearsal"):
        shutil.copytree(PROJECT / package, made / package, ignore=shutil.ignore_patterns("__pycache__"))
    return made


@pytest.mark.clock
@pytest.mark.parametrize(
    ("file", "planted", "contract"),
    [
        ("tandem/tags.py", "import pulumi", "What a setting means"),
        ("tandem/subnets.py", "import tandem.host.render", "What a setting means"),
        ("tandem/settings/types.py", "import tandem.rules", "From settings up"),
        ("infra/components/secrets.py", "import boto3", "The program asks AWS nothing"),
        ("tandem/ops/plot.py", "import infra.components.secrets", "Operators read settings"),
        ("tandem/ops/plot.py", "import rehearsal.run", "One command starts the rehearsal"),
        ("pulumi_rehearsal/cache.py", "import tandem.tags", "The simulator knows nothing of tandem"),
        ("pulumi_rehearsal/aws/row.py", "import rehearsal.scene", "The simulator knows nothing of tandem"),
        ("infra/kubernetes/objects.py", "import infra.kubernetes.placement", "No cycles"),
        ("tandem/ops/whose.py", "import tandem.ops.recovery", "No cycles"),
    ],
)
def test_a_planted_import_is_seen(copy: Path, file: str, planted: str, contract: str) -> None:
    place = copy / file
    text = place.read_text(encoding="utf-8")
    try:
        place.write_text(f"{text}\n{planted}\n", encoding="utf-8")
        assert any(name.startswith(contract) for name in broken(copy))
    finally:
        place.write_text(text, encoding="utf-8")


@pytest.mark.clock
def test_as_it_is_nothing_is_broken(copy: Path) -> None:
    assert broken(copy) == set()
