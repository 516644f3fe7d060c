"""The server in a pod, with nothing but the standard library.

    server.py serve COMMAND ...   becomes the server (the container's command)
    server.py ready               exit status 0 when it makes tokens (startup, readiness and liveness probe)
    server.py attend              keeps what was compiled for later pods (beside the server, at its first token)
    server.py accompany SECONDS   stays until a pipeline's leader is gone, or so long (a worker's preStop)

The settings come as JSON in TANDEM_POD. LOCAL lives as long as the pod, and the server's compile cache is there; SHARED
is the model's own, and holds what pods kept for later ones, in a directory for each kind of GPU, image and arguments.
Only `attend` may write there, in a container that clients have no way to: the server reads.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import compiled
import ledger
import probe
import starts
from basics import write

LOCAL, SHARED = Path("/local"), Path("/cache")
CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"
LOOK_SECONDS = 1


def serve(pod: dict[str, Any], command: list[str]) -> None:
    """Becomes the server, changed by how its last starts in this pod ended."""
    number, since = starts.read(LOCAL / "starts")
    opened, alone = LOCAL / "opened", LOCAL / "without-peers"
    if pod["over_pcie"] and number and not opened.exists() and time.time() - since > pod["start_seconds"]:
        alone.touch()
    opened.unlink(missing_ok=True)
    if alone.exists():
        say("a start never opened its port: without peer-to-peer over PCIe from now on")
        os.environ["NCCL_P2P_DISABLE"] = "1"
        command = [*command, "--disable-custom-all-reduce"]
    number = starts.count(LOCAL / "starts")
    if number == starts.TRIES + 1:
        say(f"ended {number - 1} times without a token: once more with an empty compile cache")
    if number == starts.TRIES + 1 or not (LOCAL / "cache").exists():
        write(LOCAL / "kept", f"{gpu()}-{pod['kind']}")
        compiled.begin(LOCAL / "cache", kept(pod) if number <= starts.TRIES else None)
    os.execvp(command[0], command)  # noqa: S606


def gpu() -> str:
    """Its name, as a directory may be called."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return "gpu"
    return re.sub(r"\W+", "-", found.partition("\n")[0].strip())


def kept(pod: dict[str, Any]) -> Path | None:
    """Where what this pod's kind compiles is kept; None where what the server wrote is no name of this kind."""
    name = (LOCAL / "kept").read_text()
    return SHARED / name if re.fullmatch(rf"[\w-]{{1,100}}-{pod['kind']}", name) else None


def keep(pod: dict[str, Any]) -> None:
    """Keeps it, unless another pod has; in place of one with which no server of this pod came as far as a token."""
    if not (place := kept(pod)):
        return
    if (LOCAL / "damaged").exists():
        compiled.forget(place, socket.gethostname())
    compiled.keep(LOCAL / "cache", place, socket.gethostname())


def attend(pod: dict[str, Any]) -> None:
    """Once in a pod's life, from its first token on, when the load balancer begins to send it requests: whoever gets
    into a server later changes nothing of what others begin with. For the same reason not when it starts again.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    if not (LOCAL / "token").exists():
        while not (LOCAL / "token").exists():
            time.sleep(LOOK_SECONDS)
        try:
            keep(pod)
        except OSError as error:
            say(f"nothing is kept for later pods: {error}")
    while True:
        signal.pause()


def ready(pod: dict[str, Any]) -> str:
    """Why the server makes none of what it is asked for. When it does after a start with an empty cache, the one before
    was damaged."""
    if why := probe.trouble(pod["port"], **pod["probe"]):
        if probe.listens(pod["port"]):
            (LOCAL / "opened").touch()
        return why
    number, since = starts.read(LOCAL / "starts")
    if number > starts.TRIES:
        (LOCAL / "damaged").touch()
    if number and (LOCAL / "kept").exists():
        (LOCAL / "token").touch()
    if number:
        ledger.tell(pod["agent_port"], "ready", since)
    (LOCAL / "starts").unlink(missing_ok=True)
    return ""


def accompany(seconds: float) -> None:
    """Stays while this stage and another hold a connection: the leader ends its answers, then itself.

    A stage that stays longer holds GPUs for nothing, and the pipeline that comes in its place must wait for its name.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and connected():
        time.sleep(LOOK_SECONDS)


def connected() -> bool:
    """Whether a TCP connection to another address than one's own is open:
    https://docs.kernel.org/networking/proc_net_tcp.html"""
    for table in CONNECTIONS:
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, remote, state, *_ = line.split()
            if state == ESTABLISHED and local.partition(":")[0] != remote.partition(":")[0]:
                return True
    return False


def say(text: str) -> None:
    """One line among the server's own."""
    print(f"tandem: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "accompany":
        accompany(float(sys.argv[2]))
        raise SystemExit
    settings = json.loads(os.environ["TANDEM_POD"])
    if sys.argv[1] == "attend":
        attend(settings)
    if sys.argv[1] == "serve":
        serve(settings, sys.argv[2:])
    if trouble := ready(settings):
        say(trouble)
        raise SystemExit(1)
