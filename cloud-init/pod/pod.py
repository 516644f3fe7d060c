"""Runs inside the pods of an inference service, in the vLLM image's own Python; nothing but the standard library.

    pod.py prepare   before the server: the driver is new enough, the weights are there (init container)
    pod.py ready     exit status 0 when the server makes tokens (startup, readiness and liveness probe)

The settings come as JSON in TANDEM_POD. One pod of a model downloads at a time: the lock is on the shared file system,
which frees it when its holder dies, and the next pod takes over where the download was cut off.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import probe

SHARED, LOCAL = Path("/models/hub"), Path("/local/hub")
KEYS = Path("/run/secrets/tandem/vllm.yaml")
POLL_SECONDS = 5
TOKEN_SECONDS = 20


class GiveUp(Exception):
    """Cannot go on; the message is the pod's last line."""


def check_driver(minimum_branch: int) -> None:
    """Refuses a driver that the image's CUDA does not run on, before anything is downloaded."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if found.returncode:
        raise GiveUp(f"nvidia-smi failed: {(found.stdout + found.stderr).strip()}")
    version = found.stdout.splitlines()[0].strip()
    if int(version.split(".")[0]) < minimum_branch:
        raise GiveUp(f"NVIDIA driver {version} is older than branch {minimum_branch}, which the image's CUDA needs")


def snapshot(hub: Path, model: str, revision: str) -> Path:
    """Where the hub's cache keeps a revision; `main` is looked up among the cache's references."""
    repository = hub / f"models--{model.replace('/', '--')}"
    reference = repository / "refs" / revision
    return repository / "snapshots" / (reference.read_text() if reference.exists() else revision)


def complete(hub: Path, model: str, revision: str) -> Path:
    """Exists once a revision was downloaded or copied whole."""
    found = snapshot(hub, model, revision)
    return found.with_name(f"{found.name}.complete")


@contextlib.contextmanager
def turn(hub: Path, deadline: float) -> Iterator[None]:
    """One pod at a time, until the deadline (time.monotonic)."""
    with (hub / ".tandem.lock").open("w") as lock:
        while True:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise GiveUp("another pod was downloading until the deadline") from None
                time.sleep(POLL_SECONDS)
        yield


def download(hub: Path, model: str, revision: str, deadline: float) -> None:
    """Fetches a revision with the image's own client, which resumes what was cut off."""
    command = ["hf", "download", model, "--revision", revision, "--cache-dir", str(hub)]
    command += ["--exclude", "original/*", "*.pth", "*.gguf"]
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise GiveUp(f"{model} was not downloaded before the deadline")
        try:
            if subprocess.run(command, check=False, timeout=left).returncode == 0:
                break
        except subprocess.TimeoutExpired:
            continue
        time.sleep(min(POLL_SECONDS, max(0, left)))
    complete(hub, model, revision).touch()


def copy(hub: Path, local: Path, model: str, revision: str) -> None:
    """Copies a whole revision to the node's own disk; a copy that was cut off is made again."""
    source = snapshot(hub, model, revision)
    target = snapshot(local, model, source.name)
    need = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    local.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(local).free
    if need > free:
        raise GiveUp(f"{need >> 20} MiB to copy, {free >> 20} MiB free on the node")
    shutil.copytree(source, target, dirs_exist_ok=True)
    if source.name != revision:
        reference = target.parents[1] / "refs" / revision
        reference.parent.mkdir(exist_ok=True)
        reference.write_text(source.name)
    complete(local, model, source.name).touch()


def prepare(pod: dict[str, Any]) -> None:
    """Gate and weights."""
    check_driver(pod["minimum_driver_branch"])
    if pod["weights"] == "s3":
        return
    deadline = time.monotonic() + pod["launch_seconds"]
    model, revision = pod["model"], pod["revision"] or "main"
    SHARED.mkdir(exist_ok=True)
    with turn(SHARED, deadline):
        if not complete(SHARED, model, revision).exists():
            download(SHARED, model, revision, deadline)
    if pod["weights"] == "nvme":
        copy(SHARED, LOCAL, model, revision)


def makes_tokens(pod: dict[str, Any]) -> None:
    """Passes when a token came, or when others' tokens came meanwhile: a full queue is not a hang."""
    port = pod["port"]
    try:
        before = probe.metric(port, "generation_tokens_total")
        try:
            body = {"model": pod["served_model_name"], "prompt": "1", "max_tokens": 1}
            probe.token(port, "/v1/completions", body, KEYS, TOKEN_SECONDS)
        except (OSError, ValueError) as error:
            if probe.metric(port, "generation_tokens_total") <= before:
                raise GiveUp(f"no token in {TOKEN_SECONDS} s: {error}") from None
    except (OSError, ValueError) as error:
        raise GiveUp(f"the server does not answer: {error}") from None


def main(arguments: list[str]) -> int:
    """Exit status 1 with one line when it cannot go on."""
    pod = json.loads(os.environ["TANDEM_POD"])
    try:
        {"prepare": prepare, "ready": makes_tokens}[arguments[0]](pod)
    except GiveUp as error:
        print(f"tandem: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
