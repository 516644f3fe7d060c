"""Where pinned charts lie once they were fetched. Apart from who fetches: a plan whose charts are there asks nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from tandem.files import PROJECT
from tandem.pins import Chart

DIRECTORY = PROJECT / "build" / "charts"


def digest_of(archive: bytes) -> str:
    """As pins have it."""
    return f"sha256:{hashlib.sha256(archive).hexdigest()}"


def file_of(chart: Chart, name: str) -> Path:
    """Where a pinned chart lies once it was fetched: other bytes are another file, which a plan shows."""
    return DIRECTORY / chart.digest.removeprefix("sha256:")[:12] / f"{name}-{chart.version}.tgz"


def lacking(charts: Mapping[str, Chart]) -> dict[str, Chart]:
    """Those with a digest whose bytes are not in their place."""

    def there(chart: Chart, file: Path) -> bool:
        return file.is_file() and digest_of(file.read_bytes()) == chart.digest

    return {name: one for name, one in charts.items() if one.digest and not there(one, file_of(one, name))}
