"""Where files lie that are no Python: cloud-init/, images/pins.toml, the stack files."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
ROOT = _PACKAGE if (_PACKAGE / "cloud-init").is_dir() else _PACKAGE.parent
"""The project's directory; of an installed wheel the package itself, which then holds cloud-init/ and images/."""


def project_of(start: Path) -> Path | None:
    """The project that a directory is in: the nearest Pulumi.yaml of tandem's, or beside a file of its settings."""
    return next((directory for directory in (start, *start.parents) if _is_project(directory)), None)


def _is_project(directory: Path) -> bool:
    try:
        if "name: tandem\n" in (directory / "Pulumi.yaml").read_text(encoding="utf-8"):
            return True
        return any("tandem:" in path.read_text(encoding="utf-8") for path in directory.glob("Pulumi.*.yaml"))
    except (OSError, UnicodeDecodeError):
        return False


HERE = project_of(Path.cwd())
"""The project that the shell, or a Pulumi program, is in."""

PROJECT = HERE or ROOT
"""Stack files, and what they name, are found here: outside of any project, in the one that this file is part of."""
