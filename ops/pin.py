"""Fills the empty pins of images/pins.toml, keeping its comments: by look-up, or with placeholders for a rehearsal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Table

PLACEHOLDER_DIGEST = f"sha256:{'0' * 64}"
PLACEHOLDER_REVISION = "0" * 40
PLACEHOLDER_MACHINE_IMAGE = f"ami-{'0' * 17}"
PLACEHOLDER_VERSION = "0.0.0"


@dataclass(frozen=True)
class Slot:
    """One pin in the file.

    Attributes:
        key: as a person would name it, `models."Qwen/Qwen3-8B".revision`.
        table: the part of the document that holds it; `resolved` and `source` stand beside the pin.
        field: the pin's key in that table.
        placeholder: what stands for it where nothing is looked up.
    """

    key: str
    table: Table | InlineTable | Any
    field: str
    placeholder: str

    @property
    def value(self) -> str:
        return str(self.table[self.field])


def slots(document: tomlkit.TOMLDocument | Any) -> Iterator[Slot]:
    """Every pin that can be looked up, in the order of the file."""
    yield Slot("vllm.digest", document["vllm"], "digest", PLACEHOLDER_DIGEST)
    for name in ("nvidia_driver", "container_toolkit", "docker"):
        yield Slot(f"{name}.version", document[name], "version", PLACEHOLDER_VERSION)
    for kind, images in document["machine_image"].items():
        if kind == "default":
            continue
        for region, image in images.get("regions", {}).items():
            yield Slot(f"machine_image.{kind}.regions.{region}.id", image, "id", PLACEHOLDER_MACHINE_IMAGE)
    for model, revision in document["models"].items():
        yield Slot(f'models."{model}".revision', revision, "revision", PLACEHOLDER_REVISION)


def add_rows(document: tomlkit.TOMLDocument | Any, *, regions: Iterable[str] = (), models: Iterable[str] = ()) -> None:
    """Adds an empty pin for each region and model that the file does not list yet."""
    for kind, images in document["machine_image"].items():
        if kind != "default":
            _add(images["regions"], regions, "id")
    _add(document["models"], models, "revision")


def _add(table: Any, keys: Iterable[str], field: str) -> None:
    for key in keys:
        if key not in table:
            row = tomlkit.inline_table()
            row[field] = ""
            table[key] = row


def fill_placeholders(text: str, *, regions: Iterable[str] = (), models: Iterable[str] = ()) -> tuple[str, list[str]]:
    """Fills what is empty in a scratch copy of the pins with values that nobody takes for real ones (all zeros).

    Args:
        text: content of a pins file.
        regions, models: rows to add where the file does not list them.

    Returns:
        The new text, and the key of each pin that is now a placeholder.
    """
    document = tomlkit.parse(text)
    add_rows(document, regions=regions, models=models)
    empty = [slot for slot in slots(document) if not slot.value]
    for slot in empty:
        slot.table[slot.field] = slot.placeholder
    return tomlkit.dumps(document), [slot.key for slot in empty]
