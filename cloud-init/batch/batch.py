"""Works at the stack's batch until nothing is left of it, its time is over or it is cancelled; beside vLLM's runner.

Requests come in parts. A part is claimed by an object that only one can write, and stays claimed while that is written
anew; answers are kept every few seconds, so that whoever takes over what a machine left asks only for what is missing;
a part that is whole is written once. All that two machines could both do is decided by S3's conditions on writes.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import job
from basics import GiveUp
from bucket import Bucket

SOCKET = "batch.sock"
KEEP_SECONDS = 10
"""Between two times that answers are kept: what a machine that is taken away loses at most, beside what it began."""
LOOK_SECONDS = 10
SUSPECT, TRIES = 2, 5
"""A part at which the runner was seen to end so often without one more answer is asked line by line, with nothing
beside it; and then the line at which it stands still is given up: it ends servers."""
SILENT_SECONDS = 1800
"""Without one answer to many requests: a server that hangs."""


class NotStarted(RuntimeError):
    """vLLM ended before it was ready, or was not ready in time."""


class Ended(RuntimeError):
    """The runner ended at what it was asked."""


class Hangs(RuntimeError):
    """The runner answers nothing."""


class Runner:
    """vLLM's runner, which is given requests by name.

    Args:
        path: of the socket, where whoever the runner runs as can reach it.
        seconds: for its start.
        command: that starts it, and tells it of the socket; None where others do.

    Raises:
        NotStarted: it did not.
    """

    def __init__(self, path: Path, seconds: float, command: Sequence[str] | None = None) -> None:
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(1)
        self.process = subprocess.Popen(command) if command else None
        end = time.monotonic() + seconds
        listener.settimeout(1)
        while True:
            try:
                self._socket, _ = listener.accept()
                self._socket.setblocking(True)
                break
            except TimeoutError:
                if self._status() is not None or time.monotonic() > end:
                    self.stop()
                    raise NotStarted(f"vLLM did not start: exit status {self._status()}") from None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._rest = b""

    def ask(self, name: str, request: Any) -> None:
        """Sends a request; that the runner ended is found out when its answers are read."""
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps({"name": name, "request": request}).encode() + b"\n")

    def answers(self, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """Those that are there, or come within these seconds.

        Raises:
            Ended: by itself.
        """
        if not self._selector.select(seconds):
            return
        data = b""
        with contextlib.suppress(OSError):
            data = self._socket.recv(2**20)
        if not data:
            raise Ended(f"vLLM ended: exit status {self.process.wait(60) if self.process else None}")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            found = json.loads(line)
            yield found["name"], found["answer"]

    def _status(self) -> int | None:
        """With which it ended."""
        return self.process.poll() if self.process else None

    def stop(self) -> None:
        """Where others started it, they end it."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


@dataclass
class Part:
    """A part that is ours.

    Attributes:
        requests: by custom_id, in the order of the input.
        answers: what is known, by custom_id.
        ends: how often the runner ended since there was one more of them.
        fresh: of these what no object has yet.
        by: whom it is claimed.
        known: of the answers, when the runner ended last, or it was claimed.
        etag: of our claim.
    """

    number: int
    requests: dict[str, Any]
    answers: dict[str, dict[str, Any]]
    ends: int
    fresh: dict[str, dict[str, Any]] = field(default_factory=dict)
    by: str = ""
    known: int = 0
    etag: str = ""

    def __post_init__(self) -> None:
        self.known = len(self.answers)

    @property
    def missing(self) -> list[str]:
        return [name for name in self.requests if name not in self.answers]

    @property
    def alone(self) -> bool:
        """It may hold a request that ends servers."""
        return self.ends >= SUSPECT

    @property
    def claim(self) -> str:
        """What the next one is told: a machine that was taken away says nothing against a request."""
        return json.dumps({"by": self.by, "answered": self.known, "ends": self.ends})

    def ended(self) -> None:
        """The runner did, while it worked at this part."""
        self.ends = 1 + (self.ends if self.known == len(self.answers) else 0)
        self.known = len(self.answers)

    def answer(self, name: str, line: dict[str, Any]) -> None:
        self.answers[name] = self.fresh[name] = line


class Worker:
    """One replica's share of a batch.

    Args:
        name: of this replica, the same after a restart: what it had claimed is still its own.
        machine: that it is on.
        at_once: requests that vLLM runs at the same time.
    """

    def __init__(self, bucket: Bucket, name: str, machine: str, at_once: int, say: Callable[[str], None]) -> None:
        self.bucket, self.name, self.machine, self.at_once, self.say = bucket, name, machine, at_once, say
        self.id = self._current()
        self.mine: dict[int, Part] = {}
        self.free: list[int] = []
        self._looked = self._kept = float("-inf")

    def _current(self) -> str:
        return json.loads((self.bucket.get(job.CURRENT) or ('{"id": ""}', ""))[0])["id"]

    def wanted(self) -> int:
        """Machines that the stack's batch is to have now, also one that was begun since; 0 when nothing is left."""
        self.id = self._current()
        return 0 if self.over() else self.job["hosts"]

    def over(self) -> str:
        """Why nothing is left to do here; empty while something is."""
        found = self.bucket.get(f"jobs/{self.id}/job.json") if self.id else None
        if found is None:
            return "there is no batch"
        self.job = json.loads(found[0])
        if self.bucket.get(f"jobs/{self.id}/stop.json"):
            return "the batch is cancelled"
        if self.bucket.now >= self.job["ends"]:
            return "the batch has spent its time"
        return "" if self.left() else "the batch is done"

    def left(self) -> set[int]:
        """Parts that are not done."""
        done = {job.number(key) for key in self.bucket.list(job.place(self.id, "done"))}
        return set(range(1, self.job["parts"] + 1)) - done

    def work(self, runner: Runner) -> str:
        """Answers until nothing is left; says why.

        Raises:
            Ended, Hangs: the runner.
        """
        heard = time.monotonic()
        try:
            while True:
                if time.monotonic() - self._kept >= KEEP_SECONDS:
                    self.keep()
                    if why := self.over():
                        return why
                self._begin(runner)
                for name, answer in runner.answers(1):
                    heard = time.monotonic()
                    self._answered(runner, name, answer)
                if not self.mine:
                    heard = time.monotonic()
                if time.monotonic() - heard > SILENT_SECONDS:
                    raise Hangs(f"vLLM gave no answer for {SILENT_SECONDS} s")
        except (Ended, Hangs):
            for part in self.mine.values():
                part.ended()
            raise
        finally:
            self.keep()

    def _begin(self, runner: Runner) -> None:
        """Takes one more part, if vLLM will soon have room and one is free, and asks for what is missing of it."""
        running = [*self.mine.values()]
        busy = any(part.alone for part in running) or sum(len(part.missing) for part in running) >= 2 * self.at_once
        if busy or (part := self._take()) is None:
            return
        if part.ends >= TRIES:
            name = part.missing[0]
            self.say(f"part {part.number}: line {[*part.requests].index(name) + 1} ends the server, and is given up")
            part.answer(name, job.unanswered(name, "gave_up", f"the server ended at it {TRIES} times"))
        for name in part.missing[:1] if part.alone else part.missing:
            runner.ask(f"{part.number}/{name}", part.requests[name])
        if not part.missing:
            self._finish(part)

    def _answered(self, runner: Runner, name: str, answer: dict[str, Any]) -> None:
        number, _, custom_id = name.partition("/")
        part = self.mine.get(int(number))
        if part is None or custom_id in part.answers:  # lost to another meanwhile
            return
        part.answer(custom_id, job.as_openai(custom_id, answer))
        if not part.missing:
            self._finish(part)
        elif part.alone:
            self.keep()
            runner.ask(f"{number}/{part.missing[0]}", part.requests[part.missing[0]])

    def _input(self, number: int) -> dict[str, Any]:
        """Requests of a part by custom_id, in order."""
        found = self.bucket.get(job.place(self.id, "input", number))
        if found is None:
            raise GiveUp(f"part {number} of {self.id} is not there")
        return {one["custom_id"]: one for one in map(json.loads, job.lines(found[0]))}

    def _take(self) -> Part | None:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked, self.free = time.monotonic(), self._unclaimed()
        while self.free:
            if part := self._claim(self.free.pop(0)):
                return part
        return None

    def _unclaimed(self) -> list[int]:
        claims = {job.number(key): at for key, at in self.bucket.list(job.place(self.id, "claims")).items()}
        left = sorted(self.left() - set(self.mine))
        return [one for one in left if self._is_old(claims.get(one, 0)) or self._was_mine(one)]

    def _is_old(self, at: float) -> bool:
        """A claim that nobody wrote anew."""
        return at < self.bucket.now - job.LEASE_SECONDS

    def _was_mine(self, number: int) -> bool:
        found = self.bucket.get(job.place(self.id, "claims", number, ".json"))
        return found is not None and json.loads(found[0])["by"] == self.name

    def _claim(self, number: int) -> Part | None:
        """Makes a part ours, with what is known of it; None when another was quicker, also since we looked which are
        free, or it waits for the others."""
        key = job.place(self.id, "claims", number, ".json")
        before, etag = self.bucket.get(key) or ("", "")
        last = json.loads(before) if before else {"answered": -1, "by": self.name}
        if last["by"] != self.name and not self._is_old(self.bucket.list(key).get(key, 0)):
            return None
        kept = [self.bucket.get(one) for one in self.bucket.list(job.place(self.id, "answers", number, "/"))]
        answers = job.collected(one[0] for one in kept if one)
        ends = last["ends"] if last["answered"] == len(answers) else 0
        part = Part(number, self._input(number), answers, ends, by=self.name)
        if part.alone and self.mine:
            return None
        if not (new := self.bucket.put(key, part.claim, etag)):
            return None
        self.say(f"part {number}: {len(part.missing)} of {len(part.requests)} to answer")
        part.etag = new
        self.mine[number] = part
        return part

    def keep(self) -> None:
        """Writes what is new: claims first, so that what another has taken over is not written."""
        self._kept = time.monotonic()
        if not self.id:
            return
        self.bucket.replace(job.place(self.id, "machines", self.machine, ".json"), "{}")
        for part in list(self.mine.values()):
            if self._renew(part) and part.fresh:
                key = job.place(self.id, "answers", part.number, f"/{time.time_ns()}-{self.name}.jsonl")
                self.bucket.replace(key, job.written(part.fresh.values()))
                part.fresh = {}

    def _renew(self, part: Part) -> bool:
        if new := self.bucket.put(job.place(self.id, "claims", part.number, ".json"), part.claim, part.etag):
            part.etag = new
            return True
        self.say(f"part {part.number}: another has taken it over")
        del self.mine[part.number]
        return False

    def _finish(self, part: Part) -> None:
        """Writes a part that is whole; where another has, theirs stays."""
        del self.mine[part.number]
        self.bucket.put(
            job.place(self.id, "done", part.number), job.written(part.answers[one] for one in part.requests)
        )


def run(worker: Worker, started: Callable[[], Runner]) -> str:
    """Works at the batch, if there is one: the runner is started only then. Says why nothing is left."""
    if why := worker.over():
        return why
    runner = started()
    try:
        return worker.work(runner)
    finally:
        runner.stop()
