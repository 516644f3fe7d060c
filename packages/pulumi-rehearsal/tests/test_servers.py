"""Servers go with the process that started them."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pulumi_rehearsal import servers

STARTS = """
import sys, time
from pathlib import Path
from pulumi_rehearsal.servers import running

with running(["sleep", "600"], Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_does_not_outlive_who_started_it(tmp_path: Path, ends: signal.Signals) -> None:
    """Neither signal leaves Python time to stop it."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, tmp_path / "log"], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        _until(lambda: _state(server)[:1] == ["sleep"])
        parent.send_signal(ends)
        parent.wait(10)
    _until(lambda: _state(server)[1:2] in ([], ["Z"]))  # a dead process that nobody has waited for is none


def _state(pid: int) -> list[str]:
    """What it runs, and what the kernel says of it (`man 5 proc_pid_stat`); nothing when it is gone."""
    try:
        _, name, rest = re.split(r"[()]", Path(f"/proc/{pid}/stat").read_text())
    except FileNotFoundError:
        return []
    return [name, rest.split()[0]]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_free_ports_are_none_that_a_client_could_be_given_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert max(servers.OWN_PORTS) < int(first)
    taken, free = servers.free_ports(2)
    monkeypatch.setattr(servers, "OWN_PORTS", [taken, free])
    with socket.create_server(("127.0.0.1", taken)):
        assert servers.free_ports(1) == [free]
