"""What a rehearsal found: for people on the screen, for machines as JSON."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.kubernetes.provider_plugin import OLDER
from pulumi_rehearsal.stage import ResourceCount
from rehearsal.expectations import Verdict
from rehearsal.kubernetes.connections import Connection

EC2_LIMIT_BYTES = 16_384
"""User data before base64, by the EC2 user guide."""

SHOWN_VIOLATIONS = 10


@dataclass
class Phase:
    """One step of the rehearsal.

    Attributes:
        changes: resources by what the engine did with them.
        warnings: as the engine shows them.
    """

    name: str
    seconds: float = 0.0
    changes: dict[str, int] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def met(self) -> bool:
        return all(verdict.met for verdict in self.verdicts)


@dataclass
class StackReport:
    """One stack's rehearsal.

    Attributes:
        resources: as they were after `up`, by type.
        placeholders: pins that are empty in the project and were filled for the rehearsal.
        usd_per_hour: as the stack comes up.
        max_usd_per_hour: the most it can become.
        expires_at: RFC 3339; None when it does not expire.
        usd_until_expiry: at the higher price, from now on; None when it does not expire.
        user_data_bytes: as EC2 gets it, of the 16384 that it takes.
        day: of traffic on hosts that follow the load, in a line; empty where they do not.
        kept: what stays after destroy, on purpose.
        connections: on platform eks, who may talk to whom.
        kubernetes: on platform eks, which version runs, and which the program asks EKS for.
        provider: on platform eks, which provider of objects runs.
        recorded: on platform eks, charts that are only recorded, each with the reason.
    """

    stack: str
    phases: list[Phase] = field(default_factory=list)
    resources: list[ResourceCount] = field(default_factory=list)
    placeholders: list[str] = field(default_factory=list)
    usd_per_hour: float | None = None
    max_usd_per_hour: float | None = None
    expires_at: str | None = None
    usd_until_expiry: float | None = None
    user_data_bytes: int | None = None
    day: str = ""
    kept: list[str] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    kubernetes: str = ""
    provider: str = ""
    recorded: dict[str, str] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return all(phase.met for phase in self.phases)

    @property
    def seconds(self) -> float:
        return sum(phase.seconds for phase in self.phases)


def as_json(engine: Engine, seconds: float, reports: Sequence[StackReport]) -> dict[str, Any]:
    """The whole report as plain data; `met` says whether all went as expected."""
    return {
        "met": all(report.met for report in reports),
        "engine": {"version": engine.version, "origin": engine.origin},
        "seconds": round(seconds, 1),
        "stacks": [dataclasses.asdict(report) | {"met": report.met} for report in reports],
    }


def summary(seconds: float, reports: Sequence[StackReport]) -> Text:
    """One line on all stacks."""
    failed = [report.stack for report in reports if not report.met]
    if failed:
        return Text(f"NOT as expected: {', '.join(failed)} ({seconds:.0f} s)", style="bold red")
    return Text(
        f"All as expected: {', '.join(report.stack for report in reports)} ({seconds:.0f} s)", style="bold green"
    )


def as_text(report: StackReport) -> RenderableType:
    """The report of one stack, for the screen."""
    parts: list[RenderableType] = [_phases(report), _resources(report)]
    if report.connections:
        parts.append(_connections(report.connections))
    return Group(*parts, *_facts(report), *_violations(report))


def _phases(report: StackReport) -> Table:
    table = Table(title=f"{report.stack}: {'as expected' if report.met else 'NOT as expected'}", title_justify="left")
    for name, justify in (("phase", "left"), ("seconds", "right"), ("resources", "left"), ("expectations", "left")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    for phase in report.phases:
        changes = ", ".join(f"{count} {operation}" for operation, count in sorted(phase.changes.items()))
        met = sum(verdict.met for verdict in phase.verdicts)
        style = None if phase.met else "bold red"
        table.add_row(phase.name, f"{phase.seconds:.1f}", changes, f"{met} of {len(phase.verdicts)} met", style=style)
    return table


def _resources(report: StackReport) -> Table:
    table = Table(title="where the resources exist", title_justify="left")
    table.add_column("type", overflow="fold")
    table.add_column("simulated account", justify="right")
    table.add_column("only recorded", justify="right")
    for row in report.resources:
        table.add_row(_short(row.type), _count(row.simulated), _count(row.recorded))
    simulated, recorded = (sum(getattr(row, name) for row in report.resources) for name in ("simulated", "recorded"))
    table.add_section()
    table.add_row("all", str(simulated), str(recorded))
    return table


def _short(type: str) -> str:
    """`aws:ec2/vpc:Vpc` as people write it: `ec2.Vpc`."""
    _, module, name = type.split(":")
    return f"{module.partition('/')[0]}.{name}"


def _count(number: int) -> str:
    return str(number) if number else ""


def _connections(connections: Sequence[Connection]) -> Table:
    table = Table(title="who may talk to whom, by the network policies", title_justify="left")
    for name in ("from", "may talk to", "may not talk to"):
        table.add_column(name, overflow="fold")
    for source in dict.fromkeys(connection.source for connection in connections):
        ways = [connection for connection in connections if connection.source == source]
        may, may_not = (", ".join(way.destination for way in ways if way.allowed is open) for open in (True, False))
        table.add_row(source, may, may_not)
    return table


def _facts(report: StackReport) -> Iterable[Text]:
    for row in report.resources:
        if row.simulated and row.recorded_inputs:
            yield Text(f"only recorded of {_short(row.type)}: {', '.join(row.recorded_inputs)}")
    if report.kubernetes:
        yield Text(report.kubernetes)
    if report.provider:
        yield Text(f"{report.provider}: {'; '.join(OLDER)}")
    for chart, reason in report.recorded.items():
        yield Text(f"only recorded of charts: {chart}, {reason}")
    if report.usd_per_hour is not None:
        yield Text(f"cost: ${report.usd_per_hour:.2f} an hour as it comes up, at most ${report.max_usd_per_hour:.2f}")
    if report.expires_at:
        yield Text(f"expires: {report.expires_at}; until then at most ${report.usd_until_expiry:.2f}")
    if report.day:
        yield Text(report.day)
    if report.user_data_bytes is not None:
        yield Text(f"user data: {report.user_data_bytes} bytes of {EC2_LIMIT_BYTES}")
    if report.placeholders:
        counts = Counter(pin.partition(".")[0] for pin in report.placeholders)
        kinds = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        yield Text(f"pins still empty, filled with zeros here: {kinds} (`tandem pin --offline` lists them)")
    for warning in dict.fromkeys(warning for phase in report.phases for warning in phase.warnings):
        yield Text(warning, style="yellow")
    if report.kept:
        yield Text(f"kept on purpose after destroy: {', '.join(report.kept)}")


def _violations(report: StackReport) -> Iterable[Text]:
    for phase in report.phases:
        for verdict in phase.verdicts:
            if not verdict.met:
                yield Text(f"{report.stack}, {phase.name}: expected that {verdict.expectation}", style="bold red")
                yield from (Text(f"    {violation}") for violation in verdict.violations[:SHOWN_VIOLATIONS])
                if more := len(verdict.violations) - SHOWN_VIOLATIONS:
                    yield from [Text(f"    and {more} more (--json has all)")] * (more > 0)
