"""Prometheus' own look at rules: whether they are well formed, and which of them call on series that were recorded."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi_rehearsal.kubernetes import prometheus_command
from tandem.observing.queries import span

SCRAPE_SECONDS = 30


class Recording:
    """Answers to scrapes, one every so many seconds, as series of a rules test."""

    def __init__(self) -> None:
        self._series: dict[str, list[str]] = {}
        self._scrapes = 0

    def scrape(self, text: str, labels: str) -> None:
        """Takes an answer.

        Args:
            labels: that a scrape adds to each series.
        """
        seen = dict(_with(line, labels) for line in text.splitlines() if line and line[0] != "#")
        for name in {*self._series, *seen}:
            values = self._series.setdefault(name, ["_"] * self._scrapes)
            # A series that an answer lacks ends there, as Prometheus has it.
            values.append(seen.get(name) or ("stale" if values and values[-1][0].isdigit() else "_"))
        self._scrapes += 1

    @property
    def end(self) -> int:
        """Seconds from the first scrape to the last."""
        return SCRAPE_SECONDS * (self._scrapes - 1)

    def series(self) -> list[dict[str, str]]:
        return [{"series": name, "values": " ".join(values)} for name, values in self._series.items()]


def _with(line: str, labels: str) -> tuple[str, str]:
    name, _, value = line.rpartition(" ")
    bare, _, own = name.partition("{")
    return f"{bare}{{{labels},{own}" if own else f"{bare}{{{labels}}}", value


def checked(groups: Sequence[Mapping[str, Any]], directory: Path) -> Path:
    """The rules as a file that Prometheus takes."""
    file = directory / "rules.yml"
    file.write_text(json.dumps({"groups": groups}))
    found = _promtool("check", "rules", str(file))
    assert found.returncode == 0, found.stderr
    assert f"SUCCESS: {sum(len(group['rules']) for group in groups)} rules found" in found.stdout
    return file


def firing(rules: Path, recording: Recording) -> set[str]:
    """Which rules call at the end of a recording."""
    query = 'count by (alertname) (ALERTS{alertstate="firing"})'
    document = {
        "rule_files": [str(rules)],
        "evaluation_interval": span(SCRAPE_SECONDS),
        "tests": [
            {
                "interval": span(SCRAPE_SECONDS),
                "input_series": recording.series(),
                # No alarm has such a name, so that promtool says what there is instead.
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": span(recording.end),
                        "exp_samples": [{"labels": '{alertname="none"}', "value": 1}],
                    }
                ],
            }
        ],
    }
    file = rules.with_name("rules_test.yml")
    file.write_text(json.dumps(document))
    found = _promtool("test", "rules", str(file))
    got = found.stderr.partition("got:")[2]
    assert "exp:" in found.stderr, found.stderr
    return set(_names(got))


def _names(text: str) -> Iterable[str]:
    return re.findall(r'alertname="([^"]+)"', text)


def _promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    prometheus_command.ensure(print)
    command = str(prometheus_command.command(prometheus_command.CHECKER))
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False, timeout=300)
