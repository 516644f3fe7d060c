"""Where pinned charts lie once they were fetched. Apart from who fetches: a plan whose charts are there asks nobody."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tandem.files import PROJECT
from tandem.pins import Chart

DIRECTORY = PROJECT / "build" / "charts"
VALUES = {"default", "enum", "example"}
"""Of a schema: what is in them is data."""


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


def definitions(chart: Chart, name: str) -> list[dict[str, Any]]:
    """The CRDs in a chart's own crds/, without those of its dependencies; none of a chart that was not fetched.

    Without what describes fields: of LeaderWorkerSet's two CRDs that is four fifths of 1.3 MB. The engine keeps each in
    its state three times, and writes all that is below a field into its log, for every field.
    """
    file = file_of(chart, name)
    if not file.is_file():
        return []
    with tarfile.open(file) as archive:
        members = (one for one in archive if one.isfile() and one.name.startswith(f"{name}/crds/"))
        found = (document for one in members for document in _documents(archive, one))
        return [_undescribed(one) for one in found if one.get("kind") == "CustomResourceDefinition"]


def _documents(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[dict[str, Any]]:
    """Of a file that Helm takes for manifests; beside them lie texts, and what builds them."""
    file = archive.extractfile(member)
    if file and member.name.endswith((".yaml", ".yml", ".json")):
        yield from filter(None, yaml.load_all(file.read(), yaml.CSafeLoader))


def _undescribed(part: Any, *, fields: bool = False) -> Any:
    """A schema without descriptions. `fields`: the keys are names, of which "description" may be one."""
    if isinstance(part, list):
        return [_undescribed(one) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: value if key in VALUES and not fields else _undescribed(value, fields=key == "properties" and not fields)
        for key, value in part.items()
        if fields or key != "description"
    }
