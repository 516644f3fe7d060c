"""Builds the control plane and the autoscalers from Go modules, once: each module lies in modules/kubernetes.

The cache is keyed by what the modules say: another version in a go.mod, or another checksum, is another directory.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pulumi_rehearsal import go_build
from pulumi_rehearsal.cache import Progress, cache_directory, make_once
from pulumi_rehearsal.go_build import TOOLS, GoModule

MODULES = TOOLS / "kubernetes"
DEFINITION = "CustomResourceDefinition"


@dataclass(frozen=True)
class Tool:
    """Commands that are built together.

    Attributes:
        name: its directory in modules/kubernetes.
        pins: the Go module whose version it is known by.
        title: as people know it.
        commands: packages, by the name under which the command is kept.
        version_in: Go package that holds the version, when the command does not know it itself.
        files: of that Go module, that lie beside the commands.
    """

    name: str
    pins: str
    title: str
    commands: Mapping[str, str]
    version_in: str = ""
    files: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        return MODULES / self.name

    @property
    def version(self) -> str:
        """As its go.mod pins it, without the `v`."""
        pinned = re.search(rf"^\s*(?:require )?{re.escape(self.pins)} v(\S+)", self._go_mod, re.MULTILINE)
        assert pinned is not None
        return pinned[1]

    @property
    def _go_mod(self) -> str:
        return (self.directory / "go.mod").read_text()

    @property
    def home(self) -> Path:
        """Where the commands are kept."""
        own = sorted(path for path in self.directory.rglob("*.go") if path.name != "tools.go")
        content = "".join(path.read_text() for path in (self.directory / "go.mod", self.directory / "go.sum", *own))
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return cache_directory() / "kubernetes" / f"{self.name}-{digest}"

    def command(self, name: str) -> Path:
        """The path of one of its commands."""
        return self.home / name

    @property
    def module(self) -> GoModule:
        return GoModule(
            name=f"{self.title} {self.version}",
            key=self.name,
            directory=self.directory,
            packages=list(self.commands.values()),
            link_flags=self._link_flags,
        )

    @property
    def _link_flags(self) -> str:
        if not self.version_in:
            return ""
        major, minor, _ = self.version.split(".", 2)
        values = {"gitVersion": f"v{self.version}", "gitMajor": major, "gitMinor": minor}
        return " ".join(f"-X {self.version_in}.{key}={value}" for key, value in values.items())


CONTROL_PLANE = Tool(
    name="control-plane",
    pins="k8s.io/kubernetes",
    title="Kubernetes",
    commands={
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    },
    version_in="k8s.io/component-base/version",
)
KUBECTL = Tool(
    "kubectl",
    "k8s.io/kubernetes",
    "kubectl",
    {"kubectl": "k8s.io/kubernetes/cmd/kubectl"},
    version_in="k8s.io/component-base/version",
)
KUBELET = Tool(
    "kubelet",
    "k8s.io/kubernetes",
    "kubelet",
    {"kubelet": "k8s.io/kubernetes/cmd/kubelet"},
    version_in="k8s.io/component-base/version",
)
"""No part of a rehearsal, whose nodes kwok plays: of the proof that runs a pod (tests/real)."""

KWOK = Tool("kwok", "sigs.k8s.io/kwok", "kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"})
CONTROLLERS = Tool(
    "controllers",
    "github.com/aws/karpenter-provider-aws",
    "Karpenter and the controllers of load balancers and pipelines",
    {
        "karpenter": "github.com/aws/karpenter-provider-aws/cmd/controller",
        "aws-load-balancer-controller": "sigs.k8s.io/aws-load-balancer-controller",
        "lws": "sigs.k8s.io/lws/cmd",
    },
)
"""One module, for its parts share most of what they are compiled from, and share that with KEDA's."""

RENDER = "pulumi-rehearsal.example/kubernetes/provider/render"
PROVIDER = Tool(
    "provider",
    "github.com/pulumi/pulumi-kubernetes/provider/v4",
    "Pulumi's provider for Kubernetes",
    {"pulumi-resource-kubernetes": "pulumi-rehearsal.example/kubernetes/provider", "render-charts": RENDER},
    files=tuple(f"cmd/pulumi-resource-kubernetes/{name}" for name in ("schema.json", "terraform-mapping.json")),
)
KEDA = Tool(
    "keda",
    "github.com/kedacore/keda/v2",
    "KEDA",
    {
        "keda-operator": "github.com/kedacore/keda/v2/cmd/operator",
        "keda-adapter": "github.com/kedacore/keda/v2/cmd/adapter",
    },
)

IN_THE_CLUSTER = (KEDA, CONTROLLERS)
"""What runs in a cluster; in this order, for the second is compiled from what the first has left."""

CRDS = Tool("crds", "sigs.k8s.io/lws", "custom resource definitions", {})
"""Not built: the directories of its modules hold the CRDs that Helm charts would bring."""

CRD_DIRECTORIES = {
    "karpenter": ("github.com/aws/karpenter-provider-aws", "pkg/apis/crds"),
    "keda": ("github.com/kedacore/keda/v2", "config/crd/bases"),
    "aws-load-balancer-controller": ("sigs.k8s.io/aws-load-balancer-controller", "config/crd/bases"),
    "lws": ("sigs.k8s.io/lws", "config/crd/bases"),
}
"""Module and directory, by the name of the chart."""

TOOLS_OF_THE_CONTROL_PLANE = (CONTROL_PLANE, KUBECTL, KWOK, CRDS)


def ensure(tools: tuple[Tool, ...], progress: Progress) -> None:
    """Builds what is not in the cache yet.

    Raises:
        SetupError: there is no Go to be had, the modules cannot be downloaded or the build fails.
    """
    for tool in tools:
        make_once(tool.home, tool.home.is_dir, partial(_make, tool, progress), tool.title, progress)


def _make(tool: Tool, progress: Progress, directory: Path) -> None:
    go = go_build.toolchain(tool.module.required_go, cache_directory(), progress)
    if tool is CRDS:
        for chart, (module, place) in CRD_DIRECTORIES.items():
            progress(f"reading the custom resource definitions of {chart}")
            files = sorted((tool.module.source(go, module) / place).glob("*.yaml"))
            documents = (document for file in files for document in yaml.safe_load_all(file.read_text()))
            definitions = [document for document in documents if document and document["kind"] == DEFINITION]
            # as JSON, which is read a hundred times faster
            (directory / f"{chart}.json").write_text(json.dumps(definitions))
        return
    go_build.build(go, tool.module, directory, progress)
    for name, package in tool.commands.items():
        (directory / _binary(package)).rename(directory / name)
    for file in tool.files:
        shutil.copyfile(tool.module.source(go, tool.pins) / file, directory / Path(file).name)


def custom_resource_definitions(chart: str) -> list[dict[str, Any]]:
    """The CRDs that a chart would bring; none when it is not known here, or brings none."""
    file = CRDS.home / f"{chart}.json"
    return json.loads(file.read_text()) if file.exists() else []


def _binary(package: str) -> str:
    """What `go build` calls a command: the last part of its import path that is no version."""
    return next(part for part in reversed(package.split("/")) if not re.fullmatch(r"v\d+", part))
