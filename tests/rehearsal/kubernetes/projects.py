"""The project with a stack file of a test's own."""

from __future__ import annotations

from pathlib import Path

from rehearsal.workspace import PROJECT


def project_with(directory: Path, stack: str, file: str) -> Path:
    """A directory that is the project, but for its stack files: there is one, with this text."""
    for name in ("Pulumi.yaml", "infra", "images"):
        (directory / name).symlink_to(PROJECT / name)
    (directory / f"Pulumi.{stack}.yaml").write_text(file, encoding="utf-8")
    return directory
