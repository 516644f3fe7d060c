"""Property values on the wire between the Pulumi engine and a provider: protobuf structs to plain Python and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

Properties = dict[str, Any]

# sdk/go/common/resource/plugin/rpc.go and sdk/go/common/resource/sig in pulumi v3.255.0
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (marks a secret, is none)
_UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS = {
    _UNKNOWN_STRING,
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
    "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
    "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
    "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
    "e48ece36-62e2-4504-bad9-02848725956a",  # archive
    "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
}


@final
class Unknown:
    """A value that only an update will tell, as the engine sends during a preview. There is one, `unknown`."""

    def __repr__(self) -> str:
        return "unknown"

    # the evaluation of a table's expressions copies values; the sentinel must stay the same object
    def __copy__(self) -> Unknown:
        return self

    def __deepcopy__(self, _memo: object) -> Unknown:
        return self


unknown: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the engine keeps encrypted in the state."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(...)"


def decode(struct: Struct) -> Properties:
    """The properties as plain Python. Whole numbers become `int`, secrets their value, unknown values `unknown`."""
    return _decode(MessageToDict(struct))


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return _decode(value["value"])
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return unknown if isinstance(value, str) and value in _UNKNOWNS else value


def encode(properties: Mapping[str, Any]) -> Struct:
    """The reverse of `decode`; properties that are None are left out, since absent is what the engine calls null."""
    struct = Struct()
    struct.update({key: _encode(value) for key, value in properties.items() if value is not None})
    return struct


def _encode(value: Any) -> Any:
    if value is unknown:
        return _UNKNOWN_STRING
    if isinstance(value, Secret):
        return {_SIGNATURE: _SECRET, "value": _encode(value.value)}
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encode(item) for item in value]
    return value


def contains_unknown(value: Any) -> bool:
    """Whether any part of the value is unknown."""
    if isinstance(value, Mapping):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(contains_unknown(item) for item in value)
    return value is unknown
