"""The controllers that charts bring, as processes: each runs while its Deployment is there.

It has what the chart gives it: arguments, environment, the rights of its service account, its certificate. Its pods,
which kwok plays, are ready when the process says that it is.

Stands for: the kubelets of the nodes on which controllers run.
Held by: nothing, since the processes are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from pulumi_rehearsal.kubernetes.api import ApiError, Object
from pulumi_rehearsal.kubernetes.control_plane import RUNS, ControlPlane
from pulumi_rehearsal.meanwhile import meanwhile

LOOK_SECONDS = 0.3
HEALTH_SECONDS = 2.0
LOG_LINES = 5


@dataclass(frozen=True)
class Process:
    """A controller that has been started.

    Attributes:
        health: URL that answers 200 once it works.
        is_alive: whether it still runs.
    """

    health: str
    is_alive: Callable[[], bool]


Start = Callable[[Object], AbstractContextManager[Process]]
"""Starts a controller for a Deployment."""


@dataclass
class Controller:
    """One controller.

    Attributes:
        deployment, namespace: as its chart names it.
        start: called when the Deployment comes; the block ends when it goes.
        needs: whether all else is there that the start needs.
        log: what it prints.
        asks: for its health.
        ended: what it had printed each time that it ended by itself.
    """

    deployment: str
    namespace: str
    start: Start
    needs: Callable[[], bool] = lambda: True
    log: Path | None = None
    asks: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)
    ended: list[str] = field(default_factory=list)
    process: Process | None = None
    _up: ExitStack | None = None

    def run(self, live: Object) -> None:
        """Starts it, again when it has ended by itself, as a kubelet does."""
        if self.process and not self.process.is_alive():
            self.ended.append(f"{self.deployment} ended by itself: {self._last_words()}")
            self.end()
        if self.process is None and self.needs():
            self._up = ExitStack()
            self.process = self._up.enter_context(self.start(live))

    def end(self) -> None:
        """Ends it, if it runs."""
        if self._up:
            self._up.close()
        self._up, self.process = None, None

    def is_healthy(self) -> bool:
        """Whether it says that it works."""
        if self.process is None:
            return False
        try:
            answer = self.asks.request("GET", self.process.health, timeout=HEALTH_SECONDS, retries=False)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == 200

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log else []
        return " | ".join(lines[-LOG_LINES:])


@contextmanager
def hosted(plane: ControlPlane, controllers: Sequence[Controller]) -> Iterator[None]:
    """Looks after the controllers until the block ends."""

    def look_after() -> None:
        for controller in controllers:
            try:
                _look(plane, controller)
            except (ApiError, urllib3.exceptions.HTTPError, KeyError):
                continue  # something went while it was looked at: the next turn sees it

    try:
        with meanwhile(look_after, LOOK_SECONDS, "hosting"):
            yield
    finally:
        for controller in controllers:
            controller.end()


def _look(plane: ControlPlane, controller: Controller) -> None:
    live = plane.api.get("apps/v1", "Deployment", controller.deployment, controller.namespace)
    if live is None:
        controller.end()
        return
    controller.run(live)
    labels = live["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = plane.api.list("v1", "Pod", controller.namespace, labelSelector=selector)
    waiting = [pod for pod in pods if RUNS not in (pod["metadata"].get("annotations") or {})]
    if waiting and controller.is_healthy():
        for pod in waiting:
            plane.api.patch(pod, {"metadata": {"annotations": {RUNS: "true"}}})


def container(deployment: Object) -> Object:
    """The one that is the controller."""
    return deployment["spec"]["template"]["spec"]["containers"][0]


def variables(deployment: Object) -> dict[str, str]:
    """Its environment, as far as the chart gives values and not references."""
    return {one["name"]: one["value"] for one in container(deployment).get("env") or [] if one.get("value")}


def account_of(deployment: Object) -> str:
    """Its service account."""
    return deployment["spec"]["template"]["spec"]["serviceAccountName"]


def call_at(plane: ControlPlane, kind: str, name: str, change: Callable[[Object], Mapping[str, Any]]) -> None:
    """Changes where the API server finds the webhooks of a configuration.

    Args:
        change: gives what differs in a webhook's `clientConfig`.
    """
    version = "admissionregistration.k8s.io/v1"
    configuration = plane.api.get(version, kind, name)
    if configuration is None:
        return
    for hook in configuration["webhooks"]:
        hook["clientConfig"] = dict(change(hook["clientConfig"]))
    configuration["metadata"].pop("managedFields", None)
    plane.api.request("PUT", plane.api.url_of(configuration), configuration)


AT_LOCALHOST = {
    **dict.fromkeys(("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")),
    "sessionAffinity": None,
    "type": "ExternalName",
    "externalName": "localhost",
}
"""A Service that leads to this machine: a certificate is still checked against the Service's name."""
