from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.operations import Step
from pulumi_rehearsal.stage import ResourceCount
from rehearsal.expectations import Verdict
from rehearsal.kubernetes.connections import Connection
from rehearsal.report import Phase, StackReport, as_json, as_text, summary
from rehearsal.screen import Interrupted, screen, status_line

WAITS = """
import sys, time
from pathlib import Path
from rich.console import Console
from rehearsal.screen import screen
from pulumi_rehearsal.servers import running

with screen(Console(stderr=True), ["dev"]), running(["sleep", "60"], Path(sys.argv[1]) / "log") as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""
MET = Verdict("a second up changes nothing", ())
BROKEN = Verdict("no secret in plain text", tuple(f"token is in place {number}" for number in range(12)))


def report(*phases: Phase) -> StackReport:
    return StackReport(
        "dev",
        phases=list(phases) or [Phase("up", 12.34, {"create": 3, "same": 1}, [MET])],
        resources=[
            ResourceCount("aws:ec2/vpc:Vpc", 1, 0),
            ResourceCount("aws:s3/bucket:Bucket", 1, 0, ("acceleration", "region")),
            ResourceCount("aws:ssm/patch:Patch", 0, 2, ("schedule",)),
        ],
        placeholders=["vllm.digest", "machine_image.ubuntu.id", "machine_image.dlami.id"],
        usd_per_hour=4.6,
        max_usd_per_hour=5.74,
        expires_at="2026-12-24T18:00:00Z",
        usd_until_expiry=22.96,
        user_data_bytes=12131,
        kept=["aws:efs/fileSystem:FileSystem fs-1"],
    )


def shown(*renderables: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(*renderables)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_a_report_for_people() -> None:
    warned = Phase("up", 12.34, {"create": 3, "same": 1}, [MET], ["warning: spot", "warning: spot"])
    assert shown(as_text(report(warned))) == (
        """\
dev: as expected
┏━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━┓
┃ phase ┃ seconds ┃ resources        ┃ expectations ┃
┡━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━┩
│ up    │    12.3 │ 3 create, 1 same │ 1 of 1 met   │
└───────┴─────────┴──────────────────┴──────────────┘
where the resources exist
┏━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓
┃ type      ┃ simulated account ┃ only recorded ┃
┡━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩
│ ec2.Vpc   │                 1 │               │
│ s3.Bucket │                 1 │               │
│ ssm.Patch │                   │             2 │
├───────────┼───────────────────┼───────────────┤
│ all       │                 2 │             2 │
└───────────┴───────────────────┴───────────────┘
only recorded of s3.Bucket: acceleration, region
cost: $4.60 an hour as it comes up, at most $5.74
expires: 2026-12-24T18:00:00Z; until then at most $22.96
user data: 12131 bytes of 16384
pins still empty, filled with zeros here: vllm 1, machine_image 2 (`tandem pin --offline` lists them)
warning: spot
kept on purpose after destroy: aws:efs/fileSystem:FileSystem fs-1"""
    )


def test_what_is_broken_is_named_at_the_end() -> None:
    text = shown(as_text(report(Phase("secrets", 1.0, {}, [MET, BROKEN]))))
    assert text.startswith("dev: NOT as expected\n")
    assert "│ 1 of 2 met" in text
    assert text.splitlines()[-12:] == [
        "dev, secrets: expected that no secret in plain text",
        *(f"    token is in place {number}" for number in range(10)),
        "    and 2 more (--json has all)",
    ]


def test_who_may_talk_to_whom_is_a_row_for_each_source() -> None:
    found = report()
    found.connections = [
        Connection("a", "b:1", allowed=True, promised=True),
        Connection("a", "b:2", allowed=False, promised=False),
        Connection("a", "c:1", allowed=False, promised=False),
        Connection("b", "a:1", allowed=True, promised=True),
    ]
    _, table = shown(as_text(found)).split("who may talk to whom")
    rows = [line.strip("│").split("│") for line in table.splitlines()]
    assert [[cell.strip() for cell in row] for row in rows if len(row) == 3] == [
        ["a", "b:1", "b:2, c:1"],
        ["b", "a:1", ""],
    ]
    [stack] = as_json(Engine(Path("pulumi"), "1.2.3", "cache"), 1.0, [found])["stacks"]
    assert stack["connections"][1] == {"source": "a", "destination": "b:2", "allowed": False, "promised": False}


def test_the_summary_names_the_stacks_that_failed() -> None:
    broken = report(Phase("secrets", 1.0, {}, [BROKEN]))
    broken.stack = "prod"
    assert shown(summary(61.4, [report()])) == "All as expected: dev (61 s)"
    assert shown(summary(61.4, [report(), broken])) == "NOT as expected: prod (61 s)"


def test_the_report_as_data_has_every_violation() -> None:
    document = as_json(Engine(Path("pulumi"), "1.2.3", "cache"), 1.0, [report(Phase("secrets", 1.0, {}, [BROKEN]))])
    assert document["met"] is False
    assert len(document["stacks"][0]["phases"][0]["verdicts"][0]["violations"]) == 12


class TestScreen:
    @pytest.fixture
    def console(self) -> Console:
        return Console(file=io.StringIO(), width=120)

    def text(self, console: Console) -> str:
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def test_each_phase_leaves_a_line(self, console: Console) -> None:
        with screen(console, ["dev"]) as watcher:
            watcher.phase_started("dev", "up")
            watcher.step_done("dev", Step("create", "aws:ec2/vpc:Vpc", "urn:x::vpc"))
            watcher.phase_ended("dev", Phase("up", 12.34, {"create": 1}, [MET]))
            watcher.phase_ended("dev", Phase("secrets", 1.0, {}, [BROKEN]))
            watcher.phase_ended("dev", Phase("expiry"))  # nothing to expect: the stack does not expire
        lines = [line.split() for line in self.text(console).splitlines() if line.startswith("dev ")]
        assert lines == [
            ["dev", "up", "12.3", "s", "ok", "1", "create"],
            ["dev", "secrets", "1.0", "s", "NOT", "AS", "EXPECTED"],
        ]

    def test_an_interrupt_ends_the_rehearsal_at_its_next_step(self, console: Console) -> None:
        with screen(console, ["dev"]) as watcher:
            watcher.interrupt(signal.SIGINT)
            with pytest.raises(Interrupted):
                watcher.step_done("dev", Step("create", "aws:ec2/vpc:Vpc", "urn:x::vpc"))
            with pytest.raises(Interrupted):
                watcher.phase_started("dev", "destroy")

    @pytest.mark.clock
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_second_signal_ends_all_servers_at_once(self, number: signal.Signals, tmp_path: Path) -> None:
        """A rehearsal that waits for a minute, and a server of its."""
        waits = [sys.executable, "-c", WAITS, tmp_path]
        with subprocess.Popen(waits, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stderr
            server = int(process.stdout.readline())
            process.send_signal(number)
            assert "the same again ends it at once" in process.stderr.readline()
            os.kill(server, 0)
            process.send_signal(number)
            assert process.wait(10) == 128 + number
        with pytest.raises(ProcessLookupError):
            os.kill(server, 0)

    def test_a_log_gets_a_line_now_and_then(self, console: Console) -> None:
        with status_line(console) as progress:
            for number in range(100):
                progress(f"{number} of 100 packages compiled")
        assert self.text(console) == "0 of 100 packages compiled\n"
