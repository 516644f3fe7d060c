"""A backend of local files: what a killed `pulumi` left there goes, where every later command would stumble over it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

CUT_OFF = ("failed to load checkpoint: EOF", "unexpected end of JSON input")
"""What `pulumi` says of attributes beside a state, and of a lock, that were opened and not written yet.

Every file is written under another name and then renamed, so the state is whole; its attributes (`.attrs`: media type
and hash, nothing that `pulumi` reads) are not, and a lock's other name counts as a lock. From gocloud.dev 0.46.0,
blob/fileblob/attrs.go and fileblob.go (`setAttrs`, `createTemp`); where the attributes are missing, it does without.
"""


def cleared(said: str, stack: str, directory: Path, url: Callable[[], str]) -> bool:
    """Whether something of a killed `pulumi` was in the way of a command and is gone: the same command may do now.

    Args:
        said: by the command that failed.
        directory: that a relative address of a backend starts from.
        url: asks for the backend's address.
    """
    if any(words in said for words in CUT_OFF):
        return _removed(_cut_off(url(), stack, directory))
    holders = re.findall(r"^\s*(\S+): created by .*@(\S+) \(pid (\d+)\)", said, re.MULTILINE)
    if not holders or not all(_is_orphaned(*holder) for holder in holders):
        return False
    return _removed(Path(unquote(urlsplit(lock).path)) for lock, _host, _pid in holders)


def _cut_off(url: str, stack: str, directory: Path) -> list[Path]:
    """What is empty of the stack's. A `pulumi` that is about to write it does without, or says that it got no lock."""
    if not url.startswith("file://"):
        return []
    root = directory / Path(unquote(url.removeprefix("file://").partition("?")[0])).expanduser() / ".pulumi"
    found = [*root.glob(f"stacks/**/{stack}.json*.attrs"), *root.glob(f"locks/**/{stack}/*.tmp")]
    return [path for path in found if path.stat().st_size == 0]


def _removed(paths: Iterable[Path]) -> bool:
    there = [path for path in paths if path.exists()]
    for path in there:
        path.unlink(missing_ok=True)
    return bool(there)


def _is_orphaned(url: str, host: str, pid: str) -> bool:
    """Whether a lock's holder ran here and has ended: a number tells a process on its own machine only."""
    return url.startswith("file://") and host == socket.gethostname() and not _runs(int(pid))


def _runs(pid: int) -> bool:
    """A dead process keeps its number until its parent has asked for it, which a container's first may never do."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:  # no Linux
        return True
