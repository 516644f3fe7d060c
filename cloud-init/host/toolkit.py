"""Stage toolkit: the container toolkit, Docker, nginx: every package that a host needs beside the driver."""

from __future__ import annotations

import hashlib
import shutil

from host import CONFIG, RUN, GiveUp, sh

from packages import apt, fetch, install, missing


def run() -> str:
    packages = missing(CONFIG["host_packages"])
    if packages:
        # Both run from our own units; the distribution's nginx would take port 80 until then.
        sh("systemctl", "mask", *(name for name in ("nginx", "victoria-metrics") if name in CONFIG["host_packages"]))
        install(packages)
    sh("systemctl", "start", "docker")
    return f"{len(packages)} packages installed"


def efs_helper() -> None:
    """AWS's mount helper that does TLS and IAM; Ubuntu has none. One file, known by its checksum."""
    url, _, checksum = CONFIG["efs"]["helper"].partition("#sha256=")
    if shutil.which("mount.efs"):
        return
    if not url:
        raise GiveUp("images/pins.toml pins no efs_utils (tandem pin --packages)")
    file = RUN / "efs-utils.deb"
    file.parent.mkdir(parents=True, exist_ok=True)
    fetch(url, "-o", str(file))
    if hashlib.sha256(file.read_bytes()).hexdigest() != checksum:
        raise GiveUp(f"{url} has another checksum than pinned")
    apt("install", str(file))
    sh("apt-mark", "hold", "amazon-efs-utils")
