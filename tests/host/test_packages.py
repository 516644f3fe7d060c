"""Packages at their pinned versions, and the file that is no repository's. Real apt and gpg: tests/real."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts import Load

DOCKER = "5:29.0.0-1~ubuntu.24.04~noble"
MADISON = f"""\
 docker-ce | 5:29.1.3-1~ubuntu.24.04~noble | https://download.docker.com/linux/ubuntu noble/stable amd64 Packages
 docker-ce | {DOCKER} | https://download.docker.com/linux/ubuntu noble/stable amd64 Packages
 docker-ce | 5:28.29.0-1~ubuntu.24.04~noble | https://download.docker.com/linux/ubuntu noble/stable amd64 Packages
     mdadm | 4.3-1ubuntu2.1 | http://us-east-1.ec2.archive.ubuntu.com/ubuntu noble-updates/main amd64 Packages
     mdadm | 4.3-1ubuntu2 | http://us-east-1.ec2.archive.ubuntu.com/ubuntu noble/main amd64 Packages
"""
INSTALLED = f"installed docker-ce {DOCKER}\ninstalled mdadm 4.3-1ubuntu2.1\n"


@pytest.fixture
def host(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The scripts, with what apt and dpkg answer when the pinned versions are offered, and then installed."""
    scripts = load()
    scripts.install, scripts.apt = scripts.packages.install, scripts.packages.apt
    scripts.machine = on(scripts.packages, {"apt-cache madison": MADISON, "dpkg-query": INSTALLED})
    monkeypatch.setattr(scripts.packages, "add_repositories", lambda: None)
    return scripts


def test_packages_are_named_with_their_versions_and_compared_afterwards(host: SimpleNamespace) -> None:
    host.install(["docker-ce", "mdadm"])
    assert [line.partition(" -f")[0] for line in host.machine.commands] == [
        "apt-cache madison docker-ce mdadm",
        f"apt-get install docker-ce={DOCKER} mdadm=4.3-1ubuntu2.1",
        "apt-mark hold docker-ce mdadm",
        "dpkg-query -W",
    ]


@pytest.mark.parametrize("pin", ["29.0.1", "29.0", "9.0.0", "28.1.*"])
def test_a_pin_that_no_repository_has_stops_the_host_by_its_name(host: SimpleNamespace, pin: str) -> None:
    host.host.CONFIG["pins"]["docker-ce"] = pin
    with pytest.raises(host.host.GiveUp, match=f"no package repository has docker-ce {pin.replace('*', '.')}, the ver"):
        host.install(["mdadm", "docker-ce"])
    assert not [line for line in host.machine.commands if line.startswith("apt-get")]


def test_another_version_than_pinned_is_an_error_even_when_apt_is_content(host: SimpleNamespace) -> None:
    host.machine.answers["dpkg-query"] = INSTALLED.replace("29.0.0", "29.1.3")
    with pytest.raises(RuntimeError, match=r"not at the pinned version: docker-ce$"):
        host.install(["docker-ce", "mdadm"])


def test_what_is_there_at_another_version_is_missing(host: SimpleNamespace) -> None:
    assert host.packages.missing(["docker-ce", "nginx", "mdadm"]) == ["nginx"]
    host.machine.answers["dpkg-query"] = "installed docker-ce 5:28.5.2-1~noble\nconfig-files mdadm 4.3-1\n"
    assert host.packages.missing(["docker-ce", "nginx", "mdadm"]) == ["docker-ce", "nginx", "mdadm"]


def test_every_package_that_a_host_names_is_pinned_but_those_of_the_archive(load: Load) -> None:
    config = load("eight-gpus").config
    (needs,) = config["instance_types"].values()
    names = {*config["host_packages"], *needs["driver_packages"]}
    assert names - set(config["pins"]) == {"nginx", "libnginx-mod-http-js", "nfs-common", "mdadm"}
    assert {"containerd.io", "docker-ce", "docker-ce-cli", "nvidia-fabricmanager", "nvidia-open"} < names


def test_toolkit_installs_only_what_is_missing(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    machine = on(scripts.toolkit)
    monkeypatch.setattr(scripts.toolkit, "missing", lambda packages: packages[:4])
    assert scripts.toolkit.run() == "4 packages installed"
    assert machine.commands == [
        "systemctl mask nginx",
        "install nvidia-container-toolkit nvidia-container-toolkit-base libnvidia-container-tools libnvidia-container1",
        "systemctl start docker",
    ]


@pytest.fixture
def helper(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The scripts, with a package that the pinned address gives, and its right checksum in the configuration."""
    scripts = load()
    scripts.machine = on(scripts.toolkit)
    monkeypatch.setattr(scripts.toolkit.shutil, "which", lambda name: None)
    monkeypatch.setattr(scripts.toolkit, "fetch", lambda url, _, file: Path(file).write_bytes(b"package"))
    url = scripts.config["efs"]["helper"].partition("#")[0]
    checksum = hashlib.sha256(b"package").hexdigest()
    monkeypatch.setitem(scripts.host.CONFIG["efs"], "helper", f"{url}#sha256={checksum}")
    return scripts


def test_the_mount_helper_is_one_file_known_by_its_checksum(helper: SimpleNamespace) -> None:
    helper.toolkit.efs_helper()
    file = helper.root / "run/tandem/efs-utils.deb"
    assert helper.machine.commands == [f"apt-get install {file}", "apt-mark hold amazon-efs-utils"]


def test_a_mount_helper_with_another_checksum_is_not_installed(
    helper: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper.toolkit, "fetch", lambda url, _, file: Path(file).write_bytes(b"another"))
    with pytest.raises(helper.host.GiveUp, match=r"efs-utils-3\.0\.0-1_amd64\.deb has another checksum than pinned"):
        helper.toolkit.efs_helper()
    assert helper.machine.commands == []


def test_a_mount_helper_that_is_there_is_kept(helper: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper.toolkit.shutil, "which", lambda name: f"/sbin/{name}")
    helper.toolkit.efs_helper()
    assert helper.machine.commands == []


def test_without_a_pin_there_is_no_mount_helper(helper: SimpleNamespace) -> None:
    helper.host.CONFIG["efs"]["helper"] = ""
    with pytest.raises(helper.host.GiveUp, match=r"tandem pin --packages"):
        helper.toolkit.efs_helper()
