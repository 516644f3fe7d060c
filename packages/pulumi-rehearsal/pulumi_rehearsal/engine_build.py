"""Builds the Pulumi engine from Go modules: modules/pulumi names them, its go.sum holds the checksum of each."""

from __future__ import annotations

import shutil
from pathlib import Path

from pulumi_rehearsal import go_build
from pulumi_rehearsal.cache import Progress
from pulumi_rehearsal.go_build import TOOLS, GoModule

MODULE = TOOLS / "pulumi"
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
START_SCRIPT_IN_SDK = "python/cmd/pulumi-language-python-exec"


def build(version: str, directory: Path, cache: Path, progress: Progress) -> None:
    """Puts `pulumi` and the start script of Python programs into `directory`.

    Raises:
        SetupError: when there is no Go to be had, the modules cannot be downloaded or the build fails.
    """
    module = _module(version)
    go = toolchain(cache, progress)
    directory.mkdir(parents=True, exist_ok=True)
    go_build.build(go, module, directory / "pulumi", progress)
    shutil.copy(module.source(go, SDK) / START_SCRIPT_IN_SDK, directory)
    (directory / Path(START_SCRIPT_IN_SDK).name).chmod(0o755)


def _module(version: str) -> GoModule:
    return GoModule(
        name=f"Pulumi {version}",
        key="pulumi",
        directory=MODULE,
        packages=[PACKAGE],
        link_flags=f"-X {SDK}/go/common/version.Version={version}",
        otherwise=", or install Pulumi from https://www.pulumi.com/docs/install and put it on PATH",
    )


def toolchain(cache: Path, progress: Progress) -> Path:
    """A Go that can build modules/pulumi."""
    return go_build.toolchain(required_go(), cache, progress)


def required_go() -> str:
    """The Go version that modules/pulumi/go.mod asks for."""
    return _module("").required_go
