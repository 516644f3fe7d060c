"""Helm charts by the digest of their archive: the bytes are compared here, and Helm gets the file.

Helm takes what a repository serves. It compares an archive neither with the digest in index.yaml nor, of an OCI
reference with tag and digest, with more than the registry's own word (v3.20.2, pkg/repo and pkg/registry).
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import yaml

from tandem import registry
from tandem.chart_files import digest_of, file_of, lacking
from tandem.errors import UserError
from tandem.http import Http
from tandem.pins import Chart
from tandem.registry import json_of, refused

LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
"""https://helm.sh/docs/topics/registries/"""
_MANIFEST = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
_FIX = "mend kubernetes.charts in images/pins.toml"
VERSIONED = {"nvidia-device-plugin": "v{}"}
"""What a chart that names no tag makes of its appVersion, where that is not the tag itself."""


def fetch(charts: Mapping[str, Chart], http: Http | None = None) -> None:
    """Has the archive of each chart with a digest in its place; one that is there already is not asked for.

    Raises:
        UserError: a repository is out of reach, has no such chart, or serves other bytes than were pinned.
    """
    for name, chart in lacking(charts).items():
        content = archive(chart, name, http or Http())
        if digest_of(content) != chart.digest:
            raise _other_bytes(chart, name, digest_of(content))
        _write(file_of(chart, name), content)


def _other_bytes(chart: Chart, name: str, found: str) -> UserError:
    return refused(
        f"images/pins.toml: kubernetes.charts.{name}.digest",
        f"{chart.repository} serves another {name} {chart.version} than was pinned",
        found,
        chart.digest,
        "ask its maintainers why a release has changed; `tandem pin --kubernetes --update` takes the newest",
    )


def _write(file: Path, content: bytes) -> None:
    """The whole file or none, whoever else writes it meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
    Path(part).replace(file)


def archive(chart: Chart, name: str, http: Http) -> bytes:
    """What the repository serves as this version; from a registry by the digest, where one is pinned."""
    url = _in_registry(chart, name, http) if chart.repository.startswith("oci://") else _listed(chart, name, http)
    response = registry.ask(url, name, {}, http)
    if response.status_code != 200:
        wanted = chart.digest or chart.version
        raise refused(name, "the repository does not give the chart", f"HTTP {response.status_code}", wanted, _FIX)
    return response.content


def registry_of(repository: str, name: str) -> str:
    """Address of a chart in the registry's own interface."""
    host, _, path = repository.removeprefix("oci://").partition("/")
    return f"{registry.base_of(host)}/v2/{f'{path}/' if path else ''}{name}"


def _in_registry(chart: Chart, name: str, http: Http) -> str:
    base, digest = registry_of(chart.repository, name), chart.digest
    if not digest:
        manifest = json_of(registry.ask(f"{base}/manifests/{chart.version}", name, _MANIFEST, http), name)
        digests = [layer["digest"] for layer in manifest.get("layers", ()) if layer.get("mediaType") == LAYER]
        if len(digests) != 1:
            raise refused(name, "what the registry has is no Helm chart", chart.version, f"one layer {LAYER}", _FIX)
        [digest] = digests
    return f"{base}/blobs/{digest}"


def index(repository: str, name: str, http: Http) -> tuple[str, list[Mapping[str, Any]]]:
    """Address of a repository's index, and its entries of a chart."""
    url = f"{repository.rstrip('/')}/index.yaml"
    response = http.get(url, key=name)
    found = yaml.load(response.content, yaml.CSafeLoader) if response.status_code == 200 else None
    entries = found.get("entries", {}) if isinstance(found, dict) else {}
    return url, entries.get(name) or []


def _listed(chart: Chart, name: str, http: Http) -> str:
    url, entries = index(chart.repository, name, http)
    found = [one for one in entries if str(one.get("version", "")).removeprefix("v") == chart.version]
    places = [place for one in found for place in one.get("urls") or ()]
    if not places:
        raise refused(name, "the repository's index has no such version", chart.version, "a version in it", _FIX)
    return urljoin(url, places[0])


def images(archive: bytes, name: str, keys: Iterable[str]) -> dict[str, str]:
    """What the chart itself would start, `repository:tag`, by the value that says so; with the digest that it has."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            about, values = (_yaml(tar, f"{name}/{file}") for file in ("Chart.yaml", "values.yaml"))
        return {key: _image(values, key, VERSIONED.get(name, "{}").format(about["appVersion"])) for key in keys}
    except (tarfile.TarError, yaml.YAMLError, KeyError, TypeError) as error:
        wrong = "the archive is no chart, or names its images by other values"
        raise refused(name, wrong, f"{type(error).__name__}: {error}", ", ".join(keys), _FIX) from None


def _yaml(tar: tarfile.TarFile, path: str) -> dict[str, Any]:
    file = tar.extractfile(path)
    return yaml.load(file.read() if file else b"", yaml.CSafeLoader)


def _image(values: Mapping[str, Any], key: str, default: str) -> str:
    *way, _ = key.split(".")
    for part in way:
        values = values[part]
    home = f"{values['registry']}/" if values.get("registry") else ""
    named = f"{home}{values['repository']}:{values.get('tag') or default}"
    return f"{named}@{values['digest']}" if values.get("digest") else named
