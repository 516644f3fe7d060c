"""Building the control plane, with a stand-in for `go`; the real build is the first rehearsal's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulumi_rehearsal.cache import cache_directory
from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.build import CONTROL_PLANE, CONTROLLERS, CRDS, KEDA, KUBELET, KWOK, PROVIDER, Tool

FAKE_GO = """#!/bin/sh
echo "$@" >> ASKED
case "$1 $2" in
  "env GOVERSION") echo go1.99.0 ;;
  "mod download") echo '{"Dir": "SOURCE"}' ;;
  "build -v")
    while [ "$1" != -o ]; do shift; done; target=$2; shift 2
    for package; do echo "$package" > "$target/$(echo "$package" | sed 's,/v[0-9]*$,,; s,.*/,,')"; done ;;
esac
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a `go` that writes down what it is asked for."""
    log, source = tmp_path / "asked", tmp_path / "source"
    (tmp_path / "go").write_text(FAKE_GO.replace("ASKED", str(log)).replace("SOURCE", str(source)))
    (tmp_path / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_REHEARSAL_CACHE", str(tmp_path / "cache"))
    return log


@pytest.mark.parametrize("tool", [CONTROL_PLANE, KUBELET, KWOK, CONTROLLERS, KEDA], ids=lambda tool: tool.name)
def test_each_command_is_kept_under_its_name(asked: Path, tool: Tool) -> None:
    build.ensure((tool,), lambda line: None)
    assert {path.name: path.read_text().strip() for path in tool.home.iterdir()} == dict(tool.commands)
    assert tool.home.parent == cache_directory() / "kubernetes"


def test_what_is_in_the_cache_is_not_built_again(asked: Path) -> None:
    build.ensure((KWOK,), lambda line: None)
    asked.unlink()
    build.ensure((KWOK,), lambda line: None)
    assert not asked.exists()


def test_the_commands_know_their_version(asked: Path) -> None:
    build.ensure((CONTROL_PLANE,), lambda line: None)
    assert f"version.gitVersion=v{CONTROL_PLANE.version} " in asked.read_text()
    assert CONTROL_PLANE.version == KUBELET.version == "1.35.4"
    assert [tool.version for tool in (KWOK, CONTROLLERS, KEDA)] == ["0.7.0", "1.14.0", "2.20.2"]


def test_files_of_the_module_lie_beside_the_command(asked: Path, tmp_path: Path) -> None:
    for file in PROVIDER.files:
        (tmp_path / "source" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / file).write_text(file)
    build.ensure((PROVIDER,), lambda line: None)
    assert {path.name for path in PROVIDER.home.iterdir()} == {
        *("pulumi-resource-kubernetes", "render-charts", "schema.json", "terraform-mapping.json")
    }
    assert (PROVIDER.home / "schema.json").read_text() == "cmd/pulumi-resource-kubernetes/schema.json"


def test_definitions_are_read_from_the_modules(asked: Path, tmp_path: Path) -> None:
    for chart, (_, place) in build.CRD_DIRECTORIES.items():
        (tmp_path / "source" / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / place / "one.yaml").write_text(
            f"---\nkind: CustomResourceDefinition\nof: {chart}\n---\nkind: Other\n---\n"
        )
    build.ensure((CRDS,), lambda line: None)
    assert json.loads((CRDS.home / "lws.json").read_text())[0]["kind"] == "CustomResourceDefinition"
    assert len(build.custom_resource_definitions("karpenter")) == 1
    assert build.custom_resource_definitions("unheard") == []


def test_other_checksums_are_another_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = KWOK.home
    monkeypatch.setattr(build, "MODULES", tmp_path)
    (tmp_path / "kwok").mkdir()
    (tmp_path / "kwok" / "go.mod").write_text("require sigs.k8s.io/kwok v0.7.0\n")
    (tmp_path / "kwok" / "go.sum").write_text("another\n")
    assert KWOK.home.name.startswith("kwok-")
    assert KWOK.home != before
    others = KWOK.home
    (tmp_path / "kwok" / "main.go").write_text("package main\n")
    assert KWOK.home != others, "and so is other code of our own"
