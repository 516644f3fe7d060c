"""The server in a pod, with nothing but the standard library.

    server.py serve COMMAND ...   becomes the server (the container's command)
    server.py ready               exit status 0 when it makes tokens (startup, readiness and liveness probe)
    server.py accompany SECONDS   stays until a pipeline's leader is gone, or so long (a worker's preStop)

The settings come as JSON in TANDEM_POD. LOCAL lives as long as the pod; SHARED holds what all pods of a model compile,
in a directory for each generation. vLLM keeps more in its cache than that, such as what it found out about the node's
GPUs, which no other pod must believe: so its cache is in LOCAL, and only what is compiled leads to SHARED.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import keys
import probe
import starts

LOCAL, SHARED = Path("/local"), Path("/cache")
KEYS = Path("/run/secrets/tandem/vllm.yaml")
COMPILED = ("torch_compile_cache", "deep_gemm")
CONNECTIONS = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"
LOOK_SECONDS = 1


def unsound_keys() -> str:
    """Why no server may be started with the keys that are mounted; empty when it may."""
    try:
        found = list(json.loads(KEYS.read_text())["api-key"])
    except (OSError, ValueError, LookupError, TypeError):
        found = []
    why = keys.refused({f"client {number}": key for number, key in enumerate(found, 1)})
    return why and f"the secret of the API keys: {why}"


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
    if number > starts.TRIES:
        say(f"ended {number - 1} times without a token: with a compile cache of its own")
    link(LOCAL / "cache", empty=number > starts.TRIES)
    os.execvp(command[0], command)  # noqa: S606


def link(cache: Path, *, empty: bool) -> None:
    """Has what is compiled lead to the newest generation; or nowhere, after a start that may have failed of it."""
    cache.mkdir(exist_ok=True)
    for path in (cache / name for name in COMPILED):
        if path.is_symlink():
            path.unlink()
        if not empty and not path.exists():
            target = SHARED / str(generation()) / path.name
            target.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)


def generation() -> int:
    """Of the shared cache: the newest one."""
    return max((int(path.name) for path in SHARED.iterdir() if path.name.isdigit()), default=0)


def ready(pod: dict[str, Any]) -> str:
    """Why the server makes no tokens. When one comes after a start without the shared cache, that one was damaged."""
    body = {"model": pod["served_model_name"], "prompt": "1", "max_tokens": 1}
    if why := probe.trouble(pod["port"], "/v1/completions", body, KEYS):
        if probe.listens(pod["port"]):
            (LOCAL / "opened").touch()
        return why
    if starts.read(LOCAL / "starts")[0] > starts.TRIES:
        (SHARED / str(generation() + 1)).mkdir(exist_ok=True)
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
    if trouble := unsound_keys() if sys.argv[1] == "serve" else ready(settings):
        say(trouble)
        raise SystemExit(1)
    if sys.argv[1] == "serve":
        serve(settings, sys.argv[2:])
