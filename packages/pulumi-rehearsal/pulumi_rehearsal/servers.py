"""Servers of our own on 127.0.0.1, in this process or beside it: free ports for them, and an orderly end."""

from __future__ import annotations

import errno
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

STOP_SECONDS = 10
OWN_PORTS = range(10_000, 32_768)
"""Below what kernels give to clients' connections (Linux from 32,768 on, macOS and Windows from 49,152): none of them
takes such a port between its choice and its use."""
_running: set[subprocess.Popen[bytes]] = set()


class QuietServer(ThreadingHTTPServer):
    """An HTTP server in this process; a client that has gone before its answer is no news."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """Answers from a thread of its own until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, all different."""
    found: list[int] = []
    for port in random.sample(OWN_PORTS, len(OWN_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(errno.EADDRINUSE, f"of the ports {OWN_PORTS.start} to {OWN_PORTS.stop - 1} none is free")


def free_port() -> int:
    return free_ports(1)[0]


def ending_with_us(command: Sequence[str | Path]) -> list[str | Path]:
    """The command, which the kernel kills when this process is gone, however it went.

    To the kernel that is the thread that starts it (`man 2const PR_SET_PDEATHSIG`): it must live as long.
    """
    return ["setpriv", "--pdeathsig", "KILL", "--", *command] if sys.platform == "linux" else [*command]


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks a process to end, and ends it when it does not."""
    process.terminate()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server until the block ends; what it prints goes to the log file."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            ending_with_us(command),
            env={**os.environ, **(variables or {})},
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal goes to every process of its group; we end it ourselves, after what still needs it
            start_new_session=True,
        )
        _running.add(process)
        try:
            yield process
        finally:
            stop(process)
            _running.discard(process)


def stop_all() -> None:
    """Ends every server of this process, for when no block comes to its end any more."""
    for process in [*_running]:
        stop(process)
