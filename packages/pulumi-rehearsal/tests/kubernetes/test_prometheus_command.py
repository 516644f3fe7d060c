"""Where the `prometheus` command comes from, with stand-ins for apt-get and dpkg-deb."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pulumi_rehearsal.errors import SetupError
from pulumi_rehearsal.kubernetes import prometheus_command

FAKE_APT = """#!/bin/sh
echo "$@" >> ASKED
case "$*" in
  *update) touch LISTS ;;
  *download*) [ -e LISTS ] && touch prometheus_2_amd64.deb || { echo "E: Unable to locate package" >&2; exit 100; } ;;
esac
"""
FAKE_DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin"; cd "$3/usr/bin"; printf '#!/bin/sh\\nexit EXIT\\n' > prometheus; cp prometheus promtool
chmod 755 prometheus promtool
"""


class Distribution:
    """A machine without Prometheus; root, unless a test says otherwise."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self._log, self.lists = directory, directory / "asked", directory / "lists"
        self.monkeypatch = monkeypatch
        self.command("apt-get", FAKE_APT.replace("ASKED", str(self._log)).replace("LISTS", str(self.lists)))
        self.command("dpkg-deb", FAKE_DPKG.replace("EXIT", "0"))
        monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
        monkeypatch.setenv("PULUMI_REHEARSAL_CACHE", str(directory / "cache"))
        self.user(0)

    def command(self, name: str, script: str) -> Path:
        path = self.directory / name
        path.write_text(script)
        path.chmod(0o755)
        return path

    def user(self, number: int) -> None:
        self.monkeypatch.setattr(os, "geteuid", lambda: number)

    @property
    def asked(self) -> list[str]:
        return [line.split()[-1] for line in self._log.read_text().splitlines()] if self._log.exists() else []


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distribution:
    return Distribution(tmp_path, monkeypatch)


def ensure() -> None:
    prometheus_command.ensure(lambda line: None)


def test_the_machines_own_comes_first(distribution: Distribution) -> None:
    own = distribution.command("prometheus", "#!/bin/sh\n")
    distribution.command("promtool", "#!/bin/sh\n")
    ensure()
    assert prometheus_command.command() == own
    assert distribution.asked == []


def test_the_package_is_unpacked_once(distribution: Distribution) -> None:
    distribution.lists.touch()
    ensure()
    ensure()
    assert prometheus_command.command().read_text() == "#!/bin/sh\nexit 0\n"
    assert prometheus_command.command("promtool").is_file()
    assert prometheus_command.command().is_relative_to(distribution.directory / "cache")
    assert distribution.asked == ["prometheus"]


def test_root_updates_lists_that_are_not_there(distribution: Distribution) -> None:
    ensure()
    assert distribution.asked == ["prometheus", "update", "prometheus"]


def test_others_are_told_what_to_install(distribution: Distribution) -> None:
    distribution.user(1000)
    with pytest.raises(
        SetupError, match=r"(?s)prometheus: .*E: Unable to locate package.*fix: +`apt-get install prometheus`"
    ):
        ensure()
    assert distribution.asked == ["prometheus"]


def test_a_command_that_does_not_run_here_is_not_kept(distribution: Distribution) -> None:
    distribution.lists.touch()
    distribution.command("dpkg-deb", FAKE_DPKG.replace("EXIT", "127"))
    with pytest.raises(SetupError, match="prometheus ended with 127"):
        ensure()
    assert not prometheus_command.command().exists()


def test_a_system_without_packages_is_named(distribution: Distribution, tmp_path: Path) -> None:
    distribution.monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(SetupError, match="apt-get"):
        ensure()
