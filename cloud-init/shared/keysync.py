"""Keeps what an edge knows of keys as the documents of its clients say. For hosts and pods alike.

A key that was issued works, and one that was revoked does not, within EVERY and READ seconds: nginx looks for a file by
the key's digest, at each request, and nothing is reloaded. While the store is away, or holds what is no document, the
last good one counts, also after a restart: it is on the disk, and has no key in it, only digests.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import clients
import traffic
from basics import alarm, deadline, left, wait, write
from ship import Shipper
from telemetry import Telemetry

EVERY = 20  # seconds between looks
READ = 15  # seconds for all documents to be read

NOBODY = {"clients": {}}

Read = Callable[[str], "str | None"]
"""Text of a secret by its ARN; None while it has none. Raises what it likes."""


@dataclass
class Edge:
    """One nginx and who may use it.

    Attributes:
        arns: of the secrets that hold the documents; where two set a limit the later one's counts.
        models: under which names this edge's servers serve, their model first.
        own: a document of this machine's own.
        keys: the directory in which nginx looks for a key's digest.
        kept: the last good documents, by ARN.
        read: reads a secret.
        say: one line for whoever reads the log.
    """

    arns: Sequence[str]
    models: Sequence[str]
    own: Mapping[str, Any]
    keys: Path
    kept: Path
    read: Read
    say: Callable[[str], object]
    _trouble: str = field(default="", init=False)
    _days_left: float | None = field(default=None, init=False)

    def look(self) -> None:
        """Reads the documents, or what was kept of them, and has nginx know who is in them now.

        Raises:
            RuntimeError: one cannot be read, and none of it was kept.
        """
        now = datetime.datetime.now(datetime.UTC)
        known = self._known()
        rows, self._days_left = clients.rows(known, self.models, now), clients.days_left(known, now)
        self.keys.mkdir(parents=True, exist_ok=True)
        # What ends first: there may be no room for what begins.
        for file in self.keys.iterdir():
            if file.name not in rows and not file.is_dir():
                file.unlink()
        for digest, row in rows.items():
            if _text(self.keys / digest) != row:
                write(self.keys / digest, row)
        if not self._trouble:
            self._good.touch()

    def follow(self) -> None:
        """Looks for ever. What fails, such as a full disk, is told, and looked at again."""
        while wait(EVERY):
            try:
                self.look()
            except (OSError, RuntimeError) as error:
                self.say(str(error))

    def _known(self) -> clients.Clients:
        """Each document by itself: one that cannot be read does not hold up what the other one revokes."""
        kept, found, troubles = self._kept(), {}, []
        for arn in self.arns:
            with deadline(READ / len(self.arns)):
                try:
                    with alarm(left()):
                        text = self.read(arn)
                    document = NOBODY if text is None else json.loads(text)
                    clients.merged([document])
                    found[arn] = document
                except Exception as error:  # whatever the way to the store, or the store, does
                    troubles.append(f"{type(error).__name__}: {error}")
                    if arn not in kept:
                        raise RuntimeError(f"the clients' keys: {troubles[-1]}") from None
                    found[arn] = kept[arn]
        known = clients.merged([self.own, *(found[arn] for arn in reversed(self.arns))])
        self._tell("; ".join(troubles))
        if found != kept:
            with contextlib.suppress(OSError):  # a full disk holds up no key
                write(self.kept, json.dumps(found))
        return known

    def age(self) -> str:
        """How long ago all documents were last read, in Prometheus' text format; nothing before the first time.

        A file knows, so that an agent that starts again counts on.
        """
        with contextlib.suppress(OSError):
            seconds = max(0.0, time.time() - self._good.stat().st_mtime)
            return f"# TYPE tandem_keys_age_seconds gauge\ntandem_keys_age_seconds {seconds:.1f}\n"
        return ""

    def figures(self) -> dict[str, float]:
        """Days until a client has no key any more, while any client's last one has an end."""
        return {} if self._days_left is None else {"KeyDays": self._days_left}

    @property
    def _good(self) -> Path:
        return self.kept.with_suffix(".good")

    def _kept(self) -> dict[str, Any]:
        """Those that are whole; a disk may have torn the file."""
        found = {}
        with contextlib.suppress(OSError, ValueError, TypeError):
            for arn, document in dict(json.loads(self.kept.read_text())).items():
                clients.merged([document])
                found[arn] = document
        return found

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self.say(f"the clients' keys: {trouble}: those that were known stay" if trouble else "keys are read again")
            self._trouble = trouble


def ends(days_left: float | None) -> str:
    """In Prometheus' text format; nothing while none ends."""
    return "" if days_left is None else f"# TYPE tandem_key_days gauge\ntandem_key_days {days_left:.2f}\n"


def unwritten(error: RuntimeError) -> bool:
    """Whether AWS says that nothing was written into a secret yet; of one that is not there its words are others."""
    return "ResourceNotFoundException" in str(error) and "secret value" in str(error)


def attend(
    edge: Edge,
    port: int,
    log: Shipper | None,
    report: Callable[[traffic.Counts, Callable[[], Mapping[str, float]]], Telemetry] | None,
    more: Callable[[], str] = str,
    also: Callable[[bytes], object] = lambda _line: None,
) -> None:
    """What an agent does beside its edge until it is told to go: keeps keys, counts by client, ships the log, reports.

    Args:
        report: makes of the counts, and of what the edge measures, who reports them; None for nobody.
        more: what else is told in Prometheus' text format.
        also: takes each line that comes.
    """
    with contextlib.suppress(OSError):  # counts are worth less than keys
        counts = traffic.listen(port, log, lambda: edge.age() + ends(edge.figures().get("KeyDays")) + more(), also)
        if report:
            report(counts, edge.figures).start()
    if log:
        log.start()
    try:
        edge.follow()
    finally:
        if log:
            log.flush()


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
