"""A network in which the metadata service can have its address, on a machine that has none."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

from pulumi_rehearsal.servers import serving
from rehearsal.host.cloud import Cloud
from rehearsal.host.metadata import Metadata

NETWORK = 0x40000000
"""CLONE_NEWNET of sched.h."""
ADDRESS = "169.254.169.254"


@contextlib.contextmanager
def network_with_metadata(cloud: Cloud) -> Iterator[None]:
    """Threads and processes that begin inside of the block are in that network, too. Root's."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as ours:
        if libc.unshare(NETWORK):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            for change in ("link set lo up", f"addr add {ADDRESS}/32 dev lo"):
                subprocess.run(["ip", *change.split()], check=True)
            with serving(ThreadingHTTPServer((ADDRESS, 80), type("Known", (Metadata,), {"cloud": cloud}))):
                yield
        finally:
            if libc.setns(ours.fileno(), NETWORK):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
