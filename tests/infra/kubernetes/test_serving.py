"""`up` waits for servers: what it says meanwhile, and when it gives up.

tests/rehearsal/kubernetes has it on a real control plane.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import pytest

from infra.kubernetes.serving import PATIENCE_SECONDS, GaveUp, Progress, _last_line, follow
from tandem.errors import Problem, UserError
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.rollouts import PIPELINES, PODS, TEMPLATE
from tandem.rollout import Rollout, State, Version
from tests.infra.kubernetes.samples import pod

PATIENCE = 7800


def rollout(
    state: State = "running", serving: int = 0, template: str = "new", failures: tuple[str, ...] = ()
) -> Rollout:
    wanted = Version(name="1", runs={TEMPLATE: template}, wanted=True, serving=serving, moving=3 - serving)
    return Rollout(
        name="vllm-main", model="main", unit="pods", state=state, size=3, versions=(wanted,), failures=failures
    )


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


def as_pipelines(found: Rollout) -> Rollout:
    return replace(found, unit=PIPELINES)


@pytest.mark.parametrize("unit", [PODS, PIPELINES])
def test_while_both_kinds_are_there_the_declared_one_counts(unit: str) -> None:
    """A model that becomes pipelines, or stops being some: the engine deletes the old servers only afterwards."""
    old, new = rollout("done", 3, template="old"), rollout("running", 1)
    both = [as_pipelines(old), new] if unit == PODS else [old, as_pipelines(new)]
    progress = Progress("vllm-main", "new", PATIENCE, unit)
    assert not progress.over(both, [], 0)
    assert progress.news(both, [pod()]).startswith(f"1 of 3 {unit} of vllm-main serve version 1")
    done = [replace(one, state="done") for one in both]
    assert progress.over(done, [], 1)


def test_servers_that_somebody_has_deleted_are_not_waited_for() -> None:
    with pytest.raises(GaveUp, match="`pulumi up --refresh`"):
        Progress("vllm-main", "new", PATIENCE).over([as_pipelines(rollout())], [], 0)


class Logs:
    """`kubectl` of a pod, by how often its containers have ended; one that has not begun says nothing."""

    def __init__(self, **ends: int | None) -> None:
        self.ends = ends

    read, one = Kubectl.read, Kubectl.one

    def run(self, *arguments: str) -> str:
        if arguments[0] == "get":
            statuses = [{"name": name, "restartCount": count or 0} for name, count in self.ends.items()]
            server = [one for one in statuses if one["name"] == "vllm"]
            before = [one for one in statuses if one["name"] != "vllm"]
            return json.dumps({"status": {"initContainerStatuses": before, "containerStatuses": server}})
        assert "--previous" not in arguments, "of a run that the kubelet keeps nothing of"
        if self.ends[arguments[3]] is None:
            raise UserError(Problem(key="kubectl", wrong="waiting to start: PodInitializing"))
        return f"tandem: one\ntandem: {arguments[3]}\n\n"


def test_the_last_line_is_of_the_last_run() -> None:
    logs = Logs(edge=0, keys=0, prepare=2, vllm=None)
    assert _last_line("vllm-main-a", cast(Kubectl, logs)) == "(prepare said: tandem: prepare)"
    assert _last_line("vllm-main-a: starts", cast(Kubectl, Logs(edge=0, vllm=0))) == "(vllm said: tandem: vllm)"


OURS = "vllm-main-a: {} has ended 2 times"
KUBELETS = "vllm-main-a: CrashLoopBackOff: back-off 20s restarting failed container={} pod=vllm-main-a_inference(0)"
UNNAMED = "vllm-main-a: CrashLoopBackOff: Error, exit status 1"


@pytest.mark.parametrize("failure", [OURS, KUBELETS, UNNAMED])
@pytest.mark.parametrize("name", ["edge", "keys", "keeper", "prepare", "vllm"])
def test_the_last_line_is_of_the_container_that_ended(name: str, failure: str) -> None:
    """While the others beside it say something, too, and one has ended once."""
    logs = Logs(**{"edge": 0, "keys": 0, "keeper": 0, "prepare": 1, "vllm": 0} | {name: 2})
    assert _last_line(failure.format(name), cast(Kubectl, logs)) == f"({name} said: tandem: {name})"


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
    # Not asyncio.run, which leaves the thread without a loop, and Pulumi's mocks ask for its loop.
    with closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(follow(progress, looks(*answers), told.append, clock.sleep, lambda: clock.now))
    return clock.now, told


def test_an_api_server_may_be_away_for_a_moment() -> None:
    seconds, _ = followed(rollout(), None, None, rollout("done", 3))
    assert seconds == 30


def test_an_api_server_that_stays_away_ends_it() -> None:
    with pytest.raises(UserError, match="no answer"):
        followed(rollout(), None)
