"""The licence is Apache 2.0, in the words of the Apache Software Foundation, and the package says so."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT, *(file.parent for file in ROOT.glob("packages/*/pyproject.toml")))
STANDARD = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of https://www.apache.org/licenses/LICENSE-2.0.txt."""


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_text_is_the_standard_one(package: Path) -> None:
    assert hashlib.sha256((package / "LICENSE").read_bytes()).hexdigest() == STANDARD


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_package_names_it(package: Path) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
