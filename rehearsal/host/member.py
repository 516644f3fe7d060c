"""One instance's life in its Auto Scaling group and its target group, as time goes by."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pulumi_rehearsal.aws_wire import Refused


@dataclass
class Member:
    """State of an instance that both of its lifecycle hooks hold, and of the target that it is.

    Stands for: the lifecycle of an instance with hooks in an Auto Scaling group, as the user guide tells it: a leaving
        instance is taken off the load balancer first and drains in Terminating; only then does its hook wait.
    Held by: nothing, its order of states has not been compared with AWS; its messages are those of public bug reports.

    Attributes:
        state: where it is now; read it through `settle`.
        target: state in the target group.
        heartbeat_seconds: a hook that hears nothing for so long ends with its default result. Never by default: a guest
            in software emulation takes more of its 600 s to start than a host does for all.
        drain_seconds: a target that was deregistered drains for so long.
        transitions: every state that it came to.
        clock: seconds.
    """

    state: str = "Pending:Wait"
    target: str = "unused"
    heartbeat_seconds: float = math.inf
    drain_seconds: float = 300
    transitions: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._heard = self._deregistered = self.clock()

    def settle(self) -> str:
        """Lets pass what the time has brought, and tells the state."""
        with self._lock:
            if self.target == "draining" and self.clock() - self._deregistered >= self.drain_seconds:
                self.target = "unused"
            if self.state.endswith(":Wait") and self.clock() - self._heard >= self.heartbeat_seconds:
                self._end_wait("ABANDON" if self.state == "Pending:Wait" else "CONTINUE")
            if self.state == "Terminating" and self.target == "unused":
                self._go("Terminating:Wait")
            return self.state

    def _go(self, state: str) -> None:
        self.state, self._heard = state, self.clock()
        self.transitions.append(state)

    def terminate(self) -> None:
        """The group decides that this instance must go."""
        with self._lock:
            self._go("Terminating")
            self.deregister()

    def register(self) -> None:
        self.target = "healthy"

    def deregister(self) -> None:
        """A target that is not registered stays as it is, and one that drains has no more time for it."""
        if self.target == "healthy":
            self.target, self._deregistered = "draining", self.clock()

    def _end_wait(self, result: str) -> None:
        if self.state == "Terminating:Wait":
            self._go("Terminating:Proceed")
        elif result == "CONTINUE":
            self._go("InService")
            self.register()
        else:
            self.terminate()

    def _waiting(self, instance: str) -> None:
        if not self.settle().endswith(":Wait"):
            raise Refused("ValidationError", f"No active Lifecycle Action found with instance ID {instance}")

    def complete(self, instance: str, result: str) -> None:
        """CompleteLifecycleAction.

        Raises:
            Refused: no hook waits.
        """
        with self._lock:
            self._waiting(instance)
            self._end_wait(result)

    def heartbeat(self, instance: str) -> None:
        """RecordLifecycleActionHeartbeat.

        Raises:
            Refused: no hook waits.
        """
        with self._lock:
            self._waiting(instance)
            self._heard = self.clock()

    def unhealthy(self) -> None:
        """SetInstanceHealth: the group replaces an instance that serves."""
        with self._lock:
            if self.settle() == "InService":
                self.terminate()
