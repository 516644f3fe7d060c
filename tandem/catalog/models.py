"""Open models that people serve: shape, licence, gate. The data is models.json; add a model there, with its source.

Revision hashes are not here: `tandem pin` looks them up and writes images/pins.toml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from pathlib import Path

from tandem.errors import Problem


@dataclass(frozen=True, kw_only=True)
class CatalogModel:
    """One model.

    Attributes:
        id: its repository on the hub.
        licence: as the maker names it.
        gated: weights need an account that accepted the terms, and its token.
        source: where the config comes from.
        config: the part of config.json that decides memory.
        note: what to know before using it.
    """

    id: str
    licence: str
    gated: bool
    source: str
    read_on: date
    config: Mapping[str, object]
    note: str = ""


def _load() -> dict[str, CatalogModel]:
    data = json.loads(Path(__file__).with_suffix(".json").read_text())
    read_on = date.fromisoformat(data["read_on"])
    return {
        entry["id"]: CatalogModel(
            id=entry["id"],
            licence=entry["licence"],
            gated=entry["gated"],
            source=f"{data['source']}: {entry['file']}",
            read_on=read_on,
            config=entry["config"],
            note=entry.get("note", ""),
        )
        for entry in data["models"]
    }


MODELS = _load()


def unknown_model_problem(key: str, model: str) -> Problem:
    """The problem to report for a model that the catalog lacks, where one is needed."""
    close = get_close_matches(model, MODELS, n=3, cutoff=0.5)
    return Problem(
        key=key,
        wrong="this model is not in the catalog, so its shape is not known without its config.json",
        value=model,
        allowed=", ".join(close or MODELS),
        fix="give its config.json with --config PATH, or add it to tandem/catalog/models.json with its source",
    )
