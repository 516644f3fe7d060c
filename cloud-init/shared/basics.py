"""What hosts and pods share: an end to every wait, and files that are replaced whole."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

_end = [float("inf")]


class GiveUp(Exception):
    """Trying again cannot help."""


def left() -> float:
    """Seconds until the innermost deadline; a day without one."""
    return min(max(0.0, _end[-1] - time.monotonic()), 86400)


def wait(seconds: float) -> bool:
    """Sleeps, but not past the deadline; False once that is reached."""
    time.sleep(min(seconds, left()))
    return left() > 0


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Within this block no command runs and no wait lasts longer than so many seconds."""
    _end.append(min(_end[-1], time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.pop()


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Within this block of the main thread nothing takes longer, not even an answer that drips byte by byte.

    Raises:
        TimeoutError: when time is up; once more each second, should somebody take it for an error of theirs.
    """

    def ring(*_: object) -> None:
        raise TimeoutError(f"no end within {seconds:.3g} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 1)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Replaces a file whole; readers see the old one or the new one, also after a loss of power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.touch(mode)
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
