"""YAML as the engine reads it, so that a stack file says the same to it and to `tandem`."""

from __future__ import annotations

import re
from typing import Any

import yaml

_TEXT = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$")


class _Loader(yaml.SafeLoader):
    """The engine's reading, of YAML 1.2: 20:00 is text, where 1.1 has 1200, and no key may be there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [("tag:yaml.org,2002:str", _TEXT), *resolvers] if first in "+-0123456789" else resolvers
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(text: str) -> Any:
    """What a YAML document holds.

    Raises:
        yaml.YAMLError: it is none, or a key is there twice.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506, a SafeLoader
