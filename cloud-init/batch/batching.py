"""A machine that works at the stack's batch, in place of one that serves: a worker and a vLLM for each group of GPUs.

The worker reads and writes the bucket by the machine's role. vLLM is in a container that is told nothing of it, and has
no way to the role either, but with `inference.weights: s3`, when vLLM streams its weights by it.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import aws
import batch
import driver
import job
import serve
import weights
from bucket import Bucket
from host import CONFIG, RUN, TIMEOUTS, say, sh, write

LOOKS = 10  # one or two, unless batches are begun and cancelled within seconds


def run() -> str:
    """Stage batch: starts the workers."""
    rows = serve.place()
    sh("systemctl", "start", *(f"tandem-batch@{row['replica']}" for row in rows))
    return f"workers on GPUs {[row['gpus'] for row in rows]}"


def command(row: dict[str, Any], directory: Path) -> list[str]:
    """The container with vLLM's batch runner, which finds the worker's socket in /batch."""
    options, arguments = serve.container(row["replica"], row["gpus"])
    mounts = ["-v", f"{directory}:/batch", "-v", f"{Path(__file__).with_name('runner.py')}:/runner.py:ro"]
    image = weights.ENGINE["image"]
    runner = ["/runner.py", f"/batch/{batch.SOCKET}", *job.for_batches(arguments)]
    return [*options, *mounts, "--entrypoint", "python3", image, *runner]


def work(number: int) -> None:
    """Works at the batch, and ends all its machines when nothing is left of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is known is kept first
    row, instance = serve.rows()[number], aws.identity()["instanceId"]
    directory = RUN / f"batch/{number}"
    directory.mkdir(parents=True, exist_ok=True)
    bucket = Bucket(CONFIG["batch"], aws.REGION, lambda: aws.surely(aws._credentials))
    _, arguments = serve.container(number, row["gpus"])
    worker = batch.Worker(bucket, f"{instance}-{number}", instance, job.at_once(arguments), say)
    say(answers(worker, row, directory))
    end(worker)


def answers(worker: batch.Worker, row: dict[str, Any], directory: Path) -> str:
    """Why nothing is left. A start that hangs over PCIe is without peer-to-peer the next time, as a server's is."""
    over_pcie, number = driver.profile().get("over_pcie"), row["replica"]

    def started() -> batch.Runner:
        serve.mend(number)
        seconds = TIMEOUTS["launch"] / (2 if over_pcie else 1)
        return batch.Runner(directory / batch.SOCKET, seconds, command(row, directory))

    try:
        return batch.run(worker, started)
    except batch.NotStarted:
        if over_pcie:
            write(serve.without_peers(number), "")
        raise


def end(worker: batch.Worker) -> None:
    """Sets the group to 0, as nothing is left for any machine; not where a batch was begun meanwhile, or goes on, which
    this machine works at then. A batch that is begun is in the bucket before it calls machines: so whoever looks once
    more after the group was set to 0 sees each whose call that undid, and calls again.

    Raises:
        SystemExit: a batch is to be worked at.
    """
    if worker.wanted():
        raise SystemExit(1)
    _, group = aws.membership()
    hosts = 0
    for _ in range(LOOKS):
        size = {"MinSize": "0", "MaxSize": str(hosts), "DesiredCapacity": str(hosts)}
        aws.autoscaling("UpdateAutoScalingGroup", AutoScalingGroupName=group, **size)
        before, hosts = hosts, worker.wanted()
        if hosts == before:
            break
    if hosts:
        raise SystemExit(1)


if __name__ == "__main__":  # ExecStart of tandem-batch@N.service
    work(int(sys.argv[1]))
