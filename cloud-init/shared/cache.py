"""A model in a hub cache, on hosts and in pods: where it lies, whether it is whole, and how it is copied.

The layout is that of huggingface_hub. Beside a snapshot lies its marker, which is its manifest (manifest.py): it is
written once every file has been compared with it. An empty one, from before there were manifests, is no marker.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import manifest
from basics import left, wait, write


class Cache:
    """One model in a hub cache.

    Args:
        root: the cache's directory.
        wanted: `model`, organisation/name; `revision`, a commit, or None for what `main` is when it is downloaded;
            `manifest`, the pinned hash of its manifest, or None for whatever the hub says at the download; `name` of a
            LoRA adapter, by which clients ask for it.
    """

    def __init__(self, root: Path, wanted: dict[str, Any]) -> None:
        self.root, self.wanted = root, wanted
        self.repository = root / f"models--{wanted['model'].replace('/', '--')}"

    def snapshot(self) -> Path:
        """Where the revision's files are, by their names."""
        main = self.repository / "refs/main"
        revision = self.wanted["revision"] or (main.read_text() if main.exists() else "main")
        return self.repository / "snapshots" / revision

    def settle(self, commit: str) -> None:
        """Remembers what `main` is, where no revision is pinned."""
        if not self.wanted["revision"]:
            write(self.repository / "refs/main", commit)

    def marker(self) -> Path:
        """Of the snapshot."""
        return self.snapshot().with_name(f"{self.snapshot().name}.complete")

    def rows(self) -> list[manifest.Row]:
        """The manifest of the snapshot, once it is complete; empty before, and while it is not the pinned one."""
        try:
            rows = json.loads(self.marker().read_text())
        except (FileNotFoundError, ValueError):
            return []
        return rows if isinstance(rows, list) and self.wanted["manifest"] in (None, manifest.digest(rows)) else []

    def complete(self) -> list[manifest.Row]:
        """The same; RuntimeError without any, as another machine takes the marker away when it finds damage."""
        if not (rows := self.rows()):
            raise RuntimeError(f"{self.snapshot()} is not complete, or no longer")
        return rows

    def finish(self, rows: list[manifest.Row]) -> None:
        """Marks the snapshot as complete."""
        write(self.marker(), json.dumps(rows))

    def has(self, row: manifest.Row) -> bool:
        """There is such a file, of that size."""
        file = self.snapshot() / row[2]
        return file.exists() and file.stat().st_size == row[1]

    def check(self, row: manifest.Row, to: Cache | None = None) -> None:
        """Compares a file with its row, copying it meanwhile; a damaged one is removed, to be fetched again."""
        name, size, path = row
        source, part = self.snapshot() / path, to.snapshot() / f"{path}.part" if to else Path(os.devnull)
        state = hashlib.sha256() if len(name) == 64 else hashlib.sha1(b"blob %d\0" % size)  # noqa: S324  git's naming
        part.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError), source.open("rb") as data, part.open("wb") as copy:
            while block := data.read(2**22):
                state.update(block)
                copy.write(block)
                if not left():
                    raise RuntimeError("out of time")
        if state.hexdigest() != name:
            for damaged in (self.marker(), self.repository / "blobs" / name, source):
                damaged.unlink(missing_ok=True)
            raise RuntimeError(f"{path} was damaged: removed, to be fetched again")
        if to:
            part.replace(to.snapshot() / path)

    def check_all(self, rows: Iterable[manifest.Row], to: Cache | None = None) -> None:
        """The same for many, side by side: one stream does not fill a network file system."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda row: self.check(row, to), rows))

    def prune(self, rows: Iterable[manifest.Row]) -> None:
        """Removes what the manifest does not name, such as a chat template that would overrule the model's."""
        known = {self.snapshot() / path for _, _, path in rows}
        for path in self.snapshot().rglob("*"):
            if path not in known and (path.is_symlink() or path.is_file()):
                path.unlink()

    def look(self) -> None:
        """Before a snapshot is served where it lies: names, sizes, and the content of small files.

        Large ones were compared when they came; to read them all at each start costs as much as a copy.
        """
        rows = self.complete()
        self.prune(rows)
        self.check_all(row for row in rows if len(row[0]) < 64 or not self.has(row))

    def copy(self, to: Cache) -> None:
        """Copies a complete snapshot, comparing each file on the way.

        Raises:
            OSError: with ENOSPC, before the first byte, when there is no room; later when somebody else took it, and
                then nothing of the copy is left there.
        """
        rows = self.complete()
        to.root.mkdir(exist_ok=True)
        to.settle(self.snapshot().name)
        todo = [row for row in rows if not to.has(row)]
        need, free = sum(row[1] for row in todo), shutil.disk_usage(to.root).free
        if need > free:
            raise OSError(errno.ENOSPC, f"{need >> 20} MiB to copy, {free >> 20} MiB free")
        try:
            self.check_all(todo, to)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                shutil.rmtree(to.repository)
            raise
        to.finish(rows)

    def fetch(self, download: Callable[[Cache], None]) -> bool:
        """Has one machine download what no other has yet; whether it was this one."""
        if self.rows():
            return False
        self.root.mkdir(exist_ok=True)
        with turn(self.root):
            missing = not self.rows()
            if missing:
                download(self)
        return missing


@contextlib.contextmanager
def turn(root: Path) -> Iterator[None]:
    """One machine at a time. The file server frees the lock of one that dies; the next takes over."""
    with (root / ".tandem.lock").open("w") as lock:
        while True:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not wait(5):
                    raise RuntimeError("another machine was downloading until the deadline") from None
        yield
