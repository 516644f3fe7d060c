"""A day of pods: by the autoscaler's arithmetic, and by the real Prometheus, KEDA, autoscaler and Karpenter."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.watch import seconds_until
from rehearsal.kubernetes.disruption import all_back
from rehearsal.kubernetes.played_autoscaler import Autoscaler, Direction
from rehearsal.kubernetes.pressed_day import PACE, PodsDay, Step, hours, live_pods, moves, play_pods
from rehearsal.played_scaling import MINUTE
from rehearsal.scaling import DAY, restless
from tandem.settings import Settings
from tests.infra.kubernetes.samples import manifests_of
from tests.rehearsal.declared_scaling import settings_of_pods
from tests.rehearsal.kubernetes.scenes import scene_of

KEPT = Path(__file__).parents[3] / "docs" / "scaling-day.json"
STACK, READY_SECONDS = "day", 300
SETTINGS = Settings.model_validate(settings_of_pods())


@functools.cache
def scaled() -> Object:
    """What the program declares."""
    [found] = [one for one in manifests_of(settings_of_pods()) if one["kind"] == "ScaledObject"]
    return found


def changed(threshold: float, tolerance: float, window: int = 0) -> Object:
    """With another target for requests that run, and other rules on the way up."""
    found = copy.deepcopy(scaled())
    found["spec"]["triggers"][1]["metadata"]["threshold"] = str(threshold)
    up = found["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleUp"]
    up |= {"tolerance": f"{1000 * tolerance:g}m", "stabilizationWindowSeconds": window}
    return found


# -- the autoscaler's arithmetic

FAST = ("Percent", 100, 60.0)
SLOW = ("Pods", 1, 60.0)


def autoscaler(replicas: int, up: Direction, down: Direction) -> Autoscaler:
    return Autoscaler(1, 20, [10.0], up, down, replicas)


@pytest.mark.parametrize(("figure", "wanted"), [(44, 4), (45, 5), (36, 4), (30.1, 4), (30, 3), (4, 3)])
def test_within_a_tolerance_nothing_moves(figure: float, wanted: int) -> None:
    """Four replicas that should have ten each: to 4.4 times and from 3.6 times nothing is wanted; one goes at most."""
    found = autoscaler(4, Direction(0, (FAST,)), Direction(0, (SLOW,)))
    assert found.look(0, [figure]) == wanted


def test_as_many_again_come_in_a_minute_and_one_goes() -> None:
    found = autoscaler(2, Direction(0, (FAST,)), Direction(0, (SLOW,)))
    assert [found.look(now, [200.0]) for now in range(15, 200, 15)] == [4] * 4 + [8] * 4 + [16] * 4 + [20]
    assert [found.look(now, [0.0]) for now in range(300, 400, 15)] == [19] * 4 + [18] * 3


def test_percent_are_rounded_up_on_the_way_up_and_down_on_the_way_down() -> None:
    half = Direction(0, (("Percent", 50, 60.0),))
    assert (autoscaler(3, half, half).look(0, [200.0]), autoscaler(3, half, half).look(0, [0.0])) == (5, 1)


def test_the_highest_need_of_a_window_counts() -> None:
    found = autoscaler(4, Direction(0, (FAST,)), Direction(300, (SLOW,)))
    figures = dict.fromkeys(range(15, 900, 15), 20.0) | {300: 40.0}
    course = {now: found.look(now, [figure]) for now, figure in figures.items()}
    assert [now for now, replicas in course.items() if replicas == 4][-1] == 600 - 15
    assert course[600] == 3


# -- the program's rules, on a day


def test_a_day_of_pods_moves_nothing_back_and_forth() -> None:
    found = play_pods(SETTINGS, scaled())
    replicas = [number for _, number in found.replicas]
    assert restless(moves(found.replicas), "replica") == []
    assert (min(replicas), max(replicas)) == (4, 12)
    assert hours(found.nodes) < 24 * 6


def test_a_tolerance_of_a_tenth_moves_replicas_back_and_forth() -> None:
    """The autoscaler's own, with a target of what is wanted, which this program once declared."""
    assert len(restless(moves(play_pods(SETTINGS, changed(32, 0.1)).replicas))) >= 3


def test_what_brings_a_replica_is_a_minute_of_more_than_is_wanted() -> None:
    """As on hosts: more than 32 a replica for a minute, and not half a minute of much."""
    want, burst = [Autoscaler.of(scaled(), 4) for _ in range(2)]
    assert {want.look(now, (0, 4 * 32)) for now in range(0, 600, 15)} == {4}
    assert [want.look(600 + now, (0, 4 * 32 + 1)) for now in range(0, 90, 15)] == [4, 4, 4, 6, 6, 6]
    assert {burst.look(now, (0, 900 if 600 <= now < 630 else 100)) for now in range(0, 900, 15)} == {4}


def test_a_day_is_kept_as_text() -> None:
    found = play_pods(SETTINGS, scaled())
    assert PodsDay.of(found.text()).text() == found.text()


# -- the real controllers


def at(steps: Sequence[Step], now: int) -> int:
    return [number for since, number in steps if since <= now][-1]


def unlike(found: PodsDay, other: PodsDay) -> list[str]:
    """How the replicas of a day are not those of another: apart by more than one, paid for otherwise, or restless."""
    apart = sum(abs(at(found.replicas, now) - at(other.replicas, now)) > 1 for now in range(MINUTE, DAY, MINUTE))
    paid, moved = (
        (hours(found.replicas), hours(other.replicas)),
        (len(moves(found.replicas)), len(moves(other.replicas))),
    )
    return [
        *restless(moves(found.replicas), "replica"),
        *([f"apart for {apart} minutes"] if apart > 0.05 * DAY / MINUTE else []),
        *([f"{paid[0]:.0f} hours, not {paid[1]:.0f}"] if paid[0] != pytest.approx(paid[1], rel=0.05) else []),
        *([f"{moved[0]} moves, not {moved[1]}"] if moved[0] != pytest.approx(moved[1], rel=0.2) else []),
    ]


def test_the_day_that_was_kept_is_that_of_the_arithmetic() -> None:
    """What the real controllers did; a rule of the program that has changed since makes another day of it."""
    kept = PodsDay.of(KEPT.read_text())
    assert unlike(kept, play_pods(SETTINGS, scaled())) == []
    assert max(number for _, number in kept.nodes) == SETTINGS.max_group_size
    assert unlike(kept, play_pods(SETTINGS, changed(32, 0.1))) != []


@pytest.mark.engine
@pytest.mark.kubernetes
@pytest.mark.long
def test_the_real_controllers_live_the_same_day(tmp_path: Path) -> None:
    """SCALING_DAY_UPDATE=1 writes down how it went (`make scaling-day`)."""
    file = yaml.safe_dump({"config": {f"tandem:{key}": value for key, value in settings_of_pods().items()}})
    with scene_of(tmp_path, STACK, file, pace=PACE) as scene:
        up = scene.workspace.up()
        assert up.succeeded, up.messages
        assert scene.cluster is not None
        api, servers = scene.cluster.api, scene.cluster.prometheus.servers
        assert seconds_until(lambda: all_back(api), READY_SECONDS)
        [live] = api.list("keda.sh/v1alpha1", "ScaledObject")
        found = live_pods(api, servers, live, SETTINGS)
    (tmp_path / "day.json").write_text(found.text())
    if os.environ.get("SCALING_DAY_UPDATE"):
        KEPT.write_text(found.text())
    kept = PodsDay.of(KEPT.read_text())
    assert unlike(found, play_pods(SETTINGS, scaled())) == []
    assert unlike(found, kept) == []
    assert hours(found.nodes) == pytest.approx(hours(kept.nodes), rel=0.1)
    assert found.refused == pytest.approx(kept.refused, rel=0.5)
