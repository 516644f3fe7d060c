"""Draws a played day of hosts that follow the load, beside as many all day and business hours, for docs/scaling.md.

`python tools/scaling_day.py docs/scaling.md docs/scaling-day.svg`: the picture, and the table between the page's marks.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from rehearsal.played_scaling import MINUTE  # noqa: E402  (the tests' policies are not installed)
from rehearsal.scaling import DAY, HOUR, Course, Scene, day, play_day, play_sized  # noqa: E402
from tandem.catalog import prices  # noqa: E402
from tandem.ops.plot import head  # noqa: E402
from tandem.settings import Settings  # noqa: E402
from tests.rehearsal.declared_scaling import account_of, settings_of  # noqa: E402

BEGIN, END = "<!-- day -->\n", "<!-- end of day -->\n"
COLORS = {"followLoad": "#2f6fab", "business hours, 8 to 20": "#b5651d", "as many all day": "#777777"}
WIDTH, HEIGHT, LEFT, TOP, STEP = 760, 260, 50, 40, 30


def courses() -> tuple[Settings, Mapping[str, Course]]:
    """The day, by who says how many hosts there are."""
    settings, account = account_of(settings_of())
    most = settings.max_group_size
    return settings, {
        "followLoad": play_day(settings, account),
        "business hours, 8 to 20": play_sized(
            settings, account, lambda now: most if 8 * HOUR <= now % DAY < 20 * HOUR else 0
        ),
        "as many all day": play_sized(settings, account, lambda _now: most),
    }


def table(settings: Settings, found: Mapping[str, Course]) -> str:
    usd = prices.on_demand(settings.fleet.instance_types[0], settings.region)
    lines = ["| | hours of hosts | on demand | moves | waited, a request | refused |", "|---|---:|---:|---:|---:|---:|"]
    arriving = day(Scene(settings, account_of(settings_of())[1], 0), settings.max_group_size)
    requests = sum(arriving(now) * MINUTE for now in range(0, DAY, MINUTE))
    for name, course in found.items():
        waited = course.waited / (requests - course.refused)
        lines.append(
            f"| {name} | {course.host_hours:.0f} | ${course.host_hours * usd:,.0f} | {len(course.actions)} "
            f"| {waited:.2f} s | {course.refused / requests:.1%} |"
        )
    return "\n".join(lines) + "\n"


def picture(settings: Settings, found: Mapping[str, Course]) -> str:
    """Hosts in service over the hours, on what the load needs."""
    most = settings.max_group_size
    arriving = day(Scene(settings, account_of(settings_of())[1], 0), most)
    one = Scene(settings, account_of(settings_of())[1], 0).rate_of(1)

    def at(second: float, hosts: float) -> str:
        return f"{LEFT + second / DAY * WIDTH:.0f},{TOP + HEIGHT * (1 - hosts / (most + 0.5)):.1f}"

    needs = " ".join(at(now, arriving(now) / one) for now in range(0, DAY + 1, 10 * MINUTE))
    title = f"Hosts in service on a played day, {settings.group_size} to {most}; grey is what the load needs"
    parts = [
        *head(title, WIDTH + 80, TOP + HEIGHT + 60, 13),
        f'<text x="{LEFT}" y="22" font-weight="bold">{title}</text>',
        f'<polygon points="{at(0, 0)} {needs} {at(DAY, 0)}" fill="#dddddd"/>',
    ]
    for hosts in range(most + 1):
        x, y = at(0, hosts).split(",")
        parts.append(f'<text x="{int(x) - 10}" y="{float(y) + 4:.1f}" text-anchor="end">{hosts}</text>')
    for hour in range(0, 25, 4):
        x, y = at(hour * HOUR, 0).split(",")
        parts.append(f'<text x="{x}" y="{float(y) + 20:.1f}" text-anchor="middle">{hour}:00</text>')
    for number, (name, course) in enumerate(found.items()):
        steps = [look for look in course.looks if look.at % (2 * MINUTE) == 0]
        line = " ".join(
            at(look.at, look.serving)
            for before, look in zip([None, *steps], [*steps, None], strict=True)
            if look and (before is None or before.serving != look.serving or look is steps[-1])
        )
        parts.append(f'<polyline points="{_squared(line)}" fill="none" stroke="{COLORS[name]}" stroke-width="2"/>')
        parts.append(f'<text x="{LEFT + 210 * number}" y="{TOP + HEIGHT + 48}" fill="{COLORS[name]}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _squared(points: str) -> str:
    """With a corner before each change: hosts come at a moment, not little by little."""
    pairs = [point.split(",") for point in points.split()]
    corners = [pairs[0]]
    for before, now in itertools.pairwise(pairs):
        corners += [[now[0], before[1]], now]
    return " ".join(",".join(one) for one in corners)


def main(page: Path, svg: Path) -> None:
    settings, found = courses()
    svg.write_text(picture(settings, found))
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(before + BEGIN + table(settings, found) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
