"""A Helm repository on 127.0.0.1: the real charts of Go modules that carry theirs, and stubs of the others.

Stands for: the repositories that charts are pulled from.
Held by: tests/rehearsal/kubernetes/test_charts.py::test_each_value_of_ours_changes_what_a_real_chart_renders
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from pulumi_rehearsal import go_build
from pulumi_rehearsal.cache import Progress, cache_directory, make_once
from pulumi_rehearsal.kubernetes.build import CRDS
from pulumi_rehearsal.servers import QuietServer, serving


@dataclass(frozen=True)
class Source:
    """Where a chart lies.

    Attributes:
        module: a Go module of modules/kubernetes/crds.
        directory: of the chart in it.
        definitions: directory of CRDs which the chart has as symbolic links, that no module's archive holds.
    """

    module: str
    directory: str
    definitions: str = ""


_KARPENTER = "github.com/aws/karpenter-provider-aws"
_KEDA = "github.com/kedacore/keda/v2"

REAL: Mapping[str, Source] = {
    "aws-load-balancer-controller": Source(
        "sigs.k8s.io/aws-load-balancer-controller", "helm/aws-load-balancer-controller"
    ),
    "karpenter": Source(_KARPENTER, "charts/karpenter", "pkg/apis/crds"),
    "karpenter-crd": Source(_KARPENTER, "charts/karpenter-crd"),
    "lws": Source("sigs.k8s.io/lws", "charts/lws"),
    "nvidia-device-plugin": Source("github.com/NVIDIA/k8s-device-plugin", "deployments/helm/nvidia-device-plugin"),
}

RECORDED: Mapping[str, str] = {
    "keda": "no Go module carries the chart: in its place are the manifests of KEDA's own, with its rights",
    "prometheus": "its charts are no Go module: the values are recorded, and Prometheus itself runs beside the cluster",
}
"""Charts that are stubs, each with the reason."""

UNKNOWN = "the rehearsal does not know the chart: its values are recorded"

KEDA_MANIFESTS = ("rbac", "service_account", "manager", "metrics-server")
"""Directories of KEDA's config/default; its webhooks, which let everything pass when they are not there, do not run."""

STUB = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s-recorded, namespace: {{ .Release.Namespace }}}\n" + (
    "data: {values: {{ .Values | toJson | quote }}}\n"
)


@dataclass(frozen=True)
class Repository:
    """A repository that is served.

    Attributes:
        url: of its index.
        pins: of each chart in it, the version and the archive's digest.
    """

    url: str
    pins: Mapping[str, Mapping[str, str]]


def chart_name(chart: str) -> str:
    """Of what a release calls its chart the last part: of `oci://public.ecr.aws/karpenter/karpenter` and of
    `../build/charts/karpenter-1.14.1.tgz` it is `karpenter`."""
    return re.sub(r"-\d[\w.+-]*\.tgz$", "", chart.rstrip("/").rpartition("/")[2])


def reason(chart: str) -> str:
    """Why a chart is only recorded; nothing for one that is real."""
    return "" if chart in REAL else RECORDED.get(chart, UNKNOWN)


def ensure(progress: Progress) -> None:
    """Packs the charts that modules carry, once.

    Raises:
        SetupError: the modules cannot be downloaded.
    """
    home = packed()
    make_once(home, home.is_dir, functools.partial(_pack, progress), "charts", progress)


def packed() -> Path:
    """The directory of the packed charts."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:6]
    return cache_directory() / "kubernetes" / f"charts-{CRDS.home.name.removeprefix('crds-')}-{digest}"


def _pack(progress: Progress, directory: Path) -> None:
    go = go_build.toolchain(CRDS.module.required_go, cache_directory(), progress)
    progress("packing the charts of Go modules")

    def source(module: str) -> Path:
        return CRDS.module.source(go, module)

    for name, chart in REAL.items():
        files = _files(source(chart.module) / chart.directory)
        if chart.definitions:
            files |= _files(source(chart.module) / chart.definitions, "crds/")
        _write(directory, name, files)
    definitions = _files(source(_KEDA) / "config/crd/bases", "templates/crds/")  # where KEDA's chart has them
    _write(directory, "keda", _stub("keda") | definitions | _manifests_of_keda(source(_KEDA) / "config"))
    _write(directory, "prometheus", _stub("prometheus"))


def _files(directory: Path, prefix: str = "") -> dict[str, bytes]:
    """What `helm package` would take: not what a chart has ignored."""
    list_file = directory / ".helmignore"
    lines = list_file.read_text().splitlines() if list_file.exists() else []
    ignored = [line for line in lines if line and not line.startswith("#")]
    return {
        f"{prefix}{path.relative_to(directory)}": path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
        and not any(fnmatch(path.name, line) or fnmatch(str(path.relative_to(directory)), line) for line in ignored)
    }


def _stub(name: str) -> dict[str, bytes]:
    """A chart that keeps what values it was given, in a ConfigMap.

    Stands for: a chart that cannot be had.
    Held by: tests/rehearsal/kubernetes/test_charts.py::test_a_chart_that_cannot_be_had_keeps_its_values
    """
    chart = {"apiVersion": "v2", "name": name, "version": "0.0.0"}
    return {
        "Chart.yaml": yaml.safe_dump(chart).encode(),
        "values.yaml": b"{}\n",
        "templates/recorded.yaml": (STUB % name).encode(),
    }


def _manifests_of_keda(config: Path) -> dict[str, bytes]:
    documents = [
        document
        for place in KEDA_MANIFESTS
        for file in sorted((config / place).glob("*.yaml"))
        if file.name != "kustomization.yaml"
        for document in yaml.safe_load_all(file.read_text())
        if document
    ]
    return {"templates/keda.yaml": yaml.safe_dump_all(documents).encode()}


def _write(directory: Path, name: str, files: Mapping[str, bytes]) -> None:
    version = yaml.safe_load(files["Chart.yaml"])["version"]
    with tarfile.open(directory / f"{name}-{version}.tgz", "w:gz", compresslevel=1) as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(f"{name}/{path}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@contextmanager
def repository(names: Iterable[str]) -> Iterator[Repository]:
    """Serves the charts until the block ends; `ensure` has packed them.

    Args:
        names: of all charts that are wanted; one that is not known is a stub.
    """
    with tempfile.TemporaryDirectory(prefix="rehearsal-charts-") as place:
        directory = Path(place)
        for file in packed().iterdir():
            (directory / file.name).symlink_to(file)
        for name in {*names} - {*REAL} - {*RECORDED}:
            _write(directory, name, _stub(name))
        entries = {name: [entry] for name, entry in map(_entry, sorted(directory.glob("*.tgz")))}
        (directory / "index.yaml").write_text(json.dumps({"apiVersion": "v1", "entries": entries}))
        with _served(directory) as url:
            pins = {
                name: {"version": entry["version"], "digest": f"sha256:{entry['digest']}"}
                for name, [entry] in entries.items()
            }
            yield Repository(url, pins)


def _entry(file: Path) -> tuple[str, Mapping[str, Any]]:
    with tarfile.open(file) as archive:
        name = archive.getnames()[0].partition("/")[0]
        found = archive.extractfile(f"{name}/Chart.yaml")
        assert found is not None
        chart = yaml.safe_load(found.read())
    entry = {"apiVersion": chart["apiVersion"], "name": name, "version": chart["version"], "urls": [file.name]}
    return name, entry | {"digest": hashlib.sha256(file.read_bytes()).hexdigest()}


@contextmanager
def _served(directory: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    handler = functools.partial(Quiet, directory=str(directory))
    server = QuietServer(("127.0.0.1", 0), handler)
    with serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"
