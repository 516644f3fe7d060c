"""Finds the `prometheus` command, or takes it from the distribution's package, without root and without its service.

In order: the machine's own, the cache, the package. A package that is only unpacked starts nothing and changes nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from infra.errors import Problem, UserError
from rehearsal.cache import Progress, cache_directory, make_once

PACKAGE = "prometheus"
"""Of Debian and Ubuntu; its command needs the C library and nothing else."""

FIX = f"`apt-get install {PACKAGE}` on Debian or Ubuntu; elsewhere put `prometheus` of prometheus.io/download on PATH"


def command() -> Path:
    """The command, once `ensure` has seen to it."""
    own = shutil.which("prometheus")
    return Path(own) if own else _home() / "prometheus"


def ensure(progress: Progress) -> None:
    """Takes the command from the package unless it is there; seconds, 20 MB.

    Raises:
        UserError: it is not there and cannot be had.
    """
    make_once(_home(), lambda: command().is_file(), partial(_take, progress), "Prometheus", progress)


def _home() -> Path:
    return cache_directory() / "kubernetes" / "prometheus"


def _take(progress: Progress, directory: Path) -> None:
    progress("taking Prometheus from the distribution's package")
    with tempfile.TemporaryDirectory(prefix="tandem-prometheus-") as name:
        scratch = Path(name)
        # root would else download as a user who may not write here
        download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", PACKAGE]
        failure = _failure(download, scratch)
        if failure and os.geteuid() == 0:
            progress("updating the distribution's lists of packages, for Prometheus")
            failure = _failure(["apt-get", "-q", "update"], scratch) or _failure(download, scratch)
        if failure:
            raise _missing(failure)
        for package in scratch.glob("*.deb"):
            failure = _failure(["dpkg-deb", "-x", package, scratch], scratch)
        taken = scratch / "usr" / "bin" / "prometheus"
        failure = failure or _failure([taken, "--version"], scratch)
        if failure:
            raise _missing(failure)
        shutil.copy(taken, directory)


def _failure(command: Sequence[str | Path], directory: Path) -> str:
    """What a command says when it fails; empty when it does not."""
    try:
        subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        return error.stderr.strip() or f"{Path(command[0]).name} ended with {error.returncode}"
    except OSError as error:
        return str(error)
    return ""


def _missing(failure: str) -> UserError:
    wrong = f"is not on PATH, and its package cannot be had:\n{failure}"
    return UserError(Problem(key="prometheus", wrong=wrong, fix=FIX))
