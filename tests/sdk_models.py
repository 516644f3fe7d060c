"""What the SDK's models, which AWS publishes, say of an answer."""

from __future__ import annotations

from typing import Any

from botocore.model import ListShape, MapShape, StringShape, StructureShape


def complete(shape: Any, value: Any, path: str = "") -> None:
    """Fails where a member that is always there is not, and where a word is none that the model lists."""
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            assert name in value, f"{path}.{name}"
        for name, item in value.items():
            if name in shape.members:
                complete(shape.members[name], item, f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for item in value:
            complete(shape.member, item, path)
    elif isinstance(shape, MapShape):
        for name, item in value.items():
            complete(shape.value, item, f"{path}.{name}")
    elif isinstance(shape, StringShape) and shape.enum:
        assert value in shape.enum, f"{path}: {value}"
