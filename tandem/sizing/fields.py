"""Reads fields of a config.json: the right kind, a possible size, and an error that says which field is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tandem.errors import UserError

_COMPARE = "compare with the config.json in the model's repository; a download may have broken off"

LARGEST = {
    "layers": 1024,
    "hidden": 262_144,
    "heads": 4096,
    "vocabulary": 8_388_608,
    "experts": 65_536,
    "tokens": 1_073_741_824,
}
"""Above these a number is a mistake, not a model. The largest open models are below a tenth of each."""


@dataclass(frozen=True)
class Fields:
    """The fields of one object in a config.json; `place` names the object in messages."""

    values: Mapping[str, object]
    place: str = "config.json"

    def problem(self, key: str, wrong: str, value: object = None, allowed: str = "") -> UserError:
        """The error for this field."""
        return UserError.of(key=f"{self.place}: {key}", wrong=wrong, value=value, allowed=allowed, fix=_COMPARE)

    def has(self, key: str) -> bool:
        """The field is there and not null."""
        return self.values.get(key) is not None

    def count(self, *keys: str, largest: str = "hidden", default: int | None = None, zero: bool = False) -> int:
        """A whole number under the first of these names that is there.

        Args:
            largest: key of LARGEST.
            default: for a field that is not there; None makes the field compulsory.
            zero: 0 is a value too.
        """
        key = next((name for name in keys if self.has(name)), None)
        if key is None:
            if default is None:
                raise self.problem(" or ".join(keys), "is missing, and memory cannot be worked out without it")
            return default
        value = self.values[key]
        least = 0 if zero else 1
        allowed = f"a whole number from {least} to {LARGEST[largest]}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.problem(key, "is not a whole number", value, allowed)
        if not least <= value <= LARGEST[largest]:
            raise self.problem(key, "is not a size that a model can have", value, allowed)
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """true or false."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.problem(key, "is neither true nor false", value, "true or false")
        return value

    def text(self, key: str, default: str = "") -> str:
        """A string."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.problem(key, "is not a string", value, "a string")
        return value

    def share(self, key: str, default: float = 1.0) -> float:
        """A number above 0 and up to 1."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
            raise self.problem(key, "is not a share", value, "more than 0, up to 1")
        return float(value)

    def names(self, key: str, length: int) -> list[str] | None:
        """A list of one string for each layer; None when the field is not there."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.problem(key, "is not a list of strings", value)
        if len(value) < length:
            raise self.problem(
                key, f"names {len(value)} layers, but num_hidden_layers is {length}", len(value), f"{length} entries"
            )
        return value[:length]

    def part(self, key: str) -> Fields | None:
        """A nested object; None when it is not there."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.problem(key, "is not an object", value, "{...}")
        return Fields(value, f"{self.place}: {key}")
