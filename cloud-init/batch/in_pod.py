"""A pod that works at the stack's batch: the container with the worker, beside the one with vLLM's runner.

The worker reads and writes the bucket by the pod's role, which vLLM has no way to, but with `inference.weights: s3`.
Whatever ends vLLM, the kubelet starts it anew beside the same worker. A pod that ends otherwise than done is made anew
by its Job.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import batch
import role
from basics import GiveUp
from bucket import Bucket
from server import LOCAL, say

PLACE = Path("/batch")


def main() -> int:
    """Exit status 0 once nothing is left of the batch; 1 with a line why not, of what another pod may mend."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is known is kept first
    while True:
        try:
            say(batch.run(worker(), started))
        except batch.Ended as error:
            say(str(error))
        except (GiveUp, RuntimeError) as error:
            say(str(error))
            return 1
        else:
            return 0


def worker() -> batch.Worker:
    """By the pod's name, so that what it had claimed stays its own when vLLM has ended."""
    told, name = json.loads(os.environ["TANDEM_BATCH"]), os.environ["HOSTNAME"]
    return batch.Worker(Bucket(told["url"], told["region"], credentials), name, name, told["at_once"], say)


def credentials() -> list[str]:
    try:
        return role._credentials()
    except KeyError as error:
        raise RuntimeError(f"no {error}: this container has no role") from None


def started() -> batch.Runner:
    """The runner has loaded its model when it comes: what counts its starts hears of it as of a server's token."""
    runner = batch.Runner(PLACE / batch.SOCKET, json.loads(os.environ["TANDEM_POD"])["launch_seconds"])
    (LOCAL / "opened").touch()
    (LOCAL / "starts").unlink(missing_ok=True)
    return runner


if __name__ == "__main__":
    raise SystemExit(main())
