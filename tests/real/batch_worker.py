"""A machine that works at a batch, as a process to be killed: batch_worker.py URL NAME SPAN COMMAND ..."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

CLOUD_INIT = Path(__file__).parents[2] / "cloud-init"
sys.path[:0] = [str(CLOUD_INIT / "batch"), str(CLOUD_INIT / "shared")]

import batch  # noqa: E402
import job  # noqa: E402
from bucket import Bucket  # noqa: E402


def main(url: str, name: str, span: str, *command: str) -> None:
    """Works with times that are short enough for a test.

    Args:
        span: seconds of a claim; answers are kept four times as often.
    """
    job.LEASE_SECONDS = int(span)
    batch.KEEP_SECONDS = batch.LOOK_SECONDS = int(span) / 4
    bucket = Bucket(url, "us-east-1", lambda: ["key", "secret", "token"])
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / batch.SOCKET
        started = [*command[:2], str(path), *command[2:]]
        worker = batch.Worker(bucket, name, name, 64, partial(print, flush=True))
        why = batch.run(worker, lambda: batch.Runner(path, 600, started))
    print(why, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
