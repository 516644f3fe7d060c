"""Fills the empty pins of a scratch copy, so that a project whose pins are not looked up yet can be rehearsed.

A placeholder is well formed and cannot be mistaken for a real value: it is all zeros, behind the version of Kubernetes
where one belongs. None leaves the scratch copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit

from pulumi_rehearsal.kubernetes.charts import Repository

PLACEHOLDERS = {
    "digest": f"sha256:{'0' * 64}",
    "revision": "0" * 40,
    "manifest": "0" * 64,
    "id": f"ami-{'0' * 17}",
    "version": "0.0.0",
    "file": f"https://example.com/placeholder.deb#sha256={'0' * 64}",
}
"""By the last part of a pin's key."""

ADDONS = "kubernetes.addons."
"""Pins of versions in a form of their own; kube-proxy's are Kubernetes'."""

OTHER_DIGEST = f"sha256:{'1' * 64}"
"""Stands for the next release of an image."""


def fill(pins: Path) -> list[str]:
    """Writes a placeholder into each empty pin of a pins file; returns their keys (`vllm.digest`), in file order."""
    document: Any = tomlkit.parse(pins.read_text())
    filled = []
    for table, key, path in list(_empty(document)):
        image = re.search(r"/eks/optimized-ami/([0-9.]+)/", table.get("parameter", ""))
        table[key] = f"{image[1]}.0-00000000" if image and key == "version" else PLACEHOLDERS.get(key, "")
        if ".images." in path:
            table[key] = f"example.com/{path.split('.')[2]}/{key.lower()}:0.0.0@{PLACEHOLDERS['digest']}"
        elif path.startswith(ADDONS):
            table[key] = f"v{document['kubernetes']['version']}.0-eksbuild.0"
        filled.append(path)
    pins.write_text(tomlkit.dumps(document))
    return filled


def change_image(pins: Path, digest: str = OTHER_DIGEST) -> None:
    """Puts another digest of the server image into a pins file, as a new release would."""
    document: Any = tomlkit.parse(pins.read_text())
    document["vllm"]["digest"] = digest
    pins.write_text(tomlkit.dumps(document))


def pin_model(pins: Path, model: str) -> None:
    """Pins one of the hub's repositories that is named in no stack file of the project."""
    document: Any = tomlkit.parse(pins.read_text())
    document["models"][model] = {key: PLACEHOLDERS[key] for key in ("revision", "manifest")}
    pins.write_text(tomlkit.dumps(document))


def charts(pins: Path) -> list[str]:
    """Names of the charts that a pins file pins."""
    document: Any = tomlkit.parse(pins.read_text())
    return [*(document.get("kubernetes", {}).get("charts") or {})]


def pin_charts(pins: Path, repository: Repository) -> None:
    """Makes the charts of a pins file come from a repository."""
    document: Any = tomlkit.parse(pins.read_text())
    for name, chart in (document.get("kubernetes", {}).get("charts") or {}).items():
        chart |= {"repository": repository.url, **repository.pins[name]}
    pins.write_text(tomlkit.dumps(document))


def unpin_charts(pins: Path) -> None:
    """Leaves the bytes of charts open, for a program whose cluster takes none: what is pinned is fetched."""
    document: Any = tomlkit.parse(pins.read_text())
    for chart in document["kubernetes"]["charts"].values():
        chart["digest"] = ""
    pins.write_text(tomlkit.dumps(document))


def _empty(table: MutableMapping[str, Any], path: str = "") -> Iterator[tuple[MutableMapping[str, Any], str, str]]:
    for key, value in table.items():
        name = f'"{key}"' if "." in key or "/" in key else key
        if isinstance(value, MutableMapping):
            yield from _empty(value, f"{path}{name}.")
        elif value == "" and (key in PLACEHOLDERS or path.endswith(".images.")):
            yield table, key, f"{path}{name}"
