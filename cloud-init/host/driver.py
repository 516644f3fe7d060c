"""Stage driver: the pinned NVIDIA driver, and the CDI specification of its GPUs."""

from __future__ import annotations

import os
import shutil
from typing import Any

import aws
from gate import new_enough
from host import CONFIG, ROOT, GiveUp, say, sh

from packages import apt, install

BRANCH = CONFIG["driver_branch"]


def profile() -> dict[str, Any]:
    """What this instance type needs; the launch template lists the types that it was written for."""
    known, name = CONFIG["instance_types"], aws.identity()["instanceType"]
    if name not in known:
        raise GiveUp(f"instance type {name} is not one of {', '.join(known)}")
    return known[name]


def gate() -> str:
    """Refuses what could not serve: another instance type, or a driver that does not run the image's CUDA."""
    profile()
    new_enough(str(BRANCH), CONFIG["minimum_driver_branch"])
    return f"driver branch {BRANCH}"


def present() -> str:
    """Version of the kernel module, loaded or on disk; an empty string without a driver."""
    loaded = ROOT / "sys/module/nvidia/version"
    return (loaded.read_text() if loaded.exists() else sh("modinfo", "-F", "version", "nvidia", check=False)).strip()


def remove() -> None:
    """Takes out a driver of another branch, however it came, and its modules out of the kernel."""
    sh("systemctl", "stop", "nvidia-persistenced", "nvidia-fabricmanager", check=False)
    if shutil.which("nvidia-uninstall"):
        sh("nvidia-uninstall", "--silent")
    apt("purge", "?and(?installed,?or(?name(nvidia),?name(cuda-drivers)),?not(?name(container)))")
    for module in ("nvidia_uvm", "nvidia_drm", "nvidia_modeset", "nvidia"):
        if (ROOT / "sys/module" / module).exists():
            sh("modprobe", "-r", module)


def run() -> str:
    needs = profile()
    packages = needs["driver_packages"]
    version = present()
    detail = f"{version} was there"
    if not version.startswith(f"{BRANCH}."):
        if version:
            say(f"driver: {version} was there, branch {BRANCH} is pinned: replacing it")
            remove()
        kernel = os.uname().release
        names = [f"linux-headers-{kernel}"]
        if "nvlsm" in packages and not sh("modinfo", "mlx5_ib", check=False):
            names.append(f"linux-modules-extra-{kernel}")
        install([*names, *packages])
        sh("modprobe", "nvidia")
        detail = f"{present()} installed"
    if "nvlsm" in packages:  # from NVLink 5 on, Fabric Manager reaches the switches by InfiniBand
        sh("modprobe", "-a", "mlx5_ib", "ib_umad")
    if "nvidia-fabricmanager" in packages:
        sh("systemctl", "enable", "--now", "nvidia-fabricmanager")
    sh("nvidia-smi", "-pm", "1")
    gpus = len(sh("nvidia-smi", "-L").splitlines())
    if gpus != needs["gpus"]:
        raise RuntimeError(f"{gpus} GPUs answer, {needs['gpus']} expected")
    specify()
    return f"{detail}, {gpus} GPUs"


def specify() -> None:
    """Writes the CDI specification. nvidia-ctk leaves out a device that is not there yet, and calls that a success."""
    sh("nvidia-ctk", "system", "create-device-nodes", "--control-devices", "--load-kernel-modules")
    file = ROOT / "var/run/cdi/nvidia.yaml"
    sh("nvidia-ctk", "cdi", "generate", f"--output={file}")
    if "/dev/nvidia-uvm\n" not in file.read_text():
        raise RuntimeError(f"{file} has no /dev/nvidia-uvm, without which CUDA does not start")
