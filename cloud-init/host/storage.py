"""Stage storage: instance-store NVMe as one file system under Docker and the weights, EFS as the fleet's cache."""

from __future__ import annotations

import os
import shutil
import socket

import toolkit
from host import CONFIG, ROOT, STATE, GiveUp, deadline, left, say, sh, wait

LOCAL, SHARED = ROOT / "mnt/local", ROOT / "mnt/efs"
BAKED = STATE / "baked"  # in a machine image of `tandem image bake`; a hub cache in it where weights were baked too
EFS_SECONDS = 180
DOCKER = ("docker", "containerd")  # in /var/lib: from Docker 29 on images are containerd's, before they were its own


def instance_store() -> list[str]:
    """Drives of the instance store. They outlive a reboot, not a stop."""
    return sorted(
        f"/dev/{drive.name}"
        for drive in (ROOT / "sys/block").glob("nvme*")
        if "Instance Storage" in (drive / "device/model").read_text()
    )


def mount_local() -> str:
    """Mounts the NVMe, striped, at LOCAL and puts Docker's images on it; without NVMe all stays on the root volume."""
    LOCAL.mkdir(parents=True, exist_ok=True)
    if os.path.ismount(LOCAL):
        return "NVMe"
    drives = instance_store()
    if os.path.ismount("/opt/dlami/nvme"):  # AWS's deep-learning images stripe the drives themselves
        sh("mount", "--bind", "/opt/dlami/nvme", str(LOCAL))
    elif drives:
        if not sh("blkid", "-L", "tandem", check=False):
            target = drives[0]
            if len(drives) > 1:
                target = "/dev/md/tandem"
                if not (ROOT / "dev/md/tandem").exists():  # an earlier attempt may have made it
                    sh("mdadm", "--create", target, "--run", "--level=0", f"--raid-devices={len(drives)}", *drives)
                sh("udevadm", "settle")  # which gives it its name, later than mdadm returns
            sh("mkfs.ext4", "-q", "-F", "-L", "tandem", "-m", "0", "-E", "nodiscard", target)
        sh("mount", "-o", "noatime", "LABEL=tandem", str(LOCAL))
    else:
        return "no NVMe, root volume"
    if BAKED.exists():  # the container image is on the root volume already
        return f"{len(drives)} NVMe drives, Docker in the machine image"
    sh("systemctl", "stop", "docker.socket", *DOCKER)
    for name in DOCKER:
        (LOCAL / name).mkdir(exist_ok=True)
        sh("mount", "--bind", str(LOCAL / name), f"/var/lib/{name}")
    sh("systemctl", "start", *DOCKER)
    return f"{len(drives)} NVMe drives"


def mount_shared() -> str:
    """Mounts EFS with TLS and the role. Its name may take minutes to resolve; a host can serve without it."""
    efs = CONFIG["efs"]
    if not efs:
        return "no EFS"
    if os.path.ismount(SHARED):
        return "EFS"
    SHARED.mkdir(parents=True, exist_ok=True)
    options = f"tls,iam,accesspoint={efs['access_point_id']},_netdev,noresvport"
    with deadline(min(EFS_SECONDS, left() - 30)):
        while True:
            try:
                toolkit.efs_helper()
                socket.getaddrinfo(f"{efs['id']}.efs.{CONFIG['region']}.{CONFIG['domain']}", 2049)
                sh("mount", "-t", "efs", "-o", options, f"{efs['id']}:/", str(SHARED))
                return "EFS"
            except (OSError, RuntimeError, GiveUp) as error:
                if isinstance(error, GiveUp) or not wait(5):
                    say(f"storage: no EFS, serving from local storage: {error}")
                    return "EFS never came"


def run() -> str:
    return f"{mount_local()}, {mount_shared()}, {shutil.disk_usage(LOCAL).free >> 30} GiB free"
