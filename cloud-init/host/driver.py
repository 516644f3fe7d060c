"""Stage driver: the pinned NVIDIA driver, and the CDI specification of its GPUs."""

import os
import shutil

import aws
from gate import new_enough
from host import CONFIG, ROOT, GiveUp, apt, install, say, sh

BRANCH = CONFIG["driver_branch"]


def profile():
    """What this instance type needs; the launch template lists the types that it was written for."""
    known, name = CONFIG["instance_types"], aws.identity()["instanceType"]
    if name not in known:
        raise GiveUp(f"instance type {name} is not one of {', '.join(known)}")
    return known[name]


def gate():
    """Refuses what could not serve: another instance type, or a driver that does not run the image's CUDA."""
    profile()
    new_enough(str(BRANCH), CONFIG["minimum_driver_branch"])
    return f"driver branch {BRANCH}"


def present():
    """Version of the kernel module, loaded or on disk; an empty string without a driver."""
    loaded = ROOT / "sys/module/nvidia/version"
    return (loaded.read_text() if loaded.exists() else sh("modinfo", "-F", "version", "nvidia", check=False)).strip()


def remove():
    """Takes out a driver of another branch, however it came, and its modules out of the kernel."""
    sh("systemctl", "stop", "nvidia-persistenced", "nvidia-fabricmanager", check=False)
    if shutil.which("nvidia-uninstall"):
        sh("nvidia-uninstall", "--silent")
    apt("purge", "?and(?installed,?or(?name(nvidia),?name(cuda-drivers)),?not(?name(container)))")
    for module in ("nvidia_uvm", "nvidia_drm", "nvidia_modeset", "nvidia"):
        if (ROOT / "sys/module" / module).exists():
            sh("modprobe", "-r", module)


def run():
    needs = profile()
    version = present()
    detail = f"{version} was there"
    if not version.startswith(f"{BRANCH}."):
        if version:
            say(f"driver: {version} was there, branch {BRANCH} is pinned: replacing it")
            remove()
        install([f"linux-headers-{os.uname().release}", *needs["driver_packages"]])
        sh("modprobe", "nvidia")
        detail = f"{present()} installed"
    if "nvidia-fabricmanager" in needs["driver_packages"]:
        sh("systemctl", "enable", "--now", "nvidia-fabricmanager")
    sh("nvidia-smi", "-pm", "1")
    gpus = len(sh("nvidia-smi", "-L").splitlines())
    if gpus != needs["gpus"]:
        raise RuntimeError(f"{gpus} GPUs answer, {needs['gpus']} expected")
    sh("nvidia-ctk", "cdi", "generate", "--output=/var/run/cdi/nvidia.yaml")
    return f"{detail}, {gpus} GPUs"
