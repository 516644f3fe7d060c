"""`up` waits for servers: what it says meanwhile, and when it gives up.

tests/rehearsal/kubernetes has it on a real control plane.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from infra.kubernetes.serving import PATIENCE_SECONDS, GaveUp, Progress, _last_line, follow
from tandem.errors import Problem, UserError
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.rollouts import TEMPLATE
from tandem.rollout import Rollout, State, Version
from tests.infra.kubernetes.samples import pod

PATIENCE = 7800


def rollout(
    state: State = "running", serving: int = 0, template: str = "new", failures: tuple[str, ...] = ()
) -> Rollout:
    wanted = Version(name="1", runs={TEMPLATE: template}, wanted=True, serving=serving, moving=3 - serving)
    return Rollout(name="vllm-main", unit="pods", state=state, size=3, versions=(wanted,), failures=failures)


def test_news_are_told_once() -> None:
    progress = Progress("vllm-main", "new", PATIENCE)
    first = progress.news([rollout()], [pod(node=""), pod("of-another") | {"metadata": {"name": "x", "labels": {}}}])
    assert first == "0 of 3 pods of vllm-main serve version 1; vllm-main-a waits for a node"
    assert progress.news([rollout()], [pod(node="")]) == ""
    assert progress.news([rollout()], [pod()]).endswith("vllm-main-a pulls its images")


def test_all_serve() -> None:
    assert Progress("vllm-main", "new", PATIENCE).over([rollout("done", 3)], [], 0)


def test_one_that_fails_has_two_minutes_in_a_row() -> None:
    progress = Progress("vllm-main", "new", PATIENCE)
    failing = rollout("failing", failures=("a: ImagePullBackOff",))
    assert not progress.over([failing], [], 0)
    assert not progress.over([rollout()], [], PATIENCE_SECONDS - 1), "the next try mended it"
    assert not progress.over([failing], [], PATIENCE_SECONDS + 1)
    with pytest.raises(GaveUp, match="gave up") as gave_up:
        progress.over([failing], [], 2 * PATIENCE_SECONDS + 1)
    assert gave_up.value.failures == ("a: ImagePullBackOff",)


def test_one_that_dies_late_is_not_waited_for_until_the_kubelet_says_so() -> None:
    """Between its runs it is in no back-off that lasts two minutes."""
    progress = Progress("vllm-main", "new", PATIENCE)

    def runs(ended: int, *true: str) -> dict[str, Any]:
        server = {"name": "vllm", "state": {"running": {}}, "restartCount": ended}
        found = pod("vllm-main-a", *true, containerStatuses=[server])
        found["metadata"]["labels"]["tandem/version"] = "new"
        return found

    assert not progress.over([rollout()], [runs(1)], 0)
    assert not progress.over([rollout()], [runs(2)], 300)
    assert not progress.over([rollout()], [runs(2, "Ready")], 410), "it serves after all"
    assert not progress.over([rollout()], [runs(2)], 420)
    with pytest.raises(GaveUp, match="gave up") as gave_up:
        progress.over([rollout()], [runs(2)], 420 + PATIENCE_SECONDS)
    assert gave_up.value.failures == ["vllm-main-a: vllm has ended 2 times"]


def test_as_long_as_servers_come_it_waits() -> None:
    progress = Progress("vllm-main", "new", PATIENCE)
    assert not progress.over([rollout(serving=0)], [pod(node="")], 0)
    assert not progress.over([rollout(serving=1)], [pod(node="")], PATIENCE - 1)
    assert not progress.over([rollout(serving=1)], [pod(node="")], 2 * PATIENCE - 2)
    with pytest.raises(GaveUp, match=r"1 of 3 pods of vllm-main .* no more for 130 minutes") as gave_up:
        progress.over([rollout(serving=1)], [pod(node="")], 2 * PATIENCE - 1)
    assert gave_up.value.failures == ["vllm-main-a: waits for a node"]


def test_somebody_who_went_back_ends_it() -> None:
    with pytest.raises(GaveUp, match="another version"):
        Progress("vllm-main", "new", PATIENCE).over([rollout("done", 3, template="old")], [], 0)


class Logs:
    """`kubectl logs` of a pod whose init container has ended."""

    def run(self, *arguments: str) -> str:
        assert "--previous" not in arguments, "of a run that the kubelet keeps nothing of"
        if "vllm" in arguments:
            raise UserError(Problem(key="kubectl", wrong="waiting to start: PodInitializing"))
        return "tandem: one\ntandem: the last one\n\n"


def test_the_last_line_is_of_the_last_run() -> None:
    assert _last_line("vllm-main-a", cast(Kubectl, Logs())) == "(prepare said: tandem: the last one)"


KUBELETS = "vllm-main-a: CrashLoopBackOff: back-off 20s restarting failed container=keys pod=vllm-main-a_inference(0)"


@pytest.mark.parametrize("failure", ["vllm-main-a: keys has ended 2 times", KUBELETS])
def test_the_last_line_is_of_the_container_that_ended(failure: str) -> None:
    """Whose canary fails, while the server beside it says something, too."""

    class Both:
        def run(self, *arguments: str) -> str:
            return f"tandem: {arguments[3]}\n"

    assert _last_line(failure, cast(Kubectl, Both())) == "(keys said: tandem: keys)"


class Clock:
    """Seconds that pass as it sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def looks(*answers: Rollout | None) -> Any:
    """One answer a look, the last one again and again; None for a cluster that does not answer."""
    left: Iterator[Rollout | None] = iter(answers)
    last: list[Rollout | None] = []

    def look() -> tuple[Sequence[Rollout], Sequence[Any]]:
        last[:] = [next(left, last[0] if last else None)]
        if last[0] is None:
            raise UserError(Problem(key="kubectl", wrong="no answer"))
        return [last[0]], []

    return look


def followed(*answers: Rollout | None) -> tuple[float, list[str]]:
    clock, told = Clock(), []
    progress = Progress("vllm-main", "new", PATIENCE)
    asyncio.run(follow(progress, looks(*answers), told.append, clock.sleep, lambda: clock.now))
    return clock.now, told


def test_an_api_server_may_be_away_for_a_moment() -> None:
    seconds, _ = followed(rollout(), None, None, rollout("done", 3))
    assert seconds == 30


def test_an_api_server_that_stays_away_ends_it() -> None:
    with pytest.raises(UserError, match="no answer"):
        followed(rollout(), None)
