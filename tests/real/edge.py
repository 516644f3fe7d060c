"""A real nginx with the rendered configuration, before whatever listens on the given ports."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from infra.host.config import HostConfig
from infra.host.render import render_nginx


@dataclass(frozen=True)
class Nginx:
    """A running nginx: its port, and the directory that holds its access log and health file."""

    port: int
    directory: Path

    def raw(self, request: bytes, timeout: float = 10) -> bytes:
        """Sends bytes as they are and reads until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(request)
            answer = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while part := connection.recv(65536):
                    answer += part
            return answer

    def status(self, request: bytes) -> int:
        """Status of the one answer to a raw request that closes its connection."""
        return int(self.raw(request).split(b" ", 2)[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Waits until something accepts connections on a port, or the process that should has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"{process.args} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {port} after {seconds} s")


@contextlib.contextmanager
def nginx(config: HostConfig, ports: Sequence[int], directory: Path, max_conns: int = 0) -> Iterator[Nginx]:
    """Runs nginx as a host does; only its port and its directories are others.

    Args:
        max_conns: requests at once to each server; 0 for no bound.
    """
    if not shutil.which("nginx"):
        pytest.fail("nginx is not installed: `make test-real` installs it, or `apt-get install nginx`")
    port = free_port()
    config = replace(config, edge=replace(config.edge, port=port))
    text = render_nginx(config)
    for path in ("/run/tandem", "/var/log/tandem"):
        text = text.replace(path, str(directory))
    # pytest keeps its directories to their owner, so the workers must be that.
    text = text.replace("user www-data;", "user root;")
    file = directory / "nginx.conf"
    file.write_text(text)
    (directory / "upstream.conf").write_text(
        "".join(f"server 127.0.0.1:{number} max_conns={max_conns};\n" for number in ports)
    )
    (directory / "www").mkdir(exist_ok=True)
    directory.chmod(0o755)
    errors = (directory / "errors").open("wb")
    process = subprocess.Popen(["nginx", "-c", str(file), "-g", "daemon off;"], stderr=errors)
    try:
        wait_for(port, process, 10)
        yield Nginx(port, directory)
    finally:
        process.terminate()
        process.wait(20)
        errors.close()
