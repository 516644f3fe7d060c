"""Python environments of their own for real parts from PyPI, made once by uv and kept in the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pulumi_rehearsal.cache import cache_directory, make_once

UV = os.environ.get("UV", "uv")
"""`uv run` names itself so; it need not be on PATH."""


def environment(
    name: str, requirements: Sequence[str], *, override: Sequence[str] = (), unused: Sequence[str] = ()
) -> Path:
    """The directory of an environment; made on first use.

    Args:
        name: in the cache, with the version in it.
        override: requirements that hold whatever packages ask for.
        unused: packages that come with the others and are removed again.
    """
    home = cache_directory() / name

    def install(unfinished: Path) -> None:
        inside = {**os.environ, "VIRTUAL_ENV": str(unfinished)}
        overridden = ["--override", "/dev/stdin"] if override else []
        for command in (
            # Links relative to the environment: it is renamed when it is whole.
            [UV, "venv", "-q", "--clear", "--relocatable", "--python", sys.executable, str(unfinished)],
            [UV, "pip", "install", "-q", *overridden, *requirements],
            *([[UV, "pip", "uninstall", "-q", *unused]] if unused else []),
        ):
            subprocess.run(command, env=inside, input="\n".join(override).encode(), check=True)

    make_once(home, home.is_dir, install, name, print)
    return home
