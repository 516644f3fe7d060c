"""Traffic on a played group of hosts: a day of it, and the moments in which a policy goes wrong.

Requests come, wait for room in a replica's batch, run for a while, and go; what does not fit in the queue is refused.
Stands for: a day of traffic on hosts of vLLM, and what their agents report of it.
Held by: nothing for the traffic; the figures' names and times are those of cloud-init/shared/telemetry.py, held by
    tests/shared/test_fast_figures.py::test_what_scales_leaves_at_each_look.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta

from rehearsal.played_scaling import MINUTE, TICK, Account, Action, Host
from tandem import capacity
from tandem.scaling import idle_after, woken_hosts
from tandem.settings import Settings

HOUR = 3600
DAY = 24 * HOUR
START_SECONDS, DRAIN_SECONDS = 20 * MINUTE, 2 * MINUTE
"""Of a host: to its first token with the model on EFS, and out of the load balancer to the end of its answers."""
ANSWER_SECONDS = 20
BATCH = 2
"""A replica runs so many times what scaling.runningRequestsPerReplica wants; beyond that requests wait."""
SOON_SECONDS = 90
"""From a queue above the threshold to a host that is asked for."""
WAKES_SECONDS = 5 * MINUTE
"""From the first request to hosts that are asked for: the load balancer's figures come minutes late."""
CALM_SECONDS = 30 * MINUTE
"""A host that goes, and one that comes sooner than so after it, are one too many each."""

Arriving = Callable[[int], float]
"""Requests a second, by second."""


@dataclass(frozen=True)
class Look:
    """What there was at one moment: hosts asked for and in service, requests that ran, waited and were refused."""

    at: int
    asked: int
    serving: int
    running: float
    waiting: float
    refused: float


@dataclass
class Course:
    """How it went."""

    looks: list[Look] = field(default_factory=list)
    actions: Sequence[Action] = ()

    @property
    def host_hours(self) -> float:
        return sum(look.asked for look in self.looks) * TICK / HOUR

    @property
    def waited(self) -> float:
        """Seconds that requests waited, all together."""
        return sum(look.waiting for look in self.looks) * TICK

    @property
    def refused(self) -> float:
        return sum(look.refused for look in self.looks)

    @property
    def restless(self) -> list[str]:
        return restless(self.actions)


def restless(actions: Sequence[Action], what: str = "host") -> list[str]:
    """One that went and was missed, with the times of day."""
    return [
        f"a {what} went at {_clock(gone.at)} and one came at {_clock(came.at)}"
        for gone, came in itertools.pairwise(actions)
        if gone.after < gone.before and came.after > came.before and came.at - gone.at < CALM_SECONDS
    ]


def _clock(seconds: int) -> str:
    return f"{seconds // HOUR:02}:{seconds % HOUR // MINUTE:02}"


def rate_of(settings: Settings, replicas: float) -> float:
    """Requests a second that keep so many replicas at what the settings want."""
    return replicas * settings.scaling.running_requests_per_replica / ANSWER_SECONDS


@dataclass
class Requests:
    """Those that replicas hold, by the settings' batch and queue."""

    settings: Settings
    inside: float = 0.0

    def step(self, came: float, replicas: int) -> tuple[float, float, float]:
        """Those that run, wait and are refused, a TICK after so many came."""
        each = self.settings.scaling.running_requests_per_replica * BATCH
        batch, queue = replicas * each, replicas * self.settings.inference.max_queued_requests
        self.inside += came - min(self.inside, batch) * min(1.0, TICK / ANSWER_SECONDS)
        refused = max(0.0, self.inside - batch - queue)
        self.inside -= refused
        running = min(self.inside, batch)
        return running, self.inside - running, refused


@dataclass
class Scene:
    """A group of hosts of the stack's smallest type under a load, from a number of hosts on.

    Args:
        account: as it was found; it is not changed.
    """

    settings: Settings
    account: Account
    hosts: int

    def __post_init__(self) -> None:
        self.account = deepcopy(self.account)
        self.account.group.hosts = [Host(asked=-DAY, serves=-DAY) for _ in range(self.hosts)]
        self.each = min(capacity.servers_per_host(self.settings))
        self._requests, self._now = Requests(self.settings), 0
        self.course = Course(actions=self.account.group.actions)

    @property
    def target(self) -> int:
        return self.settings.scaling.running_requests_per_replica

    def rate_of(self, hosts: float) -> float:
        """Requests a second that keep so many hosts at what the settings want."""
        return rate_of(self.settings, hosts * self.each)

    def day(self) -> Arriving:
        """A day whose busiest hour needs as many hosts as there may be."""
        return day(self.settings, self.settings.max_group_size * self.each)

    def live(self, seconds: int, arriving: Arriving) -> Course:
        """Lets time go by."""
        for _ in range(seconds // TICK):
            self._now += TICK
            self._tick(arriving(self._now) * TICK)
        return self.course

    def hold(self, seconds: int, running: float, waiting: float) -> Course:
        """Requests of each replica are as many as is said, whatever there are of hosts."""
        for _ in range(seconds // TICK):
            self._now += TICK
            self._report(running, waiting, served=True)
            self._go_on(Look(self._now, self.account.group.desired, self._serving(), running, waiting, 0))
        return self.course

    def _serving(self) -> int:
        return sum(host.in_service for host in self.account.group.hosts)

    def _tick(self, came: float) -> None:
        replicas = self._serving() * self.each
        running, waiting, refused = self._requests.step(came, replicas)
        if replicas:
            self._report(running / replicas, waiting / replicas, served=came > 0)
        elif refused:
            self.account.figures.put(self._now, "AWS/ApplicationELB", "HTTPCode_ELB_503_Count", 1, refused)
        self._go_on(Look(self._now, self.account.group.desired, self._serving(), running, waiting, refused))

    def _report(self, running: float, waiting: float, *, served: bool) -> None:
        figures, serving = self.account.figures, self._serving()
        figures.put(self._now, "tandem", "Load", running + waiting, serving * self.each)
        figures.put(self._now, "tandem", "Waiting", waiting, serving * self.each)
        if served:
            figures.put(self._now, "AWS/ApplicationELB", "RequestCount", 1)
        if self._now % MINUTE == MINUTE // 2:
            figures.put(self._now, "tandem", "Servers", self.each, serving)

    def _go_on(self, look: Look) -> None:
        self.course.looks.append(look)
        group = self.account.group
        if self._now % MINUTE == 0:
            self.account.figures.put(self._now, "AWS/AutoScaling", "GroupInServiceInstances", look.serving)
        group.live(self._now, START_SECONDS, DRAIN_SECONDS)
        self.account.look(self._now)


def day(settings: Settings, replicas: int, seed: int = 18) -> Arriving:
    """Requests a second of a day: a quiet night, a morning, a higher afternoon, half an hour of a rush in the evening,
    and noise.

    Args:
        replicas: that its busiest hour needs.
        seed: of the noise.
    """
    noise = random.Random(seed)  # noqa: S311  (the same day each time)
    by_minute = [noise.gauss(1, 0.08) for _ in range(DAY // MINUTE + 1)]

    def arriving(now: int) -> float:
        hour = now % DAY / HOUR
        hump = 0.75 * math.exp(-(((hour - 10.5) / 2) ** 2)) + 0.92 * math.exp(-(((hour - 15.5) / 2.2) ** 2))
        rush = 0.75 if 21 <= hour < 21.5 else 0.0
        return rate_of(settings, replicas * min(1.0, 0.08 + hump + rush)) * max(0.0, by_minute[now % DAY // MINUTE])

    return arriving


def told(settings: Settings, course: Course) -> str:
    """A day in a line, beside one of as many hosts as it needs at its busiest."""
    most, asked = settings.max_group_size, [look.asked for look in course.looks]
    hours = f"{course.host_hours:.0f} hours of hosts, where {most} all day are {24 * most}"
    waited = f"requests waited {course.waited / HOUR:.1f} hours in all, {course.refused:.0f} were refused"
    return f"a played day: {min(asked)} to {max(asked)} hosts, {len(course.actions)} moves, {hours}; {waited}"


def least_of(settings: Settings) -> int:
    return settings.group_size


def play_day(settings: Settings, account: Account) -> Course:
    """From midnight to midnight, from as many hosts as there are at least."""
    scene = Scene(settings, account, least_of(settings))
    return scene.live(DAY, scene.day())


def play_sized(settings: Settings, account: Account, hosts: Callable[[int], int]) -> Course:
    """The same day with as many hosts as somebody says, by second, and no policy."""
    scene = Scene(settings, account, hosts(0))
    scene.account.alarms = ()
    arriving = scene.day()
    for _ in range(DAY // MINUTE):
        now = scene.course.looks[-1].at if scene.course.looks else 0
        scene.account.group.resize(hosts(now), now)
        scene.live(MINUTE, arriving)
    return scene.course


def wrong(settings: Settings, account: Account) -> Iterable[str]:
    """What a policy does that it should not, or does not that it should."""
    least, most = max(1, least_of(settings)), settings.max_group_size
    target, queue = settings.scaling.running_requests_per_replica, settings.scaling.waiting_requests_per_replica
    yield from _too_late(settings, account, least)
    busy = Scene(settings, account, most).hold(HOUR, 0.95 * target, 0)
    if busy.actions:
        yield f"{most} hosts that are nearly as full as they should be, with nobody waiting, become {_least(busy)}"
    noisy = Scene(settings, account, least)
    for _ in range(HOUR // MINUTE):
        noisy.hold(MINUTE // 2, 0.9 * target, 2 * queue)
        noisy.hold(MINUTE // 2, 0.9 * target, 0)
    if noisy.course.actions:
        yield f"a queue that comes and goes every half a minute moves hosts: {noisy.course.actions[0]}"
    flood = Scene(settings, account, least).hold(4 * HOUR, 2 * target, 9 * queue)
    if (asked := max(look.asked for look in flood.looks)) != most:
        yield f"under a load without end {asked} hosts are asked for, and fleet.maxHosts allows {most}"
    yield from _not_down(settings, account, most)
    if settings.sleeps:
        yield from _restless_sleep(settings, account)


def _least(course: Course) -> int:
    return min(look.asked for look in course.looks)


def _too_late(settings: Settings, account: Account, least: int) -> Iterable[str]:
    target, queue = settings.scaling.running_requests_per_replica, settings.scaling.waiting_requests_per_replica
    waits = []
    for phase in range(0, MINUTE, TICK):
        scene = Scene(settings, account, least)
        scene.hold(10 * MINUTE + phase, 0.9 * target, 0)
        began = scene.course.looks[-1].at
        scene.hold(10 * MINUTE, target, 2 * queue)
        came = (one.at - began for one in scene.course.actions if one.after > one.before and one.at > began)
        waits.append(next(came, None))
    if None in waits:
        yield "a queue above the threshold asks for no host in ten minutes"
    elif (longest := max(wait for wait in waits if wait is not None)) > SOON_SECONDS:
        yield f"a queue above the threshold asks for a host after {longest} s, not within {SOON_SECONDS} s"


def _not_down(settings: Settings, account: Account, most: int) -> Iterable[str]:
    """Not before the cooldown, then soon, one or a tenth at a time, and never below the least."""
    least, cooldown = max(1, least_of(settings)), settings.scaling.cooldown_seconds
    scene = Scene(settings, account, most)
    scene.hold(HOUR, 0.95 * settings.scaling.running_requests_per_replica, 0)
    began = scene.course.looks[-1].at
    scene.live(6 * HOUR, lambda _now: scene.rate_of(0.05))
    downs = [one for one in scene.course.actions if one.after < one.before and one.at > began]
    if not downs or not cooldown <= downs[0].at - began <= cooldown + 5 * MINUTE:
        yield f"a host goes {f'after {downs[0].at - began} s' if downs else 'never'}, and the cooldown is {cooldown} s"
    if any(one.before - one.after > max(1, one.before / 10) and one.after for one in downs):
        yield "more than a tenth of the hosts go at once"
    if (left := scene.course.looks[-1].asked) != least:
        yield f"{left} hosts stay of a load of next to nothing, and hosts + spareHosts is {least}"


def _restless_sleep(settings: Settings, account: Account) -> Iterable[str]:
    """The first request wakes what there is at least, once; when none comes any more all go, and stay away."""
    hosts, scene = woken_hosts(settings), Scene(settings, account, 0)
    scene.live(HOUR, lambda _now: 0)
    scene.live(3 * HOUR, lambda _now: scene.rate_of(0.1))
    asked = [look.asked for look in scene.course.looks]
    if any(asked[: HOUR // TICK]):
        yield "hosts come although nobody asks"
    if max(asked[: (HOUR + WAKES_SECONDS) // TICK]) != hosts or max(asked) != hosts:
        yield f"{max(asked)} hosts come with the first requests, and {hosts} should, within {WAKES_SECONDS} s"
    after = idle_after(settings) or timedelta()
    ended = scene.course.looks[-1].at
    scene.live(int(after.total_seconds()) + HOUR, lambda _now: 0)
    gone = next((look.at - ended for look in scene.course.looks if look.at > ended and not look.asked), None)
    if gone is None or gone < after.total_seconds():
        yield f"hosts go {'never' if gone is None else f'after {gone} s'} when nobody asks, and should after {after}"
