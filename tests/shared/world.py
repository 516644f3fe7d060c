"""A machine whose server and edge a test drives, on a clock of its own, and what may go wrong with it."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import telemetry

from rehearsal.played_alarms import Figures, fires
from tandem.alarms import alarms
from tandem.objectives import Objectives
from tests.shared.told_server import ToldServer

PROMISED = Objectives(first_token_seconds=2.5, between_tokens_seconds=0.1, availability=0.995)
ALARMS = {alarm.name: alarm for alarm in alarms(PROMISED, always_on=True, servers=1, gpus=True, canary=True)}
HOUR = 3600


def reported(parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """The data of a request of the query protocol."""
    data: defaultdict[int, dict[str, Any]] = defaultdict(lambda: {"Values": [], "Counts": []})
    for name, value in parameters.items():
        if found := re.fullmatch(r"MetricData\.member\.(\d+)\.(Values|Counts)\.member\.\d+", name):
            data[int(found[1])][found[2]].append(float(value))
        elif found := re.fullmatch(r"MetricData\.member\.(\d+)\.(MetricName|Unit|StorageResolution)", name):
            data[int(found[1])][found[2]] = value
        elif found := re.fullmatch(r"MetricData\.member\.(\d+)\.Dimensions\.member\.(\d+)\.(Name|Value)", name):
            dimensions = data[int(found[1])].setdefault("Dimensions", [])
            if found[3] == "Name":
                dimensions.append({})
            dimensions[-1][found[3]] = value
    return list(data.values())


class AtOnce:
    """Looks from this thread, since these servers never keep it waiting."""

    map = staticmethod(map)


telemetry._LOOKERS = AtOnce
telemetry.read = functools.lru_cache(64)(telemetry.read)  # hours in which a server tells the same


class World:
    """A machine with one server or more and an edge, on a clock of its own, and CloudWatch."""

    def __init__(self, others: int = 0) -> None:
        self.others = [ToldServer() for _ in range(others)]
        self.server, self.figures, self.now = ToldServer(), Figures(), 0
        self.statuses: Counter[int] = Counter()
        self.more: dict[str, float] = {}
        self.away, self.last = False, list[dict[str, Any]]()
        self.said: list[str] = []
        self.telemetry = telemetry.Telemetry(
            [telemetry.Server(one.ask) for one in (self.server, *self.others)],
            self._answered,
            self._more,
            self._put,
            {"Stack": "dev", "Model": "m"},
            self._say,
        )

    def _answered(self) -> dict[int, int]:
        return dict(self.statuses)

    def _say(self, line: str) -> None:
        self.said.append(line)

    def _more(self) -> dict[str, float]:
        return self.more

    def _put(self, **parameters: str) -> None:
        if self.away:
            raise RuntimeError("Throttling: 400 Rate exceeded")
        self.last = reported(parameters)
        self.figures.put(self.now - 1, self.last)

    def live(self, seconds: int, each_look: Callable[[], Any] = lambda: None) -> None:
        """Lets time go by; what happens, happens before each look."""
        for _ in range(seconds // telemetry.SAMPLE):
            self.now += telemetry.SAMPLE
            each_look()
            self.telemetry.look(self.now)
            if self.now % telemetry.EVERY == 0:
                self.telemetry.report()

    def serve(self, requests: int = 10, first: float = 0.3, between: float = 0.03, failed: int = 0) -> None:
        """What comes between two looks."""
        server = self.server
        server.running, server.cache = 3, 0.4
        server.tokens += 100 * requests
        server.prompt_tokens += 500 * requests
        server.first_token[first] += requests
        server.between_tokens[between] += 99 * requests
        self.statuses[200] += requests - failed
        self.statuses[503] += failed
        self.statuses[401] += 5

    def firing(self) -> set[str]:
        return {name for name, alarm in ALARMS.items() if fires(alarm, self.figures, self.now)}


def fails(world: World) -> None:
    world.serve(failed=2)


def _fails_slowly(world: World) -> None:
    world.serve(requests=25, failed=1)


def _is_refused_in_streams(world: World) -> None:
    world.serve()
    world.server.refused += 5


def _begins_late(world: World) -> None:
    world.serve(first=4.0)


def _drips(world: World) -> None:
    world.serve(between=0.14)


def _waits(world: World) -> None:
    world.serve()
    world.server.waiting = 7


def _hangs(world: World) -> None:
    world.server.running = 3


def _throws_out(world: World) -> None:
    world.serve()
    world.server.cache, world.server.preemptions = 0.8 + 0.19 * (world.now % 20 == 0), world.server.preemptions + 1


def _starts_again(world: World) -> None:
    """Away for a minute each time."""
    world.server.answers = world.now % 300 >= 60
    if world.server.answers:
        world.serve()
    elif world.now % 300 == 0:
        world.server.started += 300


def _is_gone(world: World) -> None:
    world.server.answers = False


def _is_gone_with_its_machine(world: World) -> None:
    world.away = True


def _loses_a_gpu(world: World) -> None:
    world.serve()
    world.more = {"GpuErrors": 1.0}


def _answers_otherwise(world: World) -> None:
    world.serve()
    world.more = {"CanaryFailed": 2.0}


WRONG: dict[str, tuple[Callable[[World], None], int, set[str]]] = {
    "requests fail": (fails, HOUR, {"errors-fast", "errors-slow"}),
    "some requests fail, for hours": (_fails_slowly, 6 * HOUR, {"errors-slow"}),
    "requests are refused inside of streams": (_is_refused_in_streams, HOUR, {"errors-fast", "errors-slow"}),
    "answers begin late": (_begins_late, HOUR, {"first-token-fast", "first-token-slow"}),
    "tokens drip": (_drips, HOUR, {"between-tokens-fast", "between-tokens-slow"}),
    "requests wait": (_waits, 420, {"queue"}),
    "a server hangs": (_hangs, 240, {"stalled"}),
    "the cache is full": (_throws_out, 240, {"kv-cache"}),
    "a server starts again and again": (_starts_again, HOUR, {"restarts"}),
    "no server answers": (_is_gone, 300, {"no-server"}),
    "no machine reports": (_is_gone_with_its_machine, 300, {"no-server"}),
    "a GPU has an error": (_loses_a_gpu, 120, {"gpu"}),
    "a canary fails": (_answers_otherwise, 120, {"canary"}),
}
