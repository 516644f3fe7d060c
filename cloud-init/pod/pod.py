"""Runs inside the pods of an inference service, in the vLLM image's own Python; nothing but the standard library.

    pod.py prepare   before the server: the driver is new enough, and the weights are there (init container)

The settings come as JSON in TANDEM_POD. One pod downloads at a time: the lock is on the shared file system, which frees
it when its holder dies, and the next pod takes over. A compose project on a plain GPU box runs it, too.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hub
import ledger
import role
from basics import GiveUp, deadline, wait
from cache import Cache
from gate import new_enough
from server import say

SHARED, LOCAL = Path("/models/hub"), Path("/local/hub")
HUB = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
POLL_SECONDS = 5


def check_driver(least: int) -> None:
    """Refuses a driver that the image's CUDA does not run on, before anything is downloaded."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:  # NVIDIA's runtime puts the tool into pods
        raise GiveUp(f"nvidia-smi failed: {error}") from None
    version = found.stdout.partition("\n")[0].strip()
    if found.returncode or not version[:1].isdigit():
        raise GiveUp(f"nvidia-smi failed: {(found.stdout + found.stderr).strip() or 'it said nothing'}")
    new_enough(version, least)


def client(environment: dict[str, str]) -> list[str]:
    """Runs the image's own hub client, which finds the token in the environment of this process."""
    return ["env", *(f"{name}={value}" for name, value in environment.items()), f"HF_HUB_CACHE={SHARED}", "hf"]


def download(to: Cache) -> None:
    """Fetches the revision; for a gated model with the stack's token, which only this container may read."""
    if arn := json.loads(os.environ["TANDEM_SECRETS"])["hubToken"]:
        os.environ["HF_TOKEN"] = (role.secret(arn) or "").strip()
    hub.download(to, HUB, os.environ.get("HF_TOKEN", ""), client)


def place(pod: dict[str, Any]) -> None:
    """Has the model, its adapters and its draft where the tier wants them: on the shared file system once, then on the
    node's own disk."""
    for wanted in (pod, *pod.get("adapters", ()), *pod.get("drafts", ())):
        shared = Cache(SHARED, wanted)
        shared.fetch(download)
        if pod["weights"] == "efs":
            shared.look()
            continue
        try:
            shared.copy(Cache(LOCAL, wanted))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise GiveUp(f"{error.strerror} on the node") from None


def prepare(pod: dict[str, Any]) -> None:
    """Gate and weights; what fails is tried again until the deadline."""
    check_driver(pod["minimum_driver_branch"])
    if pod["weights"] == "s3":
        return
    with deadline(pod["launch_seconds"]):
        while True:
            try:
                place(pod)
                return
            except (OSError, RuntimeError, ValueError) as error:
                say(f"{pod['model']}: {error}")
                if not wait(POLL_SECONDS):
                    raise GiveUp(f"{pod['model']} was not there before the deadline: {error}") from None


def main(arguments: list[str]) -> int:
    """Exit status 1 with one line when it cannot go on."""
    pod, started = json.loads(os.environ["TANDEM_POD"]), time.time()
    try:
        {"prepare": prepare}[arguments[0]](pod)
        ledger.tell(pod["agent_port"], "weights", started)
    except GiveUp as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
