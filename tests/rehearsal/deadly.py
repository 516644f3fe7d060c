"""A provider of the simulated account that kills while something is being done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pulumi_rehearsal.aws.provider import AwsProvider
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import Subject
from pulumi_rehearsal.wire import Properties

DEADLINE_SECONDS = 300


class DeadlyProvider(AwsProvider):
    """Kills once, when AWS has done something to a resource of a type and the engine has not heard of it.

    Attributes:
        deadly: what is done, and to which type.
        kill: what then happens.
        struck: id of the resource.
    """

    deadly: tuple[str, str] = ("", "")
    kill: Callable[[], object] | None = None
    struck = ""

    def __init__(self, account: SimulatedAccount) -> None:
        super().__init__(account)
        self._under_way, self._ended = 0, threading.Condition()

    def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
        with self._ended:
            self._under_way += 1
        try:
            made = super().create(subject, inputs)
            self._strike("create", subject, made[0])
            return made
        finally:
            with self._ended:
                self._under_way -= 1
                self._ended.notify_all()

    def settle(self) -> None:
        """Waits until no call is under way: on this machine one takes longer than a command waits for it."""
        with self._ended:
            assert self._ended.wait_for(lambda: self._under_way == 0, DEADLINE_SECONDS)

    def read(self, subject: Subject, id: str, inputs: Properties, state: Properties) -> Any:
        found = super().read(subject, id, inputs, state)
        self._strike("read", subject, id)
        return found

    def delete(self, subject: Subject, id: str, inputs: Properties, state: Properties) -> None:
        super().delete(subject, id, inputs, state)
        self._strike("delete", subject, id)

    def _strike(self, done: str, subject: Subject, id: str) -> None:
        if self.deadly == (done, subject.type) and self.kill:
            kill, self.kill, self.struck = self.kill, None, id
            kill()
