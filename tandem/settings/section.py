"""The base of every section of the settings."""

from __future__ import annotations

import typing
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel


class Section(BaseModel):
    """Frozen, camelCase outside, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, defer_build=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """As it is to pydantic: `maxUsd: true` would be one dollar."""
        if isinstance(value, bool) and _of_numbers(cls.model_fields[info.field_name or ""].annotation):
            raise ValueError("true and false are no numbers")
        return value


def _of_numbers(annotation: Any) -> bool:
    """Whether a field holds a number, or one of some."""
    return annotation in (int, float) or type(annotation) is int or any(map(_of_numbers, typing.get_args(annotation)))
