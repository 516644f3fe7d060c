"""A real Prometheus that asks one target, with the labels of a pod or of a host."""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulumi_rehearsal.kubernetes import prometheus_command
from pulumi_rehearsal.kubernetes.watch import seconds_until
from pulumi_rehearsal.servers import free_port, running

START_SECONDS = 60


@dataclass(frozen=True)
class Live:
    """A Prometheus that runs."""

    url: str

    def _get(self, path: str, **fields: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(fields)}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{fields}: {error.read().decode()}") from None

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Labels and values now."""
        return self._get("/api/v1/query", query=query)["result"]

    def over(self, query: str, seconds: int, points: int) -> list[list[tuple[float, float]]]:
        """Each series that answers, over the last seconds: how many since they began, and the value then."""
        end = time.time()
        found = self._get(
            "/api/v1/query_range", query=query, start=f"{end - seconds}", end=f"{end}", step=f"{seconds / points}"
        )
        return [[(at - end + seconds, float(value)) for at, value in one["values"]] for one in found["result"]]

    def numbers(self, query: str) -> list[float]:
        """Values, as soon as there are some: what is nested looks every 15 seconds. No number is no value."""
        deadline, found = time.monotonic() + 40, list[float]()
        while not found and time.monotonic() < deadline:
            values = (float(one["value"][1]) for one in self.ask(query))
            found = [value for value in values if math.isfinite(value)]
            time.sleep(0 if found else 1)
        return found

    def scrapes(self) -> float:
        found = self.ask("count_over_time(up[1h])")
        return float(found[0]["value"][1]) if found else 0


@contextmanager
def prometheus(target: int, labels: Sequence[Mapping[str, str]], directory: Path) -> Iterator[Live]:
    """Runs until the block ends; asks `/metrics` of a port every second, once with each of these labels."""
    asked = [{"targets": [f"127.0.0.1:{target}"], "labels": dict(one)} for one in labels]
    job = {"job_name": "servers", "static_configs": asked}
    every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    with started({"global": every, "scrape_configs": [job]}, directory) as found:
        # So that there are rates.
        assert seconds_until(lambda: found.scrapes() >= 3, START_SECONDS) is not None, "it has asked nobody"
        yield found


@contextmanager
def receiving(directory: Path) -> Iterator[Live]:
    """Runs until the block ends; asks nobody, and takes what is written to `/api/v1/write`."""
    with started({}, directory, "--web.enable-remote-write-receiver") as found:
        yield found


@contextmanager
def started(configuration: Mapping[str, Any], directory: Path, *flags: str) -> Iterator[Live]:
    prometheus_command.ensure(print)
    port = free_port()
    file = directory / "prometheus.yml"
    file.write_text(json.dumps(configuration))
    command = [
        prometheus_command.command(),
        *(f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"),
        f"--web.listen-address=127.0.0.1:{port}",
        *flags,
    ]
    with running(command, directory / "prometheus.log", {"GOGC": "50"}):
        found = Live(f"http://127.0.0.1:{port}")
        assert seconds_until(lambda: _is_ready(found.url), START_SECONDS) is not None, "it is not ready"
        yield found


def _is_ready(url: str) -> bool:
    """It listens some seconds before it answers."""
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False
