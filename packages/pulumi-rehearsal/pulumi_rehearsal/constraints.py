"""What AWS's own models, which botocore ships, allow in a request: members, lengths, ranges, words and patterns.

botocore itself holds a request against types, minima and required members only; the rest AWS refuses.

Stands for: the validation that every AWS service makes before it looks at a request.
Held by: tests/test_constraints.py::test_each_kind_is_refused_in_aws_s_words (botocore's models; the
    words are those of refusals in bug reports).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import regex
from botocore.exceptions import ClientError

_CODES = {"ec2": "InvalidParameterValue", "query": "ValidationError", "rest-xml": "ValidationError"}
"""What a refusal is called, by protocol; ValidationException elsewhere."""


def initialize_client_plugin(client: Any) -> None:
    """Holds each call of a boto3 client, before it is sent. botocore's entry point."""
    client.meta.events.register_last("before-parameter-build", _hold)


def _hold(params: Any, model: Any, **_: Any) -> None:
    if found := list(violations(model.input_shape, params)):
        code = _CODES.get(model.service_model.metadata["protocol"], "ValidationException")
        errors = f"{len(found)} validation error{'s'[: len(found) > 1]} detected: "
        error = {"Error": {"Code": code, "Message": errors + "; ".join(found)}}
        raise ClientError(error, model.name)  # pyright: ignore[reportArgumentType]


def violations(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """All that the model of a request does not allow, in AWS's words.

    Args:
        shape: botocore's.
        value: parameters as boto3 takes them; those of a wrong type are left to botocore.
        path: of the value, as AWS writes it: `tags.1.member.key`.
    """
    if shape is None:
        return
    own = [f"Member must {rule}" for rule in _broken(shape, value)]
    if own:
        shown = "" if shape.metadata.get("sensitive") else f" '{value}'"
        yield from (f"Value{shown} at '{path}' failed to satisfy constraint: {rule}" for rule in own)
    for name, inner, item in _below(shape, value):
        yield from violations(inner, item, f"{path}.{name}" if path else name)
    for name in getattr(shape, "required_members", ()):
        if isinstance(value, dict) and value.get(name) is None:
            at = f"{path}.{_small(name)}" if path else _small(name)
            yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"


def _below(shape: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """(name, shape, value) of what a value has in it."""
    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members
        yield from ((_small(name), members[name], item) for name, item in value.items() if name in members)
    elif shape.type_name == "list" and isinstance(value, list | tuple):
        yield from ((f"{number}.member", shape.member, item) for number, item in enumerate(value, 1))
    elif shape.type_name == "map" and isinstance(value, dict):
        for key, item in value.items():
            yield "key", shape.key, key
            yield f"{key}.member", shape.value, item


def _small(name: str) -> str:
    return name[0].lower() + name[1:]


def _broken(shape: Any, value: Any) -> Iterator[str]:
    limits, kind = shape.metadata, shape.type_name
    size, noun = None, "length"
    if kind in ("list", "map", "string", "blob") and hasattr(value, "__len__"):
        size = len(value)
    elif kind in ("integer", "long", "float", "double") and isinstance(value, int | float):
        size, noun = value, "value"
    if size is not None and size < limits.get("min", size):
        yield f"have {noun} greater than or equal to {limits['min']}"
    if size is not None and size > limits.get("max", size):
        yield f"have {noun} less than or equal to {limits['max']}"
    if kind == "string" and isinstance(value, str):
        if "enum" in limits and value not in limits["enum"]:
            yield f"satisfy enum value set: [{', '.join(limits['enum'])}]"
        if "pattern" in limits and not _compiled(limits["pattern"]).fullmatch(value):
            yield f"satisfy regular expression pattern: {limits['pattern']}"


@cache
def _compiled(pattern: str) -> Any:
    """Java's dialect: `\\w` is of ASCII, `\\p{L}` is not, and characters above U+FFFF are pairs."""
    flags = 0 if r"\p{" in pattern else regex.ASCII
    return regex.compile(pattern.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"), flags)
