"""Stage storage: which commands, in which order. The real ones run in tests/real."""

from __future__ import annotations

import socket

import pytest
from scripts import Load


def drives(root, count: int) -> None:
    for number in range(count):
        device = root / f"sys/block/nvme{number + 1}n1/device"
        device.mkdir(parents=True)
        (device / "model").write_text("Amazon EC2 NVMe Instance Storage        \n")
    volume = root / "sys/block/nvme0n1/device"
    volume.mkdir(parents=True)
    (volume / "model").write_text("Amazon Elastic Block Store              \n")


def test_several_drives_become_one_file_system_under_docker(load: Load, on) -> None:
    scripts = load()
    drives(scripts.root, 2)
    machine = on(scripts.storage)
    local = scripts.storage.LOCAL
    assert scripts.storage.mount_local() == "2 NVMe drives"
    assert machine.commands == [
        "blkid -L tandem",
        "mdadm --create /dev/md/tandem --run --level=0 --raid-devices=2 /dev/nvme1n1 /dev/nvme2n1",
        "udevadm settle",
        "mkfs.ext4 -q -F -L tandem -m 0 -E nodiscard /dev/md/tandem",
        f"mount -o noatime LABEL=tandem {local}",
        "systemctl stop docker.socket docker containerd",
        f"mount --bind {local}/docker /var/lib/docker",
        f"mount --bind {local}/containerd /var/lib/containerd",
        "systemctl start docker containerd",
    ]


def test_drives_that_an_earlier_attempt_joined_are_not_joined_again(load: Load, on) -> None:
    """Seen in a slow guest: mkfs came before udev had named the array, and then its drives were busy for good."""
    scripts = load()
    drives(scripts.root, 2)
    (scripts.root / "dev/md").mkdir()
    (scripts.root / "dev/md/tandem").touch()
    machine = on(scripts.storage)
    assert scripts.storage.mount_local() == "2 NVMe drives"
    assert machine.commands[1:3] == ["udevadm settle", "mkfs.ext4 -q -F -L tandem -m 0 -E nodiscard /dev/md/tandem"]


def test_a_reboot_finds_the_file_system(load: Load, on) -> None:
    scripts = load()
    drives(scripts.root, 1)
    machine = on(scripts.storage, {"blkid": "/dev/nvme1n1\n"})
    assert scripts.storage.mount_local() == "1 NVMe drives"
    assert not any(line.startswith(("mkfs", "mdadm")) for line in machine.commands)


def test_docker_stays_where_a_baked_image_has_the_container_image(load: Load, on) -> None:
    scripts = load()
    drives(scripts.root, 1)
    scripts.storage.BAKED.mkdir(parents=True)
    machine = on(scripts.storage)
    assert scripts.storage.mount_local() == "1 NVMe drives, Docker in the machine image"
    assert machine.commands[-1] == f"mount -o noatime LABEL=tandem {scripts.storage.LOCAL}"


def test_without_nvme_the_root_volume_serves(load: Load, on) -> None:
    scripts = load()
    drives(scripts.root, 0)
    machine = on(scripts.storage)
    assert scripts.storage.mount_local() == "no NVMe, root volume"
    assert machine.commands == []


def test_efs_is_mounted_with_tls_and_the_role(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    names = []
    monkeypatch.setattr(scripts.toolkit, "efs_helper", lambda: None)
    monkeypatch.setattr(scripts.storage.socket, "getaddrinfo", lambda name, port: names.append((name, port)))
    machine = on(scripts.storage)
    assert scripts.storage.mount_shared() == "EFS"
    assert names == [("fs-00000000000000000.efs.us-east-1.amazonaws.com", 2049)]
    assert machine.commands == [
        "mount -t efs -o tls,iam,accesspoint=fsap-00000000000000000,_netdev,noresvport "
        f"fs-00000000000000000:/ {scripts.storage.SHARED}"
    ]


@pytest.mark.parametrize("part", ["helper", "name", "mount"])
def test_efs_that_never_comes_is_said_and_survived(load: Load, on, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Its helper may fail like its name and its mount."""
    scripts = load()

    def fails(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    waits = iter([True, True, False])
    monkeypatch.setattr(scripts.toolkit, "efs_helper", fails if part == "helper" else lambda: None)
    monkeypatch.setattr(scripts.storage.socket, "getaddrinfo", fails if part == "name" else lambda *_: None)
    monkeypatch.setattr(scripts.storage, "wait", lambda seconds: next(waits))
    on(scripts.storage, {"mount": OSError(-2, "Name or service not known")})
    assert scripts.storage.mount_shared() == "EFS never came"
    assert list(waits) == []
    assert (scripts.root / "dev/console").read_text() == (
        "tandem: storage: no EFS, serving from local storage: [Errno -2] Name or service not known\n"
    )


def test_an_efs_helper_that_cannot_come_is_not_waited_for(load: Load, on, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    on(scripts.storage)
    monkeypatch.setattr(scripts.toolkit.shutil, "which", lambda name: None)
    scripts.host.CONFIG["efs"]["helper"] = ""
    assert scripts.storage.mount_shared() == "EFS never came"
    assert "images/pins.toml pins no efs_utils" in (scripts.root / "dev/console").read_text()
