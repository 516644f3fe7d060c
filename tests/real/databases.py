"""A real PostgreSQL and a real Redis, the distribution's, on free ports of 127.0.0.1, in directories of their own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from edge import wait_for

from pulumi_rehearsal.servers import free_port, running

MEMORY = Path("/dev/shm")
PASSWORD = "of-the-cache"
OWNER = "postgres"
"""PostgreSQL does not run as root; where tests do, it is its package's user."""
AS_OWNER = ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"] if os.geteuid() == 0 else []
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB", "max_connections=60")
"""Nothing here outlives the machine."""


def program(name: str) -> Path:
    """Of the newest PostgreSQL there is."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if not found:
        pytest.fail("PostgreSQL is not installed: `make test-real` installs it, or `apt-get install postgresql`")
    return found[-1]


def version() -> str:
    """Its major version, to which a cluster's files belong."""
    return program("postgres").parts[4]


@contextlib.contextmanager
def room() -> Iterator[Path]:
    """A directory of PostgreSQL's own user, in memory where there is some."""
    with tempfile.TemporaryDirectory(prefix="tandem-postgres-", dir=MEMORY if MEMORY.is_dir() else None) as directory:
        if AS_OWNER:
            shutil.chown(directory, OWNER, OWNER)
        yield Path(directory)


def initialised(directory: Path, user: str) -> Path:
    """An empty cluster; whoever comes from this machine is who they say."""
    data = directory / "data"
    command = [program("initdb"), "-D", data, "-U", user, "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run([*AS_OWNER, *command], check=True, stdout=subprocess.DEVNULL, cwd=directory)
    return data


@dataclass
class Postgres:
    """A cluster that can be stopped, and started where it was."""

    data: Path
    port: int
    user: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = [f"--{option}" for option in (*FAST, "listen_addresses=127.0.0.1", "unix_socket_directories=")]
        command = [*AS_OWNER, program("postgres"), "-D", self.data, "-p", str(self.port), *options]
        with (self.data.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.data, start_new_session=True)
        wait_for(self.port, self.process, 60)

    def stop(self) -> None:
        """Ends connections, as a failover does."""
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
            self.process = None

    def url(self, database: str) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{database}"

    def sql(self, text: str, database: str) -> str:
        """What statements say, a line for each row.

        Raises:
            subprocess.CalledProcessError: one of them failed.
        """
        command = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", self.url(database)]
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def postgres(data: Path, user: str) -> Iterator[Postgres]:
    """Runs until the block ends."""
    cluster = Postgres(data, free_port(), user)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[int]:
    """Its port. It keeps nothing on the disk, and asks for `PASSWORD`."""
    if not shutil.which("redis-server"):
        pytest.fail("Redis is not installed: `make test-real` installs it, or `apt-get install redis-server`")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    command += ["--requirepass", PASSWORD]
    with running(command, directory / "redis.log") as process:
        wait_for(port, process, 20)
        yield port
