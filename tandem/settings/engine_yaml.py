"""YAML as the engine reads it, so that a stack file says the same to it and to `tandem`."""

from __future__ import annotations

import re
from typing import Any

import yaml

_TEXT = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$")


_MOST = 1_000_000
"""Values that aliases may make of a document; each doubles what it names, and so a few lines any number."""


class _Loader(yaml.SafeLoader):
    """The engine's reading, of YAML 1.2: 20:00 is text, where 1.1 has 1200, no key may be there twice, and nothing may
    hold itself."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._unfinished: set[str | None] = set()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) and event.anchor in self._unfinished:
            raise yaml.MarkedYAMLError(problem=f"{event.anchor} holds itself", problem_mark=event.start_mark)
        self._unfinished.add(event.anchor)
        node = super().compose_node(parent, index)
        self._unfinished.discard(event.anchor)
        return node

    def get_single_node(self) -> yaml.Node | None:
        node, sizes = super().get_single_node(), dict[int, int]()
        if node and (size := _size(node, sizes)) > max(_MOST, len(sizes)):
            raise yaml.YAMLError(f"its aliases make it {size:,} values, of {_MOST:,} at most")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is not one word", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [("tag:yaml.org,2002:str", _TEXT), *resolvers] if first in "+-0123456789" else resolvers
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    if id(node) not in known:
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for one in below for part in (one if isinstance(one, tuple) else (one,)))
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def parse(text: str) -> Any:
    """What a YAML document holds.

    Raises:
        yaml.YAMLError: it is none, a key is there twice, something holds itself, or is nested hundreds deep.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506, a SafeLoader
    except RecursionError:
        raise yaml.YAMLError("it is nested too deep") from None
