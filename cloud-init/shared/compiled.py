"""What a server compiles: a cache of its own, begun as a copy of what an earlier one of its kind kept.

Nobody runs what another server still writes: a kept cache comes whole or not at all, once, and is not changed after.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

NOT_FOR_OTHERS = "gpu_p2p*"  # what was found out about one machine's GPUs


def begin(own: Path, kept: Path | None = None, ready: Callable[[Path], object] | None = None) -> None:
    """A new cache for a server, as a copy of a kept one, or empty.

    Args:
        ready: told the directory before it takes its place.
    """
    part = own.with_name(f"{own.name}.part")
    for old in (part, own):
        shutil.rmtree(old, ignore_errors=True)
    if kept and kept.exists():
        shutil.copytree(kept, part, symlinks=True)
    part.mkdir(parents=True, exist_ok=True)
    if ready:
        ready(part)
    part.rename(own)


def keep(own: Path, kept: Path, who: str) -> None:
    """Keeps a copy for those that come later, unless there is one. Of several at once one is first.

    Args:
        who: a name that no other server of this kind has.
    """
    if kept.exists() or not any(own.iterdir()):
        return
    part = kept.with_name(f"{kept.name}.{who}")
    try:
        shutil.copytree(own, part, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(NOT_FOR_OTHERS))
        part.rename(kept)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def forget(kept: Path, who: str) -> None:
    """Takes a damaged one away, at once for whoever looks."""
    gone = kept.with_name(f"{kept.name}.{who}.damaged")
    if kept.exists():
        kept.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
