"""Has a machine's own servers pass the stack's canary (canary.py): before anybody is sent to them, and from then on now
and again. For hosts and pods alike.

It is closed for a version that no machine has proven yet, once a suite has shown that a version can pass: until then
its questions are as likely to be wrong as the answers, and a first `up` must not end by them. One that was proven opens
at once, whatever its canary says then: a suite that goes wrong must call somebody, and must not keep a fleet from
healing.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import canary
from basics import write

RETRY = 10  # seconds after a try in which a server did not answer, as before its first token
ANSWER = 300  # seconds for one answer
LARGEST = 8 << 20  # bytes of an answer


def asker(url: str, key: str = "") -> canary.Ask:
    """Of a server, or of a judge."""

    def ask(path: str, body: Mapping[str, Any]) -> tuple[int, str]:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=ANSWER) as answer:  # noqa: S310
                return answer.status, answer.read(LARGEST).decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read(LARGEST).decode(errors="replace")

    return ask


@dataclass
class Trial:
    """The canary of a machine.

    Attributes:
        document: as tandem/canary.py renders it: suite, model, stored run, judge, seconds between runs, gate.
        version: of what the machine serves and is asked; one that differs in nothing of it is proven already.
        servers: of this machine, by name.
        told: in which what was found out last is written, for who asks from another process.
        proven: a directory that all machines of a model share.
        secret: reads the judge's key by its ARN.
        say: one line for whoever reads the log.
    """

    document: Mapping[str, Any]
    version: str
    servers: Mapping[str, canary.Ask]
    told: Path
    proven: Path
    secret: Callable[[str], str | None]
    say: Callable[[str], object]
    _said: list[str] = field(default_factory=list[str], init=False)

    def start(self, closed: Callable[[], object] = lambda: None) -> None:
        """Tries from now on, in a thread that ends with the process.

        Args:
            closed: is told that a version which is not proven has failed.
        """
        threading.Thread(target=self._follow, args=(closed,), daemon=True).start()

    def _follow(self, closed: Callable[[], object]) -> None:
        if not (self.document["gate"] and self._held()):
            self._open()
        while True:
            done = False
            try:
                done = self.once()
            except Exception as error:  # whatever goes wrong with it, the next one must come
                self._tell([f"{type(error).__name__}: {error}"])
            if done and not opened(self.told).exists():
                closed()
            time.sleep(self.document["every"] if done else RETRY)

    def once(self) -> bool:
        """One run; False when nothing was found out, and what was known before stays."""
        try:
            found = [
                f"{server}, {one.case}: {one.detail}"
                for server, ask in self.servers.items()
                for one in canary.run(
                    self.document["suite"],
                    self.document["model"],
                    ask,
                    stored=self.document["stored"],
                    judge=self._judge(),
                )
                if one.outcome == "failed"
            ]
        except canary.Unanswered:
            return False
        write(self.told, json.dumps(found))
        self._tell(found)
        if not found:
            self._open()
            with contextlib.suppress(OSError):  # the next machine tries for itself, that is all
                write(self._mark, "")
        return True

    def _judge(self) -> Callable[[str, str, str], str] | None:
        if not (judge := self.document["judge"]):
            return None

        def judged(criterion: str, question: str, answer: str) -> str:
            try:
                key = self.secret(judge["keySecretArn"]) or "" if judge["keySecretArn"] else ""
            except RuntimeError as error:
                raise OSError(str(error)) from None
            return canary.judge_of(judge["model"], asker(judge["url"], key))(criterion, question, answer)

        return judged

    def _held(self) -> bool:
        """Whether others of this model have passed, and none of this version."""
        return self.proven.is_dir() and any(self.proven.iterdir()) and not self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.proven / self.version

    def _open(self) -> None:
        write(opened(self.told), "")

    def _tell(self, found: list[str]) -> None:
        if found != self._said:
            self.say("canary: " + ("; ".join(found) or "all is well again"))
            self._said = found


def opened(told: Path) -> Path:
    """Exists once requests may come."""
    return told.with_suffix(".open")


def failed(told: Path) -> list[str] | None:
    """What failed in the last run; None before the first."""
    with contextlib.suppress(OSError, ValueError):
        return list(json.loads(told.read_text()))
    return None


def figures(told: Path) -> dict[str, float]:
    """Of CloudWatch; none before the first run."""
    found = failed(told)
    return {} if found is None else {"CanaryFailed": float(len(found))}


def text(told: Path) -> str:
    """In Prometheus' text format."""
    found = failed(told)
    return "" if found is None else f"# TYPE tandem_canary_failed gauge\ntandem_canary_failed {len(found)}\n"
