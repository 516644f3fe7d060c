"""Finds the real Pulumi engine, or installs it: the `pulumi` command and the start script of Python programs.

In order: the machine's own `pulumi`, the cache, the official installer where the network allows it, a build from Go
modules (pulumi_rehearsal/engine_build.py). The version is that of the installed `pulumi` package, for the two speak one
protocol.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pulumi_rehearsal import engine_build
from pulumi_rehearsal.cache import Progress, cache_directory, make_once

START_SCRIPT = "pulumi-language-python-exec"
"""Official start script of Python programs; every distribution of the command keeps it beside the command."""

INSTALLER_PROBE = "https://get.pulumi.com/install.sh"
INSTALLER_PROBE_SECONDS = 5


@dataclass(frozen=True)
class Engine:
    """A Pulumi engine that can run this project.

    Attributes:
        command: the `pulumi` executable.
        version: as the command itself says it, without the `v`.
        origin: where it was found: `PATH`, `cache`, `official installer` or `built from Go modules`.
    """

    command: Path
    version: str
    origin: str

    @property
    def start_script(self) -> Path:
        return self.command.with_name(START_SCRIPT)


def wanted_version() -> str:
    """The version of the installed `pulumi` package."""
    return metadata.version("pulumi")


def find() -> Engine | None:
    """The engine that this machine has already: a compatible one on PATH, else the one in the cache."""
    return _on_path() or _at(_home(), "cache")


def ensure(progress: Progress) -> Engine:
    """The engine, installed if need be: seconds with the official installer, 3 minutes from Go modules on two cores.

    Raises:
        SetupError: when it can neither be installed nor built.
    """
    origin = "cache"

    def install(directory: Path) -> None:
        nonlocal origin
        origin = _install(directory, progress)

    make_once(_home(), lambda: find() is not None, install, "the engine", progress)
    engine = find() if origin == "cache" else _at(_home(), origin)
    if engine is None:
        raise RuntimeError(f"{_home()} was just installed but does not answer `pulumi version`")
    return engine


def _install(directory: Path, progress: Progress) -> str:
    if _installer_reachable() and _install_official(directory, progress):
        return "official installer"
    engine_build.build(wanted_version(), directory / "bin", cache_directory(), progress)
    return "built from Go modules"


def _home() -> Path:
    return cache_directory() / "pulumi" / wanted_version()


def _on_path() -> Engine | None:
    command = shutil.which("pulumi")
    if command is None:
        return None
    # A link into a package manager's directory: the start script lies beside the file, not beside the link.
    engine = _at(Path(command).resolve().parent.parent, "PATH")
    return engine if engine and compatible(engine.version, wanted_version()) else None


def _at(home: Path, origin: str) -> Engine | None:
    command = home / "bin" / "pulumi"
    if not (command.is_file() and command.with_name(START_SCRIPT).is_file()):
        return None
    answer = subprocess.run(
        [command, "version"],
        env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Engine(command, answer.stdout.strip().removeprefix("v"), origin) if answer.returncode == 0 else None


def compatible(found: str, wanted: str) -> bool:
    """Same major version and not an older minor one: the command may be newer than the Python package, not older."""

    def parts(version: str) -> tuple[int, int]:
        match = re.match(r"(\d+)\.(\d+)\.", version)
        return (int(match[1]), int(match[2])) if match else (0, 0)

    (found_major, found_minor), (wanted_major, wanted_minor) = parts(found), parts(wanted)
    return found_major == wanted_major and found_minor >= wanted_minor


def _installer_reachable() -> bool:
    try:
        with urllib.request.urlopen(INSTALLER_PROBE, timeout=INSTALLER_PROBE_SECONDS) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _install_official(directory: Path, progress: Progress) -> bool:
    progress(f"installing Pulumi {wanted_version()} with the official installer")
    # The Automation API knows the installer; in a process of its own because importing it takes a second.
    script = f"from pulumi.automation import PulumiCommand; PulumiCommand.install(root={str(directory)!r})"
    installed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return installed.returncode == 0 and (directory / "bin" / START_SCRIPT).is_file()
