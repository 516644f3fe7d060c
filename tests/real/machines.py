"""A host's and a pod's own way to the weights, as processes, with the hub's real client and directories for mounts.

Docker is a script that runs the client as it is. Like a real one, its container outlives the client that started it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import stacks

from rehearsal.host import hub_client
from rehearsal.host.hub import Hub
from tandem.host.render import render_files
from tandem.scripts import DIRECTORY, shared

Kind = Literal["host", "pod"]
SETTLE = """
import os, pathlib, sys
shared, local, seconds, stall = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), *map(float, sys.argv[3:5])
sys.path[:0] = sys.argv[5:]
import hub
hub.STALL_SECONDS = stall or hub.STALL_SECONDS
"""
HOST = f"""{SETTLE}
import aws, host, storage
aws.secret = lambda _: os.environ["TOKEN"]
storage.SHARED = shared
os.path.ismount = lambda path: True
import weights
host.attempt("weights", weights.run, seconds)
"""
POD = f"""{SETTLE}
import pod
pod.SHARED, pod.LOCAL, pod.POLL_SECONDS = shared / "hub", local / "hub", 0.2
raise SystemExit(pod.main(["prepare"]))
"""
DOCKER = """#!/bin/bash
# docker image inspect ...; docker rm -f NAME;
# docker run ... -v HUB:/hub -v TOKEN:/token:ro --env=K=V --entrypoint hf IMAGE download ...
case "$1" in
  image) echo there; exit ;;
  rm) [ -e "$0.pid" ] && kill -9 "$(cat "$0.pid")"; exit 0 ;;
  run) ;;
  *) exit ;;
esac
values=()
while [ "$1" != hf ]; do
  case "$1" in *:/hub) hub=${1%:/hub} ;; *:/token:ro) token=${1%:/token:ro} ;; --env=*) values+=("${1#--env=}") ;; esac
  shift
done
shift 2
setsid env "${values[@]}" HOME="$0.home" HF_HUB_CACHE="$hub" HF_TOKEN_PATH="$token" "$HF" "$@" &
echo $! > "$0.pid"
wait $!
"""


def expected(hub: Hub) -> list[tuple[str, int, str]]:
    """The manifest of a hub's model, from its files themselves."""
    files = [(path, hub.file(path)) for path in shared("manifest").taken(hub.files)]
    return [(file.etag, len(file.data), path) for path, file in files]


def until(condition: Callable[[], object], what: str, seconds: float = 300) -> None:
    """Waits for a condition; the time is for a busy machine."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not in {seconds} s"
        time.sleep(0.05)


@dataclass(frozen=True)
class Machine:
    """One host or pod.

    Attributes:
        root: its own directories.
        efs: what it shares with others.
        hub, url: where it downloads.
        version: of the hub's client in its image.
        revision, manifest: as pinned.
        token: for the hub.
        stall: seconds without a byte that end an attempt; 0 for what the machines have.

    Stands for: Docker and the mounts of a host or a pod that fetches weights.
    Held by: tests/real/test_boot.py::test_the_ledger_tells_each_stage_once_and_in_order (the same stage in real
        Docker), tests/real/test_kubelet.py::test_one_pod_has_the_model_sent_and_both_have_it (a pod's volumes).
    """

    kind: Kind
    root: Path
    efs: Path
    hub: Hub
    url: str
    version: str
    revision: str | None = None
    manifest: str | None = None
    token: str = ""
    stall: float = 0

    @property
    def local(self) -> Path:
        return self.root / ("mnt/local" if self.kind == "host" else "local")

    def snapshot(self, base: Path) -> Path:
        name = self.hub.model.replace("/", "--")
        return base / f"hub/models--{name}/snapshots/{self.hub.commit}"

    def rows(self, base: Path) -> list[tuple[str, int, str]] | None:
        """What a marker says; None without one."""
        with suppress(FileNotFoundError):
            marker = self.snapshot(base).with_name(f"{self.hub.commit}.complete")
            return [(name, size, path) for name, size, path in json.loads(marker.read_text())]
        return None

    def wanted(self) -> dict[str, Any]:
        """What is pinned."""
        return {"model": self.hub.model, "revision": self.revision, "manifest": self.manifest, "weights": "nvme"}

    def _host(self) -> dict[str, str]:
        config = replace(stacks.config("dev"), hub_url=self.url)
        values = json.loads(render_files(config)["/etc/tandem/host.json"])
        values["engine"].update(self.wanted())
        values["token_arn"] = "arn" if self.token else None
        (self.root / "etc/tandem").mkdir(parents=True)
        (self.root / "dev").mkdir()
        (self.root / "etc/tandem/host.json").write_text(json.dumps(values))
        self.tool("docker", DOCKER)
        return {"TANDEM_ROOT": str(self.root), "HF": str(hub_client.client(self.version) / "hf"), "TOKEN": self.token}

    def _pod(self, seconds: float) -> dict[str, str]:
        pod = {**self.wanted(), "minimum_driver_branch": 580, "launch_seconds": seconds, "agent_port": 9}
        self.tool("nvidia-smi", "#!/bin/sh\necho 580.159.04\n")
        (self.root / "bin/hf").symlink_to(hub_client.client(self.version) / "hf")
        secrets = {"keys": [], "hubToken": None}
        named = {"HF_ENDPOINT": self.url, "HF_TOKEN": self.token, "HOME": str(self.root)}
        return {"TANDEM_POD": json.dumps(pod), "TANDEM_SECRETS": json.dumps(secrets), **named}

    def tool(self, name: str, text: str) -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    @contextmanager
    def started(self, seconds: float) -> Iterator[subprocess.Popen[str]]:
        """Its way to the weights, in a process group of its own."""
        script, rooms = (HOST, ("host", "shared")) if self.kind == "host" else (POD, ("pod", "shared"))
        variables = self._host() if self.kind == "host" else self._pod(seconds)
        self.local.mkdir(parents=True)
        paths = [str(DIRECTORY / room) for room in rooms]
        command = [sys.executable, "-c", script, self.efs, self.local, str(seconds), str(self.stall), *paths]
        process = subprocess.Popen(
            command, env={**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", **variables},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            self.kill(process)

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Pulls the plug, and ends what it left running."""
        for pid in (process.pid, *(int(file.read_text()) for file in self.root.glob("bin/*.pid"))):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        process.communicate(timeout=10)


def assert_whole(machine: Machine) -> None:
    """What vLLM loads and nothing else, on EFS and on the machine's own disk, with its manifest and no leftovers."""
    rows = expected(machine.hub)
    for base in (machine.efs, machine.local):
        assert machine.rows(base) == rows
        snapshot = machine.snapshot(base)
        found = {path.relative_to(snapshot).as_posix(): path for path in snapshot.rglob("*") if path.is_file()}
        assert {name: path.read_bytes() for name, path in found.items()} == {
            path: machine.hub.files[path] for _, _, path in rows
        }
        assert not [*base.rglob("*.incomplete"), *base.rglob("*.part")]
