"""`up` ends when a model serves: it tells meanwhile how far each pod is, and ends red when one has given up.

The provider waits ten minutes for a Deployment whatever its pods say, and for a LeaderWorkerSet not at all.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pulumi

from tandem.errors import Problem, UserError
from tandem.kubernetes.history import keep
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import NAMESPACE, SERVES
from tandem.kubernetes.rollouts import PIPELINES, PODS, TEMPLATE, Object, ended, keeps_ending, look, stage
from tandem.kubernetes.waiting import explained
from tandem.rollout import Rollout

from .objects import Manifest, named
from .workload import InferenceService

LOOK_SECONDS = 10
PATIENCE_SECONDS = 120
"""What pods give up must last so long: a registry that refuses once, or a crash that the next start mends, is none."""


def serves(service: InferenceService, version: str) -> Manifest:
    """What is there once this version of a model serves."""
    data = {"version": version, "image": service.image, "model": service.model, "revision": service.revision or "main"}
    return named("ConfigMap", "v1", service.name + SERVES, NAMESPACE) | {"data": data}


def before_it_serves(
    service: InferenceService, version: str, kubeconfig: pulumi.Output[str]
) -> pulumi.ResourceHookBinding:
    """Of that object: the engine asks, and does not make it before the servers of this version serve."""

    async def wait(_hook: pulumi.ResourceHookArgs) -> None:
        with tempfile.TemporaryDirectory(prefix="tandem-") as directory:
            file = Path(directory) / "kubeconfig"
            file.write_text(str(await kubeconfig.future()))
            kubectl = Kubectl(file)
            unit = PIPELINES if service.pipelined else PODS
            progress = Progress(service.name, version, service.progress_seconds, unit)

            def see() -> tuple[Sequence[Rollout], Sequence[Object]]:
                if service.pipelined:
                    keep(kubectl, service.name)
                rollouts, pods = look(kubectl, pipelines=service.pipelined)
                return rollouts, explained(kubectl, pods)

            try:
                await follow(progress, see, pulumi.log.info)
            except GaveUp as error:
                raise UserError(_trouble(service, error, kubectl)) from None

    hook = pulumi.ResourceHook(f"{service.name} serves", wait)
    return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])


class GaveUp(Exception):
    """The servers will not serve by waiting.

    Attributes:
        failures: in Kubernetes' words.
    """

    def __init__(self, wrong: str, failures: Sequence[str] = ()) -> None:
        super().__init__(wrong)
        self.failures = failures


@dataclass
class Progress:
    """How far a model's servers are, from look to look.

    Args:
        version: of the pods' template that is waited for.
        patience: seconds without a further server, after which none is expected.
        unit: of the kind that is declared: the engine deletes servers of the other one only when these serve.
    """

    name: str
    version: str
    patience: float
    unit: str = PODS
    _told: dict[str, str] = field(default_factory=dict)
    _serving: tuple[int, float] | None = None
    _failing_since: float | None = None

    def over(self, rollouts: Sequence[Rollout], pods: Sequence[Object], now: float) -> bool:
        """Whether all serve.

        Raises:
            GaveUp: one has given up, or it takes too long, or somebody has another version rolled out.
        """
        rollout = self._declared(rollouts)
        if rollout.wanted.runs.get(TEMPLATE) != self.version:
            raise GaveUp("another version is rolled out meanwhile: somebody went back, or another `up` runs")
        if rollout.state == "done":
            return True
        ending = [words for pod in self._own(pods) if (words := keeps_ending(pod, self.version))]
        failing = rollout.state == "failing" or ending
        self._failing_since = (self._failing_since or now) if failing else None
        if self._failing_since is not None and now - self._failing_since >= PATIENCE_SECONDS:
            raise GaveUp("a server gave up", rollout.failures or ending or [rollout.reason])
        if self._serving is None or self._serving[0] != rollout.wanted.serving:
            self._serving = rollout.wanted.serving, now
        if now - self._serving[1] >= self.patience:
            waiting = [f"{name}: {what}" for name, what in self._stages(pods).items() if what != "serves"]
            raise GaveUp(f"{rollout.summary}, and no more for {self.patience / 60:.0f} minutes", waiting)
        return False

    def news(self, rollouts: Sequence[Rollout], pods: Sequence[Object]) -> str:
        """What changed since the last time: how many serve, and how far each pod is that is on its way."""
        stages = self._stages(pods)
        news = [f"{name} {what}" for name, what in stages.items() if self._told.get(name) != what]
        self._told = stages
        rollout = self._declared(rollouts)
        return "; ".join([rollout.summary, *news]) if news else ""

    def _declared(self, rollouts: Sequence[Rollout]) -> Rollout:
        found = [one for one in rollouts if one.key == (self.name, self.unit)]
        if not found:
            raise GaveUp("its servers are gone, somebody has deleted them: `pulumi up --refresh` makes them anew")
        return found[0]

    def _stages(self, pods: Sequence[Object]) -> dict[str, str]:
        return {pod["metadata"]["name"]: stage(pod) for pod in self._own(pods)}

    def _own(self, pods: Sequence[Object]) -> list[Object]:
        return [pod for pod in pods if pod["metadata"]["labels"].get("app.kubernetes.io/instance") == self.name]


async def follow(
    progress: Progress,
    look: Callable[[], tuple[Sequence[Rollout], Sequence[Object]]],
    tell: Callable[[str], object],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Looks until all serve; an API server that does not answer has as long as a pod that fails.

    Raises:
        GaveUp: they will not.
        UserError: the cluster does not answer.
    """
    answered = clock()
    while True:
        try:
            rollouts, pods = await asyncio.to_thread(look)
        except UserError:
            if clock() - answered >= PATIENCE_SECONDS:
                raise
        else:
            answered = clock()
            over = progress.over(rollouts, pods, answered)
            if news := progress.news(rollouts, pods):
                tell(news)
            if over:
                return
        await sleep(LOOK_SECONDS)


def _trouble(service: InferenceService, error: GaveUp, kubectl: Kubectl) -> Problem:
    """With the last line of the container that ended."""
    words = [f"{one} {_last_line(one, kubectl)}".strip() for one in error.failures[:3]]
    return Problem(
        key=service.name,
        wrong=str(error),
        value=" | ".join(words) or None,
        allowed="servers that make a token",
        fix=f"docs/runbook.md, A bad version; `kubectl --namespace {NAMESPACE} describe pods` has more. All else is "
        "made, and the next `up` waits again",
    )


def _is_of(container: str, failure: str) -> bool:
    """Whether it is what a failure tells of, in our words (`keeps_ending`) or in the kubelet's."""
    return f" {container} has ended" in failure or f"container={container} " in failure


def _last_line(failure: str, kubectl: Kubectl) -> str:
    """Of the log of the container that ended, whichever of the pod's it is; of its last run. That before it
    (`--previous`) is gone as soon as it has ended: the kubelet then says so in the place of a log, and `kubectl` ends
    with 0."""
    pod = failure.partition(":")[0]
    try:
        containers = ended(kubectl.one("pod", pod))
    except UserError:  # it is gone, or the failure is of no pod
        return ""
    for container in sorted(containers, key=lambda name: not _is_of(name, failure)):
        try:
            lines = kubectl.run("logs", pod, "--container", container, "--tail", "20").split("\n")
        except UserError:  # it never ran
            continue
        if said := [line for line in lines if line.strip()]:
            return f"({container} said: {said[-1].strip()})"
    return ""
