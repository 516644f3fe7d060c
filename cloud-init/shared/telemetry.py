"""What a machine tells CloudWatch of its servers, once a minute, without an agent to install. For hosts and pods alike.

Latencies go as how many were in each bucket of vLLM's own histogram, by the middle of the bucket: CloudWatch makes
percentiles of such counts, over all machines, and a bound that is an objective lies between two values, never on one.
"""

from __future__ import annotations

import http.client
import itertools
import re
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import coldstart

NAMESPACE = "tandem"
SAMPLE, EVERY = 10, 60  # seconds between looks, and between reports
PROBES = 2  # at most of a server between two looks; a full one refuses them, too
LATENCIES = {
    "vllm:time_to_first_token_seconds": "FirstToken",
    "vllm:inter_token_latency_seconds": "BetweenTokens",
}
MADE = "vllm:generation_tokens_total"
SUMS = {MADE: "TokensOut", "vllm:num_preemptions_total": "Preemptions"}
GUESSED, RIGHT = (f"vllm:spec_decode_num_{what}_tokens_total" for what in ("draft", "accepted"))
REFUSED = "vllm:admission_rejections_total"
RUNNING, WAITING, CACHE = "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"
FAST_ONLY = ("Waiting",)  # nothing but scaling looks at it
READ, STARTED = "vllm:prompt_tokens_total", "process_start_time_seconds"
NEEDED = (
    *(f"{name}_bucket" for name in LATENCIES),
    *SUMS,
    REFUSED,
    RUNNING,
    WAITING,
    CACHE,
    READ,
    STARTED,
    GUESSED,
    RIGHT,
)
LINE = re.compile(rf"(?m)^({'|'.join(NEEDED)})(?:{{(.*)}})? (\S+)")
VALUES = 150
"""Different values that one datum takes
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html)."""

PERCENT, SECONDS = ("KvCacheUsed", "GpuUse", "GpuMemory"), ("Queued", "Stalled", *LATENCIES.values())
STARTS = (*coldstart.FIGURES.values(), coldstart.WHOLE)
UNITS = {**dict.fromkeys(PERCENT, "Percent"), **dict.fromkeys((*SECONDS, *STARTS), "Seconds")}
"""Of what is not a count."""

Seen = Mapping["str | tuple[str, float]", float]
"""Of one server: sums over its engines, by name; of latencies by name and the middle of a bucket."""
Put = Callable[..., object]
"""PutMetricData, with its parameters as the query protocol has them. Raises RuntimeError, with AWS's words in it."""


def read(text: str) -> Seen:
    """What a server tells, of what is needed here."""
    found: defaultdict[str | tuple[str, float], float] = defaultdict(float)
    cumulative: defaultdict[str, defaultdict[float, float]] = defaultdict(lambda: defaultdict(float))
    for name, labels, value in LINE.findall(text):
        if bound := re.search('le="([^"]+)"', labels):
            cumulative[name.removesuffix("_bucket")][float(bound[1])] += float(value)
        else:
            found[name] += float(value)
    for name, counts in cumulative.items():
        below, under = 0.0, 0.0
        for bound, count in sorted(counts.items()):
            middle = (below + bound) / 2 if bound != float("inf") else 1.5 * below
            found[name, round(middle, 6)] = count - under
            below, under = bound, count
    return found


def flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Parameters of the query protocol (https://smithy.io/2.0/aws/protocols/aws-query-protocol.html)."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from flat(f"{prefix}.{name}", item)
    elif isinstance(value, list):
        for number, item in enumerate(value, 1):
            yield from flat(f"{prefix}.member.{number}", item)
    else:
        yield prefix, f"{value:g}" if isinstance(value, float) else str(value)


def metrics_of(port: int) -> Callable[[], str]:
    """The text of a server's metrics."""

    def ask() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return answer.read().decode()

    return ask


@dataclass
class Server:
    """One replica, as it was seen.

    Attributes:
        ask: the text of its metrics; raises OSError while it does not answer.
    """

    ask: Callable[[], str]
    _seen: Seen | None = field(default=None, init=False)
    _busy_since: float = field(default=0.0, init=False)
    _queued_since: float = field(default=0.0, init=False)

    def look(self, now: float) -> tuple[dict[str, float], Counter[str | tuple[str, float]]]:
        """What it is like now, and what it has counted since it was last seen. A new start counts from 0 again.

        Raises whatever its asking does; ValueError for an answer that is no metrics.
        """
        found = read(self.ask())
        if STARTED not in found:
            raise ValueError("the answer is no server's")
        before, self._seen = self._seen, found
        again = before is not None and before[STARTED] != found[STARTED]
        old = found if before is None else {} if again else before
        added = Counter({key: value - old.get(key, 0) for key, value in found.items() if value > old.get(key, 0)})
        added[REFUSED] = max(0, added[REFUSED] - PROBES)
        load = found.get(RUNNING, 0) + found.get(WAITING, 0)
        moved = any(added[key] for key in (MADE, READ))
        self._busy_since = now if moved or not load or before is None else self._busy_since
        self._queued_since = self._queued_since if found.get(WAITING) and before is not None else now
        gauges = {
            "Servers": 1,
            "Load": load,
            "Waiting": found.get(WAITING, 0),
            "KvCacheUsed": 100 * found.get(CACHE, 0),
            "Queued": now - self._queued_since,
            "Stalled": now - self._busy_since,
            "Restarts": float(again),
        }
        if GUESSED in found and added[MADE]:
            gauges["Guessing"] = float(added[GUESSED] > 0)
        return gauges, added


def _seen(server: Server, now: float) -> tuple[dict[str, float], Counter[str | tuple[str, float]]] | None:
    """None while it does not answer, in whatever way."""
    try:
        return server.look(now)
    except (OSError, ValueError, http.client.HTTPException):
        return None


def next_tick(tick: float, now: float) -> float:
    """When to look next; looks that a slow call has made late are left out, not made up for all at once."""
    return tick + SAMPLE * (1 + max(0, int((now - tick) // SAMPLE)))


_LOOKERS = ThreadPoolExecutor(8)
"""As many as a machine has servers at most, since one that hangs keeps its own waiting."""


class Telemetry:
    """Looks, and reports; first when a server has answered once, so that one that never served is not missed.

    Args:
        servers: of this machine.
        statuses: answers of its edge by status, since its start.
        more: what else is measured here, at each report, as gauges.
        put: PutMetricData.
        dimensions: by which CloudWatch tells stacks and models apart.
        say: one line for whoever reads the agent's own log.
        fast: gauges that are told at each look, for alarms that look every ten seconds, and not in the report.
        start: of the machine, told once.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        statuses: Callable[[], Mapping[int, int]],
        more: Callable[[], Mapping[str, float]],
        put: Put,
        dimensions: Mapping[str, str],
        say: Callable[[str], object],
        fast: Sequence[str] = (),
        start: coldstart.Once | None = None,
    ) -> None:
        self._servers, self._statuses, self._more, self._put, self._say = servers, statuses, more, put, say
        self._dimensions = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        self._gauges: defaultdict[str, Counter[float]] = defaultdict(Counter)
        self._added: Counter[str | tuple[str, float]] = Counter()
        self._answered: Mapping[int, int] = statuses()
        self._trouble, self._served = "", False
        self._fast, self._start = fast, start

    def start(self) -> None:
        """Looks and reports from now on, in a thread that ends with the process."""
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        # Half-way between the clock's tens: a figure lies in the period that it is of, early or late by some seconds.
        tick = time.monotonic() - (time.time() - SAMPLE / 2) % SAMPLE
        for number in itertools.count(1):
            tick = next_tick(tick, time.monotonic())
            time.sleep(max(0.0, tick - time.monotonic()))
            self._safely(lambda: self.look(time.monotonic()))
            if number % (EVERY // SAMPLE) == 0:
                self._safely(self.report)

    def _safely(self, step: Callable[[], None]) -> None:
        """Whatever goes wrong with it, the next one must come."""
        try:
            step()
        except Exception as error:
            self._tell(f"{type(error).__name__}: {error}")

    def look(self, now: float) -> None:
        """One look at each server. One that does not answer is not among `Servers`."""
        looks = list(_LOOKERS.map(lambda server: _seen(server, now), self._servers))
        fast: dict[str, Counter[float]] = {name: Counter() for name in self._fast}
        for seen in filter(None, looks):
            gauges, added = seen
            self._served = True
            for name, value in gauges.items():
                if name in fast or name not in FAST_ONLY:
                    (fast if name in fast else self._gauges)[name][round(value, 3)] += 1
            self._added.update(added)
        if told := [{**datum, "StorageResolution": 1} for datum in self._data(fast)]:
            self._send(told)

    def report(self) -> None:
        """Tells what was seen since the last report. What was counted stays until AWS has taken it."""
        start = self._start.figures() if self._start else {}
        for name, value in {**self._more(), **start}.items():
            self._gauges[name][round(value, 3)] += 1
        answered = self._statuses()
        data = self.data(answered)
        self._gauges.clear()
        if self._send(data):
            self._answered, self._trouble = answered, ""
            self._added.clear()
            if self._start and start:
                self._start.told()

    def _send(self, data: Sequence[Mapping[str, Any]]) -> bool:
        """Whether AWS has taken them."""
        try:
            self._put(**{"Namespace": NAMESPACE, **dict(flat("MetricData", list(data)))})
        except RuntimeError as error:
            self._tell(str(error))
            return False
        return True

    def _tell(self, trouble: str) -> None:
        if self._trouble != (kind := trouble.partition(":")[0]):
            self._say(f"metrics do not leave: {trouble}")
            self._trouble = kind

    def data(self, answered: Mapping[int, int]) -> list[dict[str, Any]]:
        """As PutMetricData takes it.

        Args:
            answered: by the edge, by status, since its start.
        """
        found: dict[str, Mapping[float, float]] = {name: dict(values) for name, values in self._gauges.items()}
        if self._served:  # how many, on the average of the looks: so that the sum over machines is what serves
            looks = found.get("Servers", {}).get(1.0, 0)
            found["Servers"] = {round(looks / (EVERY // SAMPLE), 2): 1}
        for key, name in LATENCIES.items():
            told = ((*one, count) for one, count in self._added.items() if isinstance(one, tuple))
            found[name] = {middle: count for latency, middle, count in told if latency == key}
        for key, name in SUMS.items():
            found[name] = {self._added[key]: 1}
        found["Failed"] = self._failed(answered)
        found["GuessesRight"] = _ones(self._added[RIGHT], self._added[GUESSED] - self._added[RIGHT])
        return self._data(found)

    def _data(self, found: Mapping[str, Mapping[float, float]]) -> list[dict[str, Any]]:
        return [
            {
                "MetricName": name,
                "Dimensions": self._dimensions,
                "Unit": UNITS.get(name, "Count"),
                "Values": [float(value) for value in list(values)[:VALUES]],
                "Counts": [float(count) for count in list(values.values())[:VALUES]],
            }
            for name, values in sorted(found.items())
            if values
        ]

    def _failed(self, answered: Mapping[int, int]) -> dict[float, float]:
        """Requests that were answered, as 0, and those that were not through no fault of theirs, as 1.

        What vLLM refuses inside of a stream has status 200 at the edge, so its own count is added, less what may have
        been probes; a refusal that the edge saw, too, counts twice, on the side of the alarm.
        """
        added = {status: number - self._answered.get(status, 0) for status, number in answered.items()}
        failed = sum(number for status, number in added.items() if status >= 500)
        failed += self._added[REFUSED]
        good = sum(number for status, number in added.items() if status < 400)
        return _ones(failed, good)


def _ones(ones: float, zeros: float) -> dict[float, float]:
    """Values of a figure whose average is the share of ones."""
    return {value: count for value, count in ((0.0, max(0, zeros)), (1.0, ones)) if count}
