"""Finds the `prometheus` command, or takes it from the distribution's package, without root and without its service.

In order: the machine's own, the cache, the package. A package that is only unpacked starts nothing and changes nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from pathlib import Path

from pulumi_rehearsal.cache import Progress, cache_directory, make_once
from pulumi_rehearsal.distribution import failure, unpack
from pulumi_rehearsal.errors import SetupError

PACKAGE = "prometheus"
"""Of Debian and Ubuntu; its command needs the C library and nothing else."""

FIX = f"`apt-get install {PACKAGE}` on Debian or Ubuntu; elsewhere put `prometheus` of prometheus.io/download on PATH"


CHECKER = "promtool"
"""Of the same package; it checks rules, and runs their tests."""


def command(name: str = "prometheus") -> Path:
    """The command, once `ensure` has seen to it.

    Args:
        name: or CHECKER.
    """
    own = shutil.which(name)
    return Path(own) if own else _home() / name


def ensure(progress: Progress) -> None:
    """Takes both commands from the package unless they are there; seconds, 40 MB.

    Raises:
        SetupError: it is not there and cannot be had.
    """
    make_once(_home(), _there, partial(_take, progress), "Prometheus", progress)


def _there() -> bool:
    return command().is_file() and command(CHECKER).is_file()


def _home() -> Path:
    return cache_directory() / "kubernetes" / "prometheus"


def _take(progress: Progress, directory: Path) -> None:
    progress("taking Prometheus from the distribution's package")
    with tempfile.TemporaryDirectory(prefix="rehearsal-prometheus-") as name:
        scratch = Path(name)
        taken = [scratch / "usr" / "bin" / name for name in ("prometheus", CHECKER)]
        wrong = unpack([PACKAGE], scratch, progress)
        for one in taken:
            wrong = wrong or failure([one, "--version"], scratch)
        if wrong:
            raise _missing(wrong)
        for one in taken:
            shutil.copy(one, directory)


def _missing(failure: str) -> SetupError:
    wrong = f"is not on PATH, and its package cannot be had:\n{failure}"
    return SetupError(key="prometheus", wrong=wrong, fix=FIX)
