"""JMESPath with the few functions that AWS's ways of writing things ask for."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jmespath
import jmespath.functions
import jmespath.visitor

from pulumi_rehearsal.aws.row import Text


class _Functions(jmespath.functions.Functions):
    @jmespath.functions.signature({"types": ["object", "null"]})
    def _func_pairs(self, mapping: dict[str, Any] | None) -> list[dict[str, Any]]:
        """{a: b} as [{Key: a, Value: b}]."""
        return [{"Key": key, "Value": value} for key, value in (mapping or {}).items()]

    @jmespath.functions.signature({"types": ["array", "null"]})
    def _func_mapping(self, pairs: list[dict[str, Any]] | None) -> dict[str, Any]:
        """[{Key: a, Value: b}] as {a: b}."""
        return {pair["Key"]: pair.get("Value") for pair in pairs or []}

    @jmespath.functions.signature({"types": ["array", "null"]}, {"types": ["array", "null"]})
    def _func_minus(self, left: list[Any] | None, right: list[Any] | None) -> list[Any]:
        """The elements of the first list that the second one lacks."""
        return [item for item in left or [] if item not in (right or [])]

    @jmespath.functions.signature({"types": ["array", "null"]}, {"types": ["object"]})
    def _func_find(self, items: list[dict[str, Any]] | None, wanted: dict[str, Any]) -> dict[str, Any] | None:
        """The first element with these members; a null in `wanted` does not count."""
        wanted = {key: value for key, value in wanted.items() if value is not None}
        return next((item for item in items or [] if all(item.get(key) == wanted[key] for key in wanted)), None)

    @jmespath.functions.signature({"types": []})
    def _func_text(self, value: Any) -> str | None:
        """A value as AWS writes attributes: `true`, `60`; null stays null."""
        if isinstance(value, bool):
            return str(value).lower()
        return None if value is None else str(value)

    @jmespath.functions.signature()
    def _func_now(self) -> float:
        """Seconds since 1970, where AWS wants something that was never used before."""
        return time.time()

    @jmespath.functions.signature({"types": ["string", "null"]})
    def _func_without_dot(self, name: str | None) -> str | None:
        """A domain name without the dot that Route 53 ends it with."""
        return name.rstrip(".") if name else None

    @jmespath.functions.signature({"types": ["string", "null"]})
    def _func_from_json(self, text: str | None) -> Any:
        return json.loads(text) if text else None

    @jmespath.functions.signature({"types": ["string", "null"]}, {"types": ["string"]}, {"types": ["number"]})
    def _func_part(self, text: str | None, separator: str, index: int) -> str | None:
        """The part of the text at `index`, when it is split at the separator; null when there is none."""
        parts = (text or "").split(separator)
        return parts[int(index)] if -len(parts) <= int(index) < len(parts) else None


_OPTIONS = jmespath.Options(custom_functions=_Functions())


def evaluate(expression: str, scope: Mapping[str, Any]) -> Any:
    """The value of an expression, or of a `Text`, for these names."""
    if isinstance(expression, Text):
        return expression.format_map(scope)
    return _compile(expression).search(scope, options=_OPTIONS)


@cache
def _compile(expression: str) -> Any:
    return jmespath.compile(expression)


@cache
def inputs_in(expression: str) -> frozenset[str]:
    """The inputs that an expression takes (`inputs.x`)."""
    return frozenset(_fields(_compile(expression).parsed)) if expression else frozenset()


def _fields(node: dict[str, Any]) -> Iterator[str]:
    children = node["children"]
    if node["type"] == "subexpression" and children[0]["type"] == "field" and children[0]["value"] == "inputs":
        first = children[1]
        while first["children"]:  # `inputs.a[0]` holds the field below an index
            first = first["children"][0]
        yield first["value"]
    for child in children:
        yield from _fields(child)
