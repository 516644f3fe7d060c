"""A virtual machine in QEMU that finds EC2's metadata service where EC2 has it.

Stands for: an EC2 instance of type g6.12xlarge.
Held by: nothing, what it boots is Ubuntu's own and the metadata service is rehearsal/host/cloud.py's.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pulumi_rehearsal.servers import ending_with_us, free_port
from rehearsal.host import pace
from rehearsal.host.guest_image import GuestImage, run

OUTSIDE = "169.254.169.2"
"""This machine, as the guest sees it; the metadata service is at 169.254.169.254 of the same network."""

# EC2's own marks, by which cloud-init knows where it runs.
SMBIOS = (
    "type=1,manufacturer=Amazon EC2,product=g6.12xlarge,uuid=ec2e1916-9099-7caf-fd21-012345abcdef,"
    "serial=ec2e1916-9099-7caf-fd21-012345abcdef"
)


@dataclass(frozen=True)
class Line:
    """One line of the console, and when it came: seconds since power-on."""

    at: float
    text: str


class Guest:
    """A running machine. Its disk is a layer over the image, so that each test has a fresh one.

    Args:
        prelude: files to put in place before the first boot, and among them a script `prelude` to run then.
        drives: NVMe drives of an instance store.

    Attributes:
        disk: what this machine wrote, as a qcow2 layer over the image.
    """

    def __init__(
        self, image: GuestImage, directory: Path, metadata_port: int, prelude: Path | None = None, drives: int = 0
    ) -> None:
        self._image, self._directory, self._metadata_port, self._prelude = image, directory, metadata_port, prelude
        self._drives = [directory / f"nvme{number}.qcow2" for number in range(drives)]
        self.disk, self._agent_path = directory / "disk.qcow2", directory / "agent.sock"
        self.edge_port = free_port()
        self.console: list[Line] = []
        self._process: subprocess.Popen[str] | None = None
        self._requests = itertools.count()

    def __enter__(self) -> Guest:
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self._image.disk, self.disk)
        for drive in self._drives:
            run("qemu-img", "create", "-q", "-f", "qcow2", drive, "4G")
        self.power_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            print("console of the guest, last 40 lines:", *(line.text for line in self.console[-40:]), sep="\n  ")
        self.kill()

    def power_on(self) -> None:
        """Starts the machine, for the first time or again on the same disk."""
        self._agent_path.unlink(missing_ok=True)
        network = (
            f"user,id=n,net=169.254.169.0/24,host={OUTSIDE},dns=169.254.169.3"
            f",hostfwd=tcp:127.0.0.1:{self.edge_port}-:8080"
            f",guestfwd=tcp:169.254.169.254:80-cmd:socat - TCP:127.0.0.1:{self._metadata_port}"
        )
        kernel = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet apparmor=0 mitigations=off ds=ec2"
        kernel += " modprobe.blacklist=floppy"  # which no instance has, and whoever looks for a label waits for
        command = [
            *("qemu-system-x86_64", "-machine", "pc", "-accel", pace.accelerator(self._image.kernel), "-cpu", "max"),
            *("-m", "2048", "-smp", "2", "-nographic", "-no-reboot", "-smbios", SMBIOS),
            *("-kernel", str(self._image.kernel), "-append", kernel),
            *("-drive", f"file={self.disk},if=virtio,format=qcow2,cache=unsafe"),
            *(["-drive", f"file={self._prelude},if=virtio,format=raw,readonly=on"] if self._prelude else []),
            *(
                word
                for number, drive in enumerate(self._drives)
                for word in (
                    *("-drive", f"file={drive},if=none,id=nvme{number},format=qcow2,cache=unsafe"),
                    *("-device", f"nvme,drive=nvme{number},serial=AWS{number:017}"),
                )
            ),
            *("-netdev", network, "-device", "virtio-net-pci,netdev=n"),
            *("-chardev", f"socket,path={self._agent_path},server=on,wait=off,id=agent", "-device", "virtio-serial"),
            *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
        ]
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            ending_with_us(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read_console, args=(self._process, self._started), daemon=True).start()

    def _read_console(self, process: subprocess.Popen[str], started: float) -> None:
        assert process.stdout
        with (self._directory / "console.log").open("a") as log:
            for text in process.stdout:
                clean = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text).rstrip()
                self.console.append(Line(time.monotonic() - started, clean))
                print(clean, file=log, flush=True)

    def uptime(self) -> float:
        """Seconds since power-on."""
        return time.monotonic() - self._started

    def clock(self) -> float:
        """Seconds of work that the machine could do since power-on; deadlines are counted by it.

        Less than the time that went by: while another process had its processor, the machine stood still, and a slower
        computer does less. So a deadline says the same beside other work, and anywhere.
        """
        waited = pace.waited(self._process.pid) if self._process else 0
        return (self.uptime() - waited) / pace.slowness(self._image.kernel)

    def eventually(self, condition: Callable[[], object], what: str, seconds: float) -> None:
        """Waits until a condition holds; errors of a machine in between count as not yet."""
        deadline = self.clock() + seconds
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError, ValueError):
                if condition():
                    return
            if self.clock() > deadline:
                raise AssertionError(f"{what}: not in {seconds} s")
            time.sleep(0.5)

    def wait_for_line(self, pattern: str, seconds: float, since: int = 0) -> Line:
        """The first console line from number `since` on that matches; an error when none comes in time."""
        deadline = self.clock() + seconds
        while self.clock() < deadline:
            for line in self.console[since:]:
                if re.search(pattern, line.text):
                    return line
            if self._process and self._process.poll() is not None:
                raise AssertionError(f"the guest ended before {pattern!r}")
            time.sleep(0.1)
        raise AssertionError(f"no line {pattern!r} in {seconds} s")

    def _ask(self, execute: str, timeout: float = 120, **arguments: Any) -> Any:
        """One command of the guest agent. What it answers late, to a command that was given up, is passed over."""
        request = {"execute": execute, "id": next(self._requests), **({"arguments": arguments} if arguments else {})}
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(timeout)
            agent.connect(str(self._agent_path))
            agent.sendall(json.dumps(request).encode() + b"\n")
            for line in agent.makefile("rb"):
                found = json.loads(line)
                if found.get("id") == request["id"]:
                    break
            else:
                raise OSError("the agent hung up")
        if "error" in found:
            raise AssertionError(f"{execute}: {found['error']}")
        return found["return"]

    def wait_for_agent(self, seconds: float) -> None:
        """Waits until commands can be run inside."""
        deadline = self.clock() + seconds
        while self.clock() < deadline:
            with contextlib.suppress(OSError):
                self._ask("guest-ping", timeout=3)
                return
        raise AssertionError(f"no agent in {seconds} s")

    def run(self, command: str, seconds: float = 60, check: bool = True) -> str:
        """Runs a shell command inside and returns its output."""
        ask = {"path": "/bin/sh", "arg": ["-c", command], "capture-output": True}
        pid = self._ask("guest-exec", **ask)["pid"]
        deadline = self.clock() + seconds
        while not (status := self._ask("guest-exec-status", pid=pid))["exited"]:
            if self.clock() > deadline:
                raise AssertionError(f"{command}: no end after {seconds} s")
            time.sleep(0.1)
        output = (base64.b64decode(status.get(key, "")) for key in ("out-data", "err-data"))
        text = b"".join(output).decode(errors="replace")
        if check and status.get("exitcode"):
            raise AssertionError(f"{command}: {text[-2000:]}")
        return text

    def ledger(self) -> list[dict[str, Any]]:
        """What the stages wrote down."""
        return [json.loads(line) for line in self.run("cat /var/lib/tandem/ledger.jsonl").splitlines()]

    def power_off(self, seconds: float = 120) -> None:
        """Shuts down as an operator does, and waits for the end."""
        # The agent may be gone before it can say how the command ended.
        self._ask("guest-exec", path="/bin/systemctl", arg=["poweroff", "--no-block"])
        self.wait_until_off(seconds)

    def wait_until_off(self, seconds: float) -> None:
        """Waits for a machine that switches itself off."""
        assert self._process
        deadline = self.clock() + seconds
        while self._process.poll() is None:
            if self.clock() > deadline:
                raise AssertionError(f"still on after {seconds} s")
            time.sleep(0.1)

    def kill(self) -> None:
        """Pulls the plug."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait(10)
