"""The day of rehearsal/scaling.py on pods: played with the autoscaler's arithmetic, or lived by the real controllers.

A real day is pressed, FASTER times. So is all that waits: the autoscaler's look (its flag) and Prometheus' (its
configuration), windows, periods and cooldowns (fields of the ScaledObject), how long a node may be empty (a field of
the NodePool), and a server's start. What cannot be pressed takes longer than it would: Karpenter's batches of pods and
its second look at an empty node, some 25 s, and Prometheus' news of pods, 5 s.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.control_plane import Pace
from pulumi_rehearsal.kubernetes.keda import FASTER, hastened
from pulumi_rehearsal.kubernetes.played_servers import PlayedServers
from rehearsal.kubernetes.autoscaling import changed, empty_nodes_go_soon, gpu_nodes
from rehearsal.kubernetes.disruption import of_karpenter
from rehearsal.kubernetes.played_autoscaler import Autoscaler
from rehearsal.kubernetes.vllm_metrics import vllm
from rehearsal.played_scaling import MINUTE, TICK, Action
from rehearsal.scaling import DAY, HOUR, START_SECONDS, Arriving, Requests, day
from tandem.settings import Settings

LOOK_SECONDS = 15
"""Between two looks of the autoscaler (--horizontal-pod-autoscaler-sync-period), and of Prometheus."""
PACE = Pace(*[f"{1000 * LOOK_SECONDS // FASTER}ms"] * 2)
EVERY_SECONDS, LATE_SECONDS = 0.15, 2.5
"""At least and at most between two looks at the cluster; half of a pressed cooldown is too late."""
PART = 10 * MINUTE
"""Of the day, for which one figure is kept of those that wait."""

Step = tuple[int, int]
"""From a second of the day on, so many."""


@dataclass
class PodsDay:
    """How a day went.

    Attributes:
        replicas, serving, nodes: that were asked for, served, and were there.
        waiting: requests, on average of each PART of the day.
        waited: seconds of all requests together.
    """

    replicas: list[Step] = field(default_factory=list)
    serving: list[Step] = field(default_factory=list)
    nodes: list[Step] = field(default_factory=list)
    waiting: list[float] = field(default_factory=lambda: [0.0] * (DAY // PART))
    waited: float = 0.0
    refused: float = 0.0
    requests: float = 0.0

    def tick(self, now: int, there: tuple[int, int, int], came: float, held: tuple[float, float, float]) -> None:
        """Takes what there was, what came, and what then ran, waited and was refused."""
        for steps, number in zip((self.replicas, self.serving, self.nodes), there, strict=True):
            if not steps or steps[-1][1] != number:
                steps.append((now, number))
        _, waiting, refused = held
        self.waiting[(now - 1) // PART] += waiting * TICK / PART
        self.waited += waiting * TICK
        self.refused += refused
        self.requests += came

    def text(self) -> str:
        rounded = {key: round(value, 1) if isinstance(value, float) else value for key, value in asdict(self).items()}
        lines = json.dumps(rounded | {"waiting": [round(one, 1) for one in self.waiting]}, indent=1)
        return re.sub(r"\[[^\[\]]*\]", lambda found: " ".join(found[0].split()), lines) + "\n"

    @classmethod
    def of(cls, text: str) -> PodsDay:
        found: dict[str, Any] = json.loads(text)
        steps = {key: [(at, number) for at, number in found.pop(key)] for key in ("replicas", "serving", "nodes")}
        return cls(**steps, **found)


def moves(steps: Sequence[Step]) -> list[Action]:
    return [Action(after[0], "", before[1], after[1]) for before, after in itertools.pairwise(steps)]


def hours(steps: Sequence[Step]) -> float:
    """Of all together, until midnight."""
    return sum((until - at) * number for (at, number), (until, _) in itertools.pairwise([*steps, (DAY, 0)])) / HOUR


def arriving_at(settings: Settings, seed: int = 18) -> Arriving:
    """The day of which the busiest hour needs as many replicas as there may be."""
    return day(settings, settings.scaling.max_replicas, seed)


def play_pods(settings: Settings, scaled: Object, seed: int = 18) -> PodsDay:
    """By the autoscaler's arithmetic alone; a node for each two replicas, and the youngest goes first."""
    autoscaler = Autoscaler.of(scaled, settings.scaling.min_replicas)
    found, requests, arriving = PodsDay(), Requests(settings), arriving_at(settings, seed)
    pods = [-DAY] * autoscaler.replicas
    for now in range(TICK, DAY + 1, TICK):
        serving = sum(now - asked >= START_SECONDS for asked in pods)
        came = arriving(now) * TICK
        running, waiting, refused = requests.step(came, serving)
        if now // LOOK_SECONDS != (now - TICK) // LOOK_SECONDS:
            wanted = autoscaler.look(now, (waiting, running))
            pods = [*pods[:wanted], *[now] * (wanted - len(pods))]
        found.tick(now, (len(pods), serving, -(-len(pods) // 2)), came, (running, waiting, refused))
    return found


def live_pods(api: Api, servers: PlayedServers, scaled: Object, settings: Settings) -> PodsDay:
    """By the controllers of a cluster of PACE, from as many replicas as there are at least.

    Raises:
        TimeoutError: the machine is too busy for it.
    """
    name = scaled["spec"]["scaleTargetRef"]["name"]
    found, requests, arriving, now = PodsDay(), Requests(settings), arriving_at(settings), 0
    held = (0.0, 0.0, 0.0)

    def metrics(_name: str, share: float) -> str:
        waiting = share * held[1] / (requests.inside or 1)
        return vllm(_name, waiting, share - waiting)

    servers.metrics, servers.start_seconds = metrics, START_SECONDS / FASTER
    servers.stale_seconds = 2 * LOOK_SECONDS / FASTER
    began = time.monotonic()
    with changed(api, scaled, hastened(scaled)), empty_nodes_go_soon(api, _empty_for(api)):
        while now < DAY:
            time.sleep(EVERY_SECONDS)
            replicas, nodes = _replicas(api, scaled), gpu_nodes(api)
            serving, passed = servers.serving(name), time.monotonic() - began
            if (late := passed - now / FASTER) > LATE_SECONDS:
                raise TimeoutError(f"{late:.1f} s between two looks, of at most {LATE_SECONDS}: run it beside nothing")
            while now + TICK <= min(DAY, passed * FASTER):
                now += TICK
                came = arriving(now) * TICK
                held = requests.step(came, serving)
                found.tick(now, (replicas, serving, nodes), came, held)
            servers.waiting[name] = requests.inside
    return found


def _replicas(api: Api, scaled: Object) -> int:
    target = scaled["spec"]["scaleTargetRef"]
    live = api.get(target["apiVersion"], target["kind"], target["name"], scaled["metadata"]["namespace"])
    assert live is not None
    return live["spec"]["replicas"]


def _empty_for(api: Api) -> str:
    [minutes] = {pool["spec"]["disruption"]["consolidateAfter"] for pool in of_karpenter(api, "NodePool")}
    return f"{int(minutes.removesuffix('m')) * MINUTE // FASTER}s"
