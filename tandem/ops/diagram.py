"""A picture of a stack: its components, what is in each, which needs which. Pure: what an engine declared in, SVG out.

From the engine's graph and not from the program's text, so that it shows what there is: a further model, a firewall, no
NAT gateway. Names and types only; an input, and so a secret, is in none of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from html import escape
from typing import Any

from tandem.ops.plot import head

OURS = "tandem:"
"""Type tokens of components begin so."""
ENGINE_TYPES = ("pulumi:providers:", "pulumi:pulumi:Stack")
SHOWN = 4
"""Kinds of resources that a box names; the rest is a number."""

_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#7a8794"/></marker></defs>'
)
_WIDTH, _LINE, _ACROSS, _DOWN, _MARGIN, _TOP = 210, 16, 70, 22, 20, 46


@dataclass(frozen=True)
class Declared:
    """One resource, as an engine knows it.

    Attributes:
        needs: URNs of what it is made of or waits for.
    """

    urn: str
    needs: Sequence[str]


@dataclass(frozen=True)
class Box:
    """A component, or a resource outside of all.

    Attributes:
        name: its type's last part.
        holds: how many resources of each type.
        alone: the name of a resource outside of all components.
    """

    name: str
    holds: Mapping[str, int]
    alone: str = ""

    @property
    def lines(self) -> list[str]:
        """What is in it, the most numerous first."""
        if self.alone:
            return [self.alone]
        kinds = sorted(self.holds.items(), key=lambda one: (-one[1], one[0]))
        named = [f"{count} {kind}" if count > 1 else kind for kind, count in kinds[:SHOWN]]
        rest = sum(count for _, count in kinds[SHOWN:])
        return [*named, *([f"and {rest} more"] if rest else [])]

    @property
    def height(self) -> int:
        return _LINE * (len(self.lines) + 1) + 12


def of_state(resources: Iterable[Mapping[str, Any]]) -> list[Declared]:
    """From the resources of `pulumi stack export`; those that a replacement has still to remove are not there."""
    return [Declared(one["urn"], one.get("dependencies") or ()) for one in resources if not one.get("delete")]


def boxes(declared: Iterable[Declared]) -> tuple[dict[str, Box], dict[str, set[str]]]:
    """Each box by a key, and the keys of those that it needs."""
    resources = [one for one in declared if not _type(one.urn).startswith(ENGINE_TYPES)]
    keys = {one.urn: _key(one.urn) for one in resources}
    holds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    needs: defaultdict[str, set[str]] = defaultdict(set)
    for one in resources:
        key, kind = keys[one.urn], _type(one.urn)
        holds[key].update(() if kind.startswith(OURS) else [kind.rpartition(":")[2]])
        needs[key] |= {keys[urn] for urn in one.needs if urn in keys} - {key}
    made = {key: Box(_title(key), counts, key.partition("::")[2]) for key, counts in holds.items()}
    return made, {key: needs[key] for key in holds}


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _key(urn: str) -> str:
    """The innermost component's type, or the resource itself."""
    types = urn.split("::")[2].split("$")
    ours = [one for one in types if one.startswith(OURS)]
    if not ours:
        return f"{types[-1]}::{urn.split('::')[3]}"
    return ours[-1]


def _title(key: str) -> str:
    return key.partition("::")[0].rpartition(":")[2]


def columns(needs: Mapping[str, Set[str]]) -> list[list[str]]:
    """Boxes from left to right, each right of all that it needs; where two need each other, one of them waits."""
    depth: dict[str, int] = {}

    def right_of(key: str, under: Set[str]) -> int:
        if key not in depth:
            before = [right_of(other, under | {key}) for other in sorted(needs[key]) if other not in under | {key}]
            depth[key] = 1 + max(before, default=-1)
        return depth[key]

    for key in sorted(needs):
        right_of(key, set())
    found: list[list[str]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for key in sorted(depth):
        found[depth[key]].append(key)
    return found


def direct(needs: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    """Without what another need brings anyhow."""

    def all_of(key: str, seen: set[str]) -> set[str]:
        for other in needs[key] - seen:
            seen.add(other)
            all_of(other, seen)
        return seen

    below = {key: all_of(key, set()) - {key} for key in needs}

    def brought(one: str, others: Set[str]) -> bool:
        """Another brings it, and not the other way round as well."""
        return any(one in below[other] and other not in below[one] for other in others - {one})

    return {
        key: {one for one in mine if not brought(one, {other for other in mine if key not in below[other]})}
        for key, mine in needs.items()
    }


def svg(title: str, declared: Iterable[Declared]) -> str:
    """The picture."""
    made, needs = boxes(declared)
    placed, height = _places(columns(needs), made)
    width = max((x for x, _ in placed.values()), default=0) + _WIDTH + _MARGIN
    number = sum(sum(box.holds.values()) for box in made.values())
    caption = f"{title}: {number} resources; an arrow leads from what is there first to what needs it"
    lines = [
        *head(caption, width, height, 12, _TIP),
        f'<text x="{_MARGIN}" y="24" font-size="14" font-weight="bold">{escape(caption)}</text>',
    ]
    for key, others in sorted(direct(needs).items()):
        lines += [_arrow(placed[other], made[other], placed[key], made[key]) for other in sorted(others)]
    for key, box in sorted(made.items()):
        lines += _drawn(placed[key], box)
    return "\n".join([*lines, "</svg>", ""])


def _places(rows: Sequence[Sequence[str]], made: Mapping[str, Box]) -> tuple[dict[str, tuple[int, int]], int]:
    """Upper left corners by key, columns centred on one line; and the height of it all."""
    heights = [sum(made[key].height for key in column) + _DOWN * (len(column) - 1) for column in rows]
    height = max(heights, default=0) + _TOP + _MARGIN
    placed: dict[str, tuple[int, int]] = {}
    for number, column in enumerate(rows):
        y = _TOP + (height - _TOP - _MARGIN - heights[number]) // 2
        for key in column:
            placed[key] = (_MARGIN + number * (_WIDTH + _ACROSS), y)
            y += made[key].height + _DOWN
    return placed, height


def _arrow(start: tuple[int, int], first: Box, end: tuple[int, int], then: Box) -> str:
    (x, y), (x2, y2) = start, end
    y, y2 = y + first.height // 2, y2 + then.height // 2
    back = x >= x2  # two that need each other
    x, x2 = (x, x2 + _WIDTH) if back else (x + _WIDTH, x2)
    bend = -40 if back else max(40, (x2 - x) // 2)
    path = f"M{x} {y}C{x + bend} {y} {x2 - bend} {y2} {x2} {y2}"
    return f'<path d="{path}" fill="none" stroke="#7a8794" stroke-width="1.2" marker-end="url(#tip)"/>'


def _drawn(corner: tuple[int, int], box: Box) -> list[str]:
    x, y = corner
    texts = [
        f'<text x="{x + 10}" y="{y + 18 + _LINE * (number + 1)}" fill="#44505c">{escape(line)}</text>'
        for number, line in enumerate(box.lines)
    ]
    return [
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{box.height}" rx="6" fill="#eef3f8" stroke="#2f6fab"/>',
        f'<text x="{x + 10}" y="{y + 18}" font-weight="bold">{escape(box.name)}</text>',
        *texts,
    ]
