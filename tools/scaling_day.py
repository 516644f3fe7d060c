"""Draws a day of hosts and of pods that follow the load, beside business hours and as many all day, for docs.

`python tools/scaling_day.py docs/scaling.md docs/scaling-day.svg`: the picture, and the table between the page's marks.
The day of hosts is played; that of pods was lived by real controllers, and is kept (`make scaling-day`).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from rehearsal.kubernetes.pressed_day import PART, PodsDay, Step, hours, moves  # noqa: E402  (tests are not installed)
from rehearsal.played_scaling import MINUTE  # noqa: E402
from rehearsal.scaling import DAY, HOUR, Course, Scene, play_day, play_sized  # noqa: E402
from tandem.catalog import prices  # noqa: E402
from tandem.ops.plot import head  # noqa: E402
from tandem.settings import Settings  # noqa: E402
from tests.rehearsal.declared_scaling import account_of, settings_of  # noqa: E402

BEGIN, END = "<!-- day -->\n", "<!-- end of day -->\n"
KEPT = ROOT / "docs" / "scaling-day.json"
WIDTH, HEIGHT, LOW, LEFT, TOP, GAP = 440, 220, 90, 50, 40, 50
"""Of a panel: its width, the height of hosts and of requests that wait, and what is around."""


@dataclass(frozen=True)
class Line:
    """A day in which somebody said how many hosts, or nodes, there are.

    Attributes:
        steps: hosts in service, or nodes.
        hours: of all of them together.
        waiting: requests, on average of each PART of the day.
        waited: seconds of a request.
        refused: of all requests.
    """

    name: str
    color: str
    steps: Sequence[Step]
    hours: float
    moves: int
    waiting: Sequence[float]
    waited: float
    refused: float


def lines() -> tuple[Settings, Scene, Sequence[Line]]:
    """Hosts that follow the load, pods that do, and what neither does; each host, as each node, has two replicas."""
    settings, account = account_of(settings_of())
    scene, most = Scene(settings, account, 0), settings.max_group_size
    pods = PodsDay.of(KEPT.read_text())
    hosts = play_day(settings, account)
    business = play_sized(settings, account, lambda now: most if 8 * HOUR <= now % DAY < 20 * HOUR else 0)
    return (
        settings,
        scene,
        [
            _of_hosts("hosts, followLoad", "#2f6fab", hosts, pods.requests),
            Line(
                "nodes of pods (eks)",
                "#2e8b57",
                pods.nodes,
                hours(pods.nodes),
                len(moves(pods.replicas)),
                pods.waiting,
                pods.waited / (pods.requests - pods.refused),
                pods.refused / pods.requests,
            ),
            _of_hosts("business hours, 8 to 20", "#b5651d", business, pods.requests),
            _of_hosts("as many all day", "#777777", play_sized(settings, account, lambda _now: most), pods.requests),
        ],
    )


def _of_hosts(name: str, color: str, course: Course, requests: float) -> Line:
    steps: list[Step] = []
    waiting = [0.0] * (DAY // PART)
    for look in course.looks:
        waiting[(look.at - 1) // PART] += look.waiting * len(waiting) / len(course.looks)
        if not steps or steps[-1][1] != look.serving:
            steps.append((look.at, look.serving))
    waited = course.waited / (requests - course.refused)
    return Line(name, color, steps, course.host_hours, len(course.actions), waiting, waited, course.refused / requests)


def table(settings: Settings, found: Sequence[Line]) -> str:
    usd = prices.on_demand(settings.fleet.instance_types[0], settings.region)
    head_line = "| | hours of hosts | on demand | moves | waited, a request | refused |"
    rows = [
        f"| {one.name} | {one.hours:.0f} | ${one.hours * usd:,.0f} | {one.moves} | {one.waited:.2f} s "
        f"| {one.refused:.1%} |"
        for one in found
    ]
    return "\n".join([head_line, "|---|---:|---:|---:|---:|---:|", *rows]) + "\n"


def picture(settings: Settings, scene: Scene, found: Sequence[Line]) -> str:
    """Hosts at the left, nodes at the right, each beside the two that follow nothing; below, the requests that wait."""
    title = f"A day of {settings.group_size} to {settings.max_group_size} hosts; grey is what the load needs"
    hosts, nodes, *others = found
    most, height = settings.max_group_size, TOP + HEIGHT + GAP + LOW + GAP + 20
    queue = max(max(one.waiting) for one in found)
    parts = [
        *head(title, 2 * (WIDTH + LEFT) + 40, height, 13),
        f'<text x="{LEFT}" y="18" font-weight="bold">{title}</text>',
    ]
    for left, first in ((LEFT, hosts), (2 * LEFT + WIDTH, nodes)):
        shown = [*others, first]
        high = Panel(left, TOP, HEIGHT, most + 0.5)
        low = Panel(left, TOP + HEIGHT + GAP, LOW, 1.1 * queue)
        parts += [_load(scene, high), *_scales(high, range(most + 1)), *(_steps(high, one) for one in shown)]
        parts.append(f'<text x="{left}" y="{low.top - 8}">requests that wait</text>')
        parts += [*_scales(low, (0, round(queue))), *(_waiting(low, one) for one in shown)]
        parts += [
            f'<text x="{left + 150 * number}" y="{height - 8}" fill="{one.color}">{one.name}</text>'
            for number, one in enumerate([first, *others])
        ]
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True)
class Panel:
    """Where a day is drawn, from 0 to `most`."""

    left: int
    top: int
    height: int
    most: float

    def at(self, second: float, number: float) -> str:
        return f"{self.left + second / DAY * WIDTH:.0f},{self.top + self.height * (1 - number / self.most):.1f}"


def _scales(panel: Panel, numbers: Sequence[int]) -> Iterator[str]:
    for number in numbers:
        x, y = panel.at(0, number).split(",")
        yield f'<text x="{int(x) - 8}" y="{float(y) + 4:.1f}" text-anchor="end">{number}</text>'
    for hour in range(0, 25, 4):
        x, y = panel.at(hour * HOUR, 0).split(",")
        yield f'<text x="{x}" y="{float(y) + 18:.1f}" text-anchor="middle">{hour}:00</text>'


def _load(scene: Scene, panel: Panel) -> str:
    arriving, one = scene.day(), scene.rate_of(1)
    needs = " ".join(panel.at(now, arriving(now) / one) for now in range(0, DAY + 1, 10 * MINUTE))
    return f'<polygon points="{panel.at(0, 0)} {needs} {panel.at(DAY, 0)}" fill="#dddddd"/>'


def _steps(panel: Panel, one: Line) -> str:
    """With a corner before each change: hosts come at a moment, not little by little."""
    points = [panel.at(0, one.steps[0][1])]
    for (_, before), (at, number) in itertools.pairwise(one.steps):
        points += [panel.at(at, before), panel.at(at, number)]
    points.append(panel.at(DAY, one.steps[-1][1]))
    return f'<polyline points="{" ".join(points)}" fill="none" stroke="{one.color}" stroke-width="2"/>'


def _waiting(panel: Panel, one: Line) -> str:
    points = " ".join(panel.at((number + 0.5) * PART, waiting) for number, waiting in enumerate(one.waiting))
    return f'<polyline points="{points}" fill="none" stroke="{one.color}" stroke-width="2"/>'


def main(page: Path, svg: Path) -> None:
    settings, scene, found = lines()
    svg.write_text(picture(settings, scene, found))
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(before + BEGIN + table(settings, found) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
