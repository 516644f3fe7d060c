"""The disk of a virtual machine that stands for a fresh EC2 instance: Ubuntu 24.04, what its server image has, Docker.

Built once with debootstrap, then kept in the cache. Ubuntu because hosts run Ubuntu: the same cloud-init, systemd,
needrestart, unattended-upgrades, nginx, Python, and the newest Docker of noble-updates with its containerd.

Stands for: Ubuntu's server image for AWS with Docker.
Held by: nothing, its packages are Ubuntu's own; kernel, drives and what is left out for speed are named here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pulumi_rehearsal.cache import cache_directory, make_once
from tandem.host.render import METRICS_AGENT

MIRROR = "http://archive.ubuntu.com/ubuntu"
KEYRING = "pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
KEYRING_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"
"""Noble's package of Ubuntu's archive keys; Debian has none."""

FIRST = "systemd,systemd-sysv,systemd-resolved,dbus,udev,iproute2,ca-certificates,curl,gpg"
PACKAGES = (
    "cloud-init", "dhcpcd-base", "linux-image-virtual", "kmod", "python3", "docker.io", "containerd", "nginx",
    "libnginx-mod-http-js", "nfs-common", "nfs-kernel-server", "mdadm", "stunnel4", "qemu-guest-agent",
    "unattended-upgrades", "needrestart",
)  # fmt: skip
LIBRARY = "libc6"
"""Every process of a host runs on it; guests are offered a newer one, the same files again."""
OFFERED = (LIBRARY, METRICS_AGENT)
"""Ubuntu's packages that the tests' own repository has, as they are."""

SOURCES = f"deb {MIRROR} noble main universe\ndeb {MIRROR} noble-updates main universe\n"
EFS_NAME = "fs-00000000000000000.efs.us-east-1.amazonaws.com"
FILES = {
    "etc/cloud/cloud.cfg.d/90-ec2.cfg": (
        # Of cloud-init's modules those that user data of ours asks for; the others would double the time.
        "datasource_list: [ Ec2, None ]\nusers: []\nnetwork: {config: disabled}\n"
        "cloud_init_modules: [write_files]\ncloud_config_modules: [runcmd]\ncloud_final_modules: [scripts_user]\n"
    ),
    "etc/fstab": "/dev/vda / ext4 defaults 0 1\n",
    "etc/hostname": "guest\n",
    "etc/hosts": f"127.0.0.1 localhost guest {EFS_NAME}\n",
    "etc/systemd/network/10-all.network": "[Match]\nName=e*\n[Network]\nDHCP=yes\n",
    "etc/apt/sources.list": "",  # nothing but the tests' own repository
    "etc/exports": (
        "/srv/efs 127.0.0.1(rw,sync,insecure,fsid=0,no_subtree_check,all_squash,anonuid=2000,anongid=2000)\n"
    ),
    "etc/nfs.conf.d/v4.conf": "[nfsd]\nvers3=n\n",  # as EFS; the older version would need rpcbind
    # QEMU's NVMe drives call themselves QEMU's; storage.py knows EC2's by this name.
    "etc/instance-store": "Amazon EC2 NVMe Instance Storage        \n",
    "etc/udev/rules.d/90-instance-store.rules": (
        'SUBSYSTEM=="block", KERNEL=="nvme*n1", TAG+="systemd", ENV{SYSTEMD_WANTS}="instance-store@%k.service"\n'
    ),
    "etc/systemd/system/instance-store@.service": (
        "[Unit]\nDefaultDependencies=no\n"
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        "ExecStart=/bin/mount --bind /etc/instance-store /sys/block/%i/device/model\n"
    ),
    # What a test wants changed before the first boot comes as a tar on a second drive.
    "etc/systemd/system/prelude.service": (
        "[Unit]\nDefaultDependencies=no\nAfter=systemd-remount-fs.service\n"
        "Before=cloud-init-local.service sysinit.target\nConditionPathExists=/dev/vdb\n"
        "ConditionPathExists=!/prelude.done\n"
        "[Service]\nType=oneshot\n"
        "ExecStart=/bin/sh -ec 'tar -xf /dev/vdb -C /; sh -e /prelude; touch /prelude.done'\n"
        "[Install]\nWantedBy=sysinit.target\n"
    ),
}
ENABLED = ("systemd-networkd", "systemd-resolved", "qemu-guest-agent", "docker", "nfs-server", "prelude")
# What no instance needs to serve, and software emulation has no time for.
MASKED = (
    "serial-getty@ttyS0", "getty@tty1", "e2scrub_reap", "rpcbind.service", "rpcbind.socket", "nfs-blkmap",
    "dpkg-db-backup.timer", "fstrim.timer", "systemd-networkd-wait-online", "ldconfig", "systemd-logind",
    "systemd-journal-catalog-update", "systemd-hwdb-update", "systemd-update-utmp", "systemd-update-utmp-runlevel",
    "modprobe@drm", "modprobe@efi_pstore", "modprobe@fuse", "modprobe@configfs",
)  # fmt: skip
DISABLED = (
    "nginx", "apt-daily.timer", "apt-daily-upgrade.timer", "unattended-upgrades", "motd-news.timer",
    "e2scrub_all.timer",
)  # fmt: skip


@dataclass(frozen=True)
class GuestImage:
    """What QEMU boots. The disk is a base that each guest writes over in a file of its own.

    Attributes:
        library: package of a library that each service runs on.
        metrics_agent: package of what writes metrics elsewhere.
        release: of the kernel, as `uname -r` prints it.
    """

    disk: Path
    kernel: Path
    library: Path
    metrics_agent: Path
    release: str


def run(*command: str | Path, **options: object) -> None:
    """Runs a command; the end of what it said is the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise AssertionError(f"{' '.join(map(str, command[:4]))}: {(done.stderr + done.stdout)[-2000:]}")


def _keyring(directory: Path) -> Path:
    """Ubuntu's archive keys, refused unless they are the known ones."""
    package = directory / "ubuntu-keyring.deb"
    run("curl", "-fsS", "-o", package, f"{MIRROR}/{KEYRING}")
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    if found != KEYRING_SHA256:
        raise AssertionError(f"{MIRROR}/{KEYRING} has SHA-256 {found}, which is not {KEYRING_SHA256}")
    run("dpkg-deb", "-x", package, directory / "keyring")
    return directory / "keyring/usr/share/keyrings/ubuntu-archive-keyring.gpg"


def bootstrap(root: Path, packages: str) -> None:
    """The smallest root file system of Ubuntu 24.04 that has these packages."""
    script = Path("/usr/share/debootstrap/scripts/jammy")  # older debootstraps know no noble; the script is the same
    run(
        *("debootstrap", "--variant=minbase", f"--keyring={_keyring(root.parent)}", "--components=main,universe"),
        *(f"--include={packages}", "noble", root, MIRROR, script),
    )


def _debootstrap(root: Path) -> None:
    """A root file system with all packages, nothing started."""
    bootstrap(root, FIRST)
    (root / "etc/apt/sources.list").write_text(SOURCES)
    (root / "etc/dpkg/dpkg.cfg.d/fast").write_text("force-unsafe-io\n")
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf", follow_symlinks=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("chroot", root, "apt-get", "update", "-q", env=quiet)
    run("chroot", root, "apt-get", "install", "-yq", "--no-install-recommends", *PACKAGES, env=quiet)
    run("chroot", root, "apt-get", "clean")
    run("chroot", root, "apt-get", "download", "-q", *OFFERED, env=quiet)
    for name in OFFERED:
        (package,) = root.glob(f"{name}_*.deb")
        shutil.move(package, root.parent / f"{name}.deb")
    shutil.rmtree(root / "var/lib/apt/lists")
    policy.unlink()


def _settle(root: Path) -> None:
    """Makes of the packages a machine that starts as an instance does."""
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "etc/machine-id").write_text("")
    (root / "srv/efs").mkdir(exist_ok=True)
    os.chown(root / "srv/efs", 2000, 2000)
    (root / "etc/resolv.conf").unlink()
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    run("chroot", root, "systemctl", "enable", *ENABLED)
    run("chroot", root, "systemctl", "disable", *DISABLED)
    run("chroot", root, "systemctl", "mask", *MASKED)


def _make(home: Path) -> None:
    root = home / "root"
    _debootstrap(root)
    _settle(root)
    release = next((root / "lib/modules").iterdir()).name
    (home / "release").write_text(release)
    shutil.copy(root / f"boot/vmlinuz-{release}", home / "vmlinuz")
    run("mke2fs", "-q", "-t", "ext4", "-d", root, home / "disk.img", "6G")
    shutil.rmtree(root)


def guest_image() -> GuestImage:
    """The image, built on first use: about a minute and a half, 1 GB of disk, root rights."""
    parts = (FIRST, PACKAGES, OFFERED, FILES, ENABLED, DISABLED, MASKED)
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
    home = cache_directory() / f"guest-{key}"
    make_once(home, home.is_dir, _make, "the guest's disk", print)
    library, metrics_agent = (home / f"{name}.deb" for name in OFFERED)
    return GuestImage(home / "disk.img", home / "vmlinuz", library, metrics_agent, (home / "release").read_text())
