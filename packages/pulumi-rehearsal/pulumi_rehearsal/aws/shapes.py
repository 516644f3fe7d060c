"""Between Pulumi's properties and AWS's parameters: the same trees, spelled differently.

`cidrBlock` is `CidrBlock`, `vpcZoneIdentifiers` is a comma-separated `VPCZoneIdentifier`: names are matched without
regard to case and to a final `s`, with botocore's service model on one side and pulumi_aws's types on the other.
What does not match is named in the row, or it is an error.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.model import ListShape, MapShape, StructureShape

from pulumi_rehearsal.aws.schema import element, fields
from pulumi_rehearsal.wire import contains_unknown, unknown

Names = Mapping[str, str]


class UnmappedError(Exception):
    """A property has no place in the AWS request."""


def place(key: str, members: Collection[str], names: Names, path: str) -> str | None:
    """Which of AWS's members a property is: the one that the row names, else the one of the same name, else None."""
    if names.get(path) in members:
        return names[path]
    by_name = {_plain(name): name for name in members}
    plain = _plain(key)
    return by_name.get(plain) or by_name.get(plain + "s") or by_name.get(plain.removesuffix("s"))


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def to_params(shape: Any, value: Any, names: Names, path: str = "") -> Any:
    """A property value as the AWS request of this shape wants it.

    Raises:
        UnmappedError: a property has no member there; the message is its path.
    """
    if value is unknown:
        return value
    if isinstance(shape, StructureShape):
        if isinstance(value, list):
            value = value[0] if value else {}
        return _structure(shape, value, names, path)
    if isinstance(shape, ListShape):
        if isinstance(value, dict) and (pair := _pair(shape)):
            return [{pair: key, "Value": item} for key, item in value.items()]
        values = value if isinstance(value, list) else [value]
        return [to_params(shape.member, item, names, path) for item in values if item is not None]
    if isinstance(shape, MapShape):
        return {key: to_params(shape.value, item, names, path) for key, item in value.items() if item is not None}
    return _scalar(shape.type_name, value)


def _structure(shape: StructureShape, value: Mapping[str, Any], names: Names, path: str) -> dict[str, Any]:
    members: Any = shape.members
    params: dict[str, Any] = {}
    for key, item in value.items():
        at = f"{path}.{key}" if path else key
        if item is None:
            continue
        name = place(key, members, names, at)
        if name is None:
            raise UnmappedError(at)
        params[name] = to_params(members[name], item, names, at)
    return params


def _pair(shape: Any) -> str | None:
    """AWS writes maps as lists of Key (or Name) and Value."""
    members = set(getattr(shape.member, "members", ()))
    return next((key for key in ("Key", "Name") if members == {key, "Value"}), None)


def _scalar(kind: str, value: Any) -> Any:
    if contains_unknown(value):
        return unknown
    if kind == "string":
        if isinstance(value, list):
            return ",".join(value)
        return str(value).lower() if isinstance(value, bool) else str(value)
    if kind == "boolean":
        return value.lower() == "true" if isinstance(value, str) else bool(value)
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "blob":
        return value.encode() if isinstance(value, str) else value
    return value


def from_found(kind: Any, value: Any, names: Names, path: str = "") -> Any:
    """What AWS describes, as a property of this Python type; None when it does not fit."""
    shape, inner = element(kind)
    if value is None:
        return None
    if shape == "list":
        if isinstance(value, str):
            value = [part for part in value.split(",") if part]
        values = value if isinstance(value, list) else [value]
        return [from_found(inner, item, names, path) for item in values]
    if shape == "map":
        if isinstance(value, list):
            value = {item.get("Key", item.get("Name")): item.get("Value") for item in value}
        return {key: from_found(inner, item, names, path) for key, item in value.items()} if _is_map(value) else None
    if shape == "object":
        if isinstance(value, list):
            value = value[0] if value else None
        return _object(inner, value, names, path) if _is_map(value) else None
    return _read_scalar(inner, value)


def _object(kind: Any, value: Mapping[str, Any], names: Names, path: str) -> dict[str, Any]:
    found = {}
    for key, inner in (fields(kind) or {}).items():
        at = f"{path}.{key}" if path else key
        name = place(key, value, names, at)
        item = from_found(inner, value.get(name), names, at) if name else None
        if item is not None:
            found[key] = item
    return found


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _read_scalar(kind: Any, value: Any) -> Any:
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if kind is str and isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.decode()
    if kind is str and isinstance(value, dict):
        return json.dumps(value)
    if kind is bool and isinstance(value, str):
        return value.lower() == "true"
    if value is None or isinstance(value, dict):
        return None
    try:
        if isinstance(value, datetime):
            return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return kind(value)
    except (TypeError, ValueError):
        return None


def agrees(given: Any, found: Any) -> bool:
    """Whether what was asked for is what is there.

    AWS adds defaults, reorders lists, writes numbers as text and leaves out what is empty; none of that counts.
    """
    if isinstance(given, dict) and isinstance(found, dict):
        return all(None in (value, found.get(key)) or agrees(value, found[key]) for key, value in given.items())
    if isinstance(given, list) and isinstance(found, list):
        rest = list(found)
        for item in given:
            match = next((other for other in rest if agrees(item, other)), None)
            if match is None:
                return False
            rest.remove(match)
        return not rest
    if given in (None, "", [], {}) and found in (None, "", [], {}, False):
        return True
    return _text(given) == _text(found) or _number(given) == _number(found) is not None


def unseen(given: Any, found: Any, path: str) -> list[str]:
    """The paths at which something was given and nothing like it is found."""
    if given in (None, [], {}, ""):
        return []
    if isinstance(given, dict) and isinstance(found, dict):
        return [miss for key, value in given.items() for miss in unseen(value, found.get(key), f"{path}.{key}")]
    if isinstance(given, list) and isinstance(found, list) and len(given) == len(found):
        rest = list(found)
        missing = []
        for item in given:
            match = next((other for other in rest if agrees(item, other)), rest[0])
            rest.remove(match)
            missing += unseen(item, match, f"{path}[]")
        return missing
    return [] if agrees(given, found) else [path]


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    if text.startswith(("{", "[")):
        try:
            return json.dumps(json.loads(text), sort_keys=True)
        except ValueError:
            return text
    return text
