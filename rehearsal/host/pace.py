"""How fast a guest is on this machine, so that deadlines mean the same here, elsewhere, and beside other work.

With KVM where a guest really starts under it, else in software emulation, which is some ten times slower. A /dev/kvm
alone says little: nested virtualization may offer one that cannot run the kernel.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from pathlib import Path

EMULATED = "tcg,thread=multi,tb-size=512"
USUAL_SECONDS = 5.5
"""Processor time of a kernel without a disk until it panics, emulated on the machine that deadlines were set on."""


def _panic(kernel: Path, accelerator: str, seconds: float) -> float | None:
    """Processor time until the kernel looks in vain for its root file system; None when it does not come that far."""
    command = ["qemu-system-x86_64", "-accel", accelerator, "-cpu", "max", "-m", "512", "-nographic", "-no-reboot"]
    command += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1"]
    before = os.times()
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
        if b"VFS: Unable to mount root fs" in done.stdout:
            after = os.times()
            return sum(after[2:4]) - sum(before[2:4])
    return None


@functools.cache
def accelerator(kernel: Path) -> str:
    """`kvm` if the kernel comes as far as looking for its root file system under it, else software emulation."""
    with contextlib.suppress(OSError), Path("/dev/kvm").open("r+b"):
        return "kvm" if _panic(kernel, "kvm", 10) else EMULATED
    return EMULATED


@functools.cache
def slowness(kernel: Path) -> float:
    """How much slower a guest is here than where deadlines were set: measured once a run, and never below 1."""
    took = None if accelerator(kernel) == "kvm" else _panic(kernel, EMULATED, 600)
    return max(1.0, (took or 0) / USUAL_SECONDS)


def waited(pid: int) -> float:
    """Seconds that the slowest thread of a process was ready to run and got no processor (Linux's schedstat)."""
    found = [0.0]
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # that thread has just ended
            found.append(int(file.read_text().split()[1]) / 1e9)
    return max(found)
