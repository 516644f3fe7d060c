"""What load tests found, as the project keeps it: `loads/STACK.json`, the newest last. Pure but for the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

DIRECTORY = "loads"
MEASUREMENTS = "measurements.json"
"""In it, what `tandem size` reads: rows like those of tandem/catalog/measurements.json."""
KEPT = 20
"""So many are kept of a stack: enough to see a trend, and a file that a reviewer can read."""


@dataclass(frozen=True)
class Load:
    """One load test.

    Attributes:
        at: when it ended.
        kept: whether the objectives held, at the wanted rate where one was wanted.
        rate: requests a second, the most that held them; None where none did.
        document: all of it, as it stands in the file.
    """

    at: datetime
    kept: bool
    rate: float | None
    document: Mapping[str, Any]


def path_of(project: Path, name: str) -> Path:
    """The file of a stack, or of a host that was named by its URL."""
    return project / DIRECTORY / f"{name}.json"


def read(path: Path) -> list[Load]:
    """The load tests of a file, the newest last; none where there is no file.

    Raises:
        ValueError: it is no such file.
    """
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["loads"]
        return [Load(datetime.fromisoformat(one["at"]), bool(one["kept"]), one["rate"], one) for one in found]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no load tests: {error}") from None


def newest(project: Path, name: str) -> Load | None:
    """The last load test of a stack; None where it never had one."""
    return next(reversed(read(path_of(project, name))), None)


def added(path: Path, document: Mapping[str, Any]) -> str:
    """The text of the file with one more."""
    documents = [*(one.document for one in read(path)), document][-KEPT:]
    return json.dumps({"loads": documents}, indent=1) + "\n"
