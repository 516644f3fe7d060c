"""What a query of Prometheus relies on, held against what servers answer: names, labels, values, bounds of buckets.

Pure; the grammar is promql-parser's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

OWN = {"up"}
"""Series that Prometheus makes itself, of each target."""

Exposed = Mapping[str, Mapping[str, set[str]]]
"""Name of a series to its labels, each with the values that it has."""


def exposed(text: str) -> Exposed:
    """What an answer to a scrape has."""
    found: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found[sample.name]
            for label, value in sample.labels.items():
                labels[label].add(value)
    return found


@dataclass(frozen=True)
class Selector:
    """Whose series are asked for: a name, and what their labels must be."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]


def selectors(query: str) -> Iterator[Selector]:
    """All of a query; a name inside of braces, or none, is nothing of ours and raises."""
    for node in _nodes(query):
        if isinstance(node, promql_parser.VectorSelector):
            if not node.name or node.matchers.or_matchers:
                raise ValueError(f"no plain selector: {node.prettify()}")
            yield Selector(node.name, tuple((one.name, str(one.op), one.value) for one in node.matchers.matchers))


def grouped(query: str) -> set[str]:
    """Labels by which a query groups, or joins."""
    modifiers = [getattr(node, "modifier", None) for node in _nodes(query)]
    found = [getattr(one, "matching", one) for one in modifiers if one]
    return {label for one in found if one for label in one.labels}


def _nodes(query: str) -> list[Any]:
    nodes: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), nodes.append)
    # A range has its selector inside, where a walk does not go.
    return nodes + [node.vector_selector for node in nodes if isinstance(node, promql_parser.MatrixSelector)]


def broken(query: str, found: Exposed, added: Mapping[str, str]) -> Iterator[str]:
    """Each thing that a query relies on and that is not there, by its name.

    Args:
        added: labels that a scrape adds to all series, with their values.
    """
    known: set[str] = set(added)
    for selector in selectors(query):
        if selector.name not in {*found, *OWN}:
            yield f"{selector.name}: no such series"
            continue
        labels = {**found.get(selector.name, {}), **{label: {value} for label, value in added.items()}}
        known |= labels.keys()
        for label, op, value in selector.matchers:
            if label not in labels:
                yield f"{selector.name}: no label {label}"
            elif not any(_matches(label, op, value, one) for one in labels[label]):
                yield f'{selector.name}: no {label}="{value}" among {", ".join(sorted(labels[label]))}'
    yield from (f"no label {label} to group by" for label in sorted(grouped(query) - known))


def _matches(label: str, op: str, value: str, there: str) -> bool:
    """A bound is a number, however it is written."""
    if op == "MatchOp.Equal":
        return value == there or (label == "le" and float(value) == float(there))
    if op == "MatchOp.Re":
        return re.fullmatch(value, there) is not None
    raise ValueError(f"what does not match is held by nothing: {op}")
