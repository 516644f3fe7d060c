"""The host that downloads for the fleet dies in the middle: another takes over where it was, and checks the result.

Two processes of a host's own script, each with a root of its own, on one shared directory that stands for EFS. Docker
is a script that runs the image's `hf` as it is.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import stacks
from scripts import SCRIPTS

from infra.host import render_files
from rehearsal.host.cloud import WEIGHTS, Cloud, serving
from rehearsal.host.packages import SignedRepository
from rehearsal.host.registry import stub_image

pytestmark = pytest.mark.real

HOST = """
import os, pathlib, sys
sys.path.insert(0, sys.argv[1])
import storage
storage.SHARED = pathlib.Path(sys.argv[2])
os.path.ismount = lambda path: True
import weights
print(weights.run(), flush=True)
"""
DOCKER = """#!/bin/sh
# docker image ...; docker rm ...; docker run ... -v HUB:/hub ... -e HF_ENDPOINT=... IMAGE download ... /hub ...
case "$1" in image) echo there; exit ;; run) ;; *) exit ;; esac
while [ "$1" != download ]; do
  case "$1" in --name) shift ;; *:/hub) hub=${1%:/hub} ;; HF_ENDPOINT=*) export "$1" ;; esac
  shift
done
exec "$HF" "$1" "$2" "$3" "$4" --cache-dir "$hub"
"""


@dataclass(frozen=True)
class Hosts:
    """Starts hosts on one shared directory."""

    directory: Path
    shared: Path
    files: dict[str, str]

    @contextmanager
    def started(self, name: str) -> Iterator[subprocess.Popen[str]]:
        """One host's stage `weights`, in a process group of its own."""
        root = self.directory / name
        for path in ("etc/tandem", "mnt/local"):
            (root / path).mkdir(parents=True)
        (root / "etc/tandem/host.json").write_text(self.files["/etc/tandem/host.json"])
        environment = {
            **os.environ,
            "TANDEM_ROOT": str(root),
            "PATH": f"{self.directory}:{os.environ['PATH']}",
            "HF": str(self.directory / "hf"),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", HOST, str(SCRIPTS), str(self.shared)], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=10)

    def parts(self) -> list[int]:
        """Sizes of what has been fetched of files that are not whole."""
        return [path.stat().st_size for path in self.shared.rglob("*.safetensors.incomplete")]


def waits_for_its_turn(process: subprocess.Popen[str]) -> bool:
    """True once a process has the lock's file open."""
    with suppress(FileNotFoundError):  # closed between listing and looking
        return any(file.readlink().name == ".tandem.lock" for file in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


@pytest.fixture
def cloud() -> Cloud:
    return Cloud(stalled_downloads=1)


@pytest.fixture
def hosts(cloud: Cloud, tmp_path: Path) -> Iterator[Hosts]:
    image = stub_image(tmp_path)
    (tmp_path / "hf").symlink_to("vllm")
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "shared").mkdir()
    with serving(cloud, SignedRepository(tmp_path, "", tmp_path), image) as at:
        config = replace(stacks.config("dev"), hub_url=f"http://127.0.0.1:{at.files}")
        yield Hosts(tmp_path, tmp_path / "shared", render_files(config))


def test_another_host_goes_on_where_the_dead_one_was_and_checks_the_whole(hosts: Hosts, cloud: Cloud) -> None:
    third = len(WEIGHTS) // 3
    with hosts.started("first") as first, ExitStack() as stack:
        cloud.wait_for(lambda: hosts.parts() == [third], 30, "the first host in mid-download")
        second = stack.enter_context(hosts.started("second"))
        cloud.wait_for(lambda: waits_for_its_turn(second), 30, "the second host at the lock")
        assert cloud.downloads[-1] == "model.safetensors from 0", "the second host waits"
        os.killpg(first.pid, signal.SIGKILL)
        said, errors = second.communicate(timeout=60)
    assert said.strip() == "downloaded to EFS, copied to local storage", errors
    assert [line for line in cloud.downloads if line.startswith("model")] == [
        "model.safetensors from 0",
        f"model.safetensors from {third}",
    ]
    name = hashlib.sha256(WEIGHTS).hexdigest()
    for place in (hosts.shared, hosts.directory / "second/mnt/local"):
        (blob,) = place.rglob(f"blobs/{name}")
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == name
        assert [path.name for path in place.rglob("*.complete")] == [f"{'0' * 40}.complete"]
    assert not hosts.parts()
