"""Alert rules: one for each alarm, and what calls an alarm in CloudWatch calls its rule in a real Prometheus."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import telemetry

from tandem.alarms import CERTIFICATE, KEYS, Both, alarms
from tandem.files import PROJECT
from tandem.observing import queries
from tandem.observing.rules import READINGS, WITHOUT_RULE, rule_groups, rules
from tests.observing.asked import HOST, LABELS, MODEL
from tests.observing.promtool import SCRAPE_SECONDS, Recording, checked, firing
from tests.shared.world import ALARMS, HOUR, PROMISED, WRONG, World

RULES = {rule["alert"]: rule for rule in rules(HOST)}


class Scraped(World):
    """The same machine, asked by a Prometheus, too."""

    def __init__(self) -> None:
        super().__init__()
        self.recording = Recording()

    def live(self, seconds: int, each_look=lambda: None) -> None:
        def look() -> None:
            each_look()
            if self.now % SCRAPE_SECONDS == 0:
                self.recording.scrape("" if self.away else self._text(), f'{LABELS["host"]},host="a"')

        super().live(seconds, look)

    def _text(self) -> str:
        edge = [f'tandem_edge_requests_total{{client="c",code="{code}"}} {n}' for code, n in self.statuses.items()]
        gpus = f"tandem_gpu_errors {self.more.get('GpuErrors', 0):g}"
        canary = f"tandem_canary_failed {self.more.get('CanaryFailed', 0):g}"
        keys = [f"tandem_key_days {self.more['KeyDays']}"] if "KeyDays" in self.more else []
        return "\n".join([*edge, gpus, canary, *keys, self.server.ask() if self.server.answers else ""])


@pytest.fixture(scope="module")
def settled() -> Scraped:
    world = Scraped()
    world.live(7 * HOUR, world.serve)
    return world


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checked(rule_groups([HOST]), tmp_path_factory.mktemp("rules"))


def test_each_alarm_has_a_rule_or_a_reason() -> None:
    assert RULES.keys() | WITHOUT_RULE.keys() == ALARMS.keys() | {CERTIFICATE.name, KEYS.name}
    further = rules(replace(HOST, name="small"))
    assert KEYS.name not in {rule["alert"] for rule in further}, "clients are the stack's, and one call is enough"
    assert not RULES.keys() & WITHOUT_RULE.keys()


def test_each_figure_that_an_alarm_looks_at_is_read_from_prometheus() -> None:
    parts = [part for alarm in (*ALARMS.values(), KEYS) for part in (alarm.of if isinstance(alarm, Both) else [alarm])]
    assert {part.metric for part in parts if part.name not in WITHOUT_RULE} == READINGS.keys()


def test_whoever_is_called_reads_what_to_do() -> None:
    said = RULES["between-tokens-slow"]
    assert said["labels"] == {"stack": "prod", "model": "main", "severity": "warning"}
    assert said["annotations"]["command"] == "tandem size Qwen/Qwen3-8B"
    assert said["annotations"]["runbook"] == "docs/alarms.md#between-tokens-fast-between-tokens-slow"
    assert RULES["errors-fast"]["annotations"]["command"] == "tandem smoke prod"
    assert RULES["queue"]["annotations"]["runbook"].endswith("#queue")


def test_probes_of_a_full_server_count_as_little_as_in_cloudwatch() -> None:
    assert telemetry.PROBES / telemetry.SAMPLE == queries.PROBES_PER_SECOND


@pytest.mark.clock
def test_nothing_calls_while_all_is_well(settled: Scraped, file: Path) -> None:
    assert firing(file, settled.recording) == set()


@pytest.mark.clock
@pytest.mark.parametrize("what", WRONG)
def test_what_calls_an_alarm_calls_its_rule(what: str, settled: Scraped, file: Path) -> None:
    world = deepcopy(settled)
    goes_wrong, seconds, expected = WRONG[what]
    world.live(seconds, lambda: goes_wrong(world))
    assert firing(file, world.recording) == expected - WITHOUT_RULE.keys()


@pytest.mark.clock
@pytest.mark.parametrize(("days", "expected"), [(6.9, {"key-expiry"}), (7.1, set())])
def test_a_clients_last_key_that_ends_within_a_week_calls(
    days: float, expected: set[str], settled: Scraped, file: Path
) -> None:
    world = deepcopy(settled)

    def soon() -> None:
        world.serve()
        world.more = {"KeyDays": days}

    world.live(120, soon)
    assert firing(file, world.recording) == expected


@pytest.mark.clock
def test_the_first_start_of_a_stack_calls_nobody(file: Path) -> None:
    world = Scraped()
    world.server.answers = False
    world.live(HOUR)
    assert firing(file, world.recording) == set()


@pytest.mark.clock
def test_a_full_server_that_works_calls_nobody(settled: Scraped, file: Path) -> None:
    world = deepcopy(settled)

    def full() -> None:
        world.serve()
        world.server.running, world.server.cache = 256, 0.99
        world.server.refused += 2  # its probes

    world.live(HOUR, full)
    assert firing(file, world.recording) == set()


@pytest.mark.clock
@pytest.mark.parametrize(
    ("away", "calls"), [(range(100, 190), False), (range(100, 230), True)], ids=["a new version", "two hours"]
)
def test_few_servers_are_told_after_two_hours(away: range, calls: bool, tmp_path: Path) -> None:
    wanted = replace(MODEL, alarms=alarms(PROMISED, always_on=True, servers=4, gpus=False))
    rules_of_four, recording = checked(rule_groups([wanted]), tmp_path), Recording()
    for scrape in range(2 * 225):
        pods = "abcd"[: 3 if scrape // 2 in away else 4]
        recording.scrape("\n".join(f'vllm:num_requests_running{{pod="{pod}"}} 0' for pod in pods), LABELS["pod"])
    assert firing(rules_of_four, recording) == ({"few-servers"} if calls else set())


def test_each_rule_leads_to_its_page_and_begins_as_the_page_does() -> None:
    pages = dict(re.findall(r"(?m)^## ([a-z, -]+)\n\n`(tandem \w+)", (PROJECT / "docs/alarms.md").read_text()))
    anchors = {heading.replace(", ", "-"): command for heading, command in pages.items()}
    for rule in RULES.values():
        said = rule["annotations"]
        assert said["command"].startswith(anchors[said["runbook"].partition("#")[2]]), rule["alert"]
