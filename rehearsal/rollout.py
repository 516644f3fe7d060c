"""A good version and a bad one on a group whose hosts are played; what it had at each look is the evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pulumi_rehearsal.kubernetes.api import countdown
from rehearsal.played_hosts import Hosts, play
from tandem.ops.kinds.kind import Clients
from tandem.ops.rollout import Platform, Rollout
from tandem.ops.rollout.group import HostGroup
from tandem.settings import Settings

WATCH_SECONDS = 120


@dataclass(frozen=True)
class Seen:
    """What was seen of a rollout.

    Attributes:
        looks: hosts by version and state, at each look.
        version: that they should all have in the end.
        fewest: hosts that must serve all along.
        noticed: what `tandem rollout` said once a host had given up; None where none did.
    """

    looks: Sequence[Hosts]
    version: str
    fewest: int
    noticed: Rollout | None = None


def roll_out(clients: Clients, stack: str, settings: Settings) -> Seen:
    """Hosts do what a refresh has them do, until it is over."""
    [found] = _platform(clients, stack, settings).look()
    return Seen(list(play(clients, found.name)), found.wanted.name, _fewest(settings, found.size))


def go_back(clients: Clients, stack: str, settings: Settings) -> Seen:
    """No host of the wanted version makes a token; once that is noticed, `tandem rollout --back --yes`."""
    platform = _platform(clients, stack, settings)
    [found] = platform.look()
    bad = {found.wanted.name}
    looks: list[Hosts] = []
    for hosts in play(clients, found.name, bad):
        looks.append(hosts)
        [found] = platform.look()
        if found.state == "failing":
            break
    before = found.before or ""
    platform.take(found, before)
    looks += play(clients, found.name, bad)
    return Seen(looks, before, _fewest(settings, found.size), found)


def watch_and_go_back(platform: Platform, over: Callable[[], bool]) -> list[Rollout]:
    """Somebody at 3 a.m., while `up` waits: `tandem rollout`, and `--back --yes` for each that fails.

    Args:
        over: `up` has ended.

    Returns:
        What was noticed, by the time that nothing moves any more.
    """
    noticed: list[Rollout] = []
    for _ in countdown(WATCH_SECONDS, poll_seconds=0.5):
        found = platform.look()
        for one in found:
            if one.state == "failing" and one.before and one.key not in {known.key for known in noticed}:
                noticed.append(one)
                platform.take(one, one.before)
        if over() and noticed and all(one.state == "done" for one in found):
            break
    return noticed


def _platform(clients: Clients, stack: str, settings: Settings) -> HostGroup:
    return HostGroup(clients, stack, None, settings, sleep=lambda _seconds: None)


def _fewest(settings: Settings, size: int) -> int:
    return size if settings.fleet.rollout == "launchFirst" else size - 1
