"""What is made once on a machine and kept: in `$PULUMI_REHEARSAL_CACHE`, by default `~/.cache/pulumi-rehearsal`."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PULUMI_REHEARSAL_CACHE"
"""Names another directory. A variable, for the servers and engines that are started look there as well."""

Progress = Callable[[str], None]
"""Receives a line on what is being done, many times a second at most; shows it in place of the last one."""


def cache_directory() -> Path:
    """Where everything of ours is kept; `$XDG_CACHE_HOME` in place of `~/.cache` where it is set."""
    if told := os.environ.get(VARIABLE):
        return Path(told)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pulumi-rehearsal"


def make_once(
    home: Path, is_there: Callable[[], bool], make: Callable[[Path], None], what: str, progress: Progress
) -> None:
    """Makes a directory of the cache unless it is there; one process at a time, and the others wait.

    Args:
        make: fills the directory that it is given. It is renamed when that is done: what is in the cache is whole.
        what: is being made, for those who wait (`the engine`).
    """
    if is_there():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(home.with_suffix(".lock"), what, progress):
        if is_there():  # another process was faster
            return
        unfinished = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
        try:
            make(unfinished)
            shutil.rmtree(home, ignore_errors=True)
            unfinished.rename(home)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextmanager
def _only_one(lock: Path, what: str, progress: Progress) -> Iterator[None]:
    """Lets one process at a time go on; the operating system frees the lock of a process that dies."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"waiting for another process that is installing {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
