"""The way out, whatever the reason: off the load balancer, wait, SIGTERM with a drain, tell the group.

vLLM answers new requests with 500 once it has SIGTERM, so the load balancer must have stopped sending before.
`leave.py watch`, from the start of each boot, waits for a spot notice or the group's word, goes that way, and then
tells the group.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import aws
import probe
import serve
import watchdog
from host import TIMEOUTS, deadline, left, record, say, sh, wait, write

PROPAGATION = 15  # seconds until no node of the load balancer sends new requests to a draining target
STOP = 30  # seconds that are kept for SIGTERM, however long the load balancer drains
AT_LEAST = 10  # seconds for the load balancer, when there is no time to leave in
EVERY = 5  # seconds between looks
HOOKS = {"Pending:Wait": "ABANDON", "Terminating:Wait": "CONTINUE"}


def watch() -> None:
    """Waits until this host must go, and sees to it that it goes and that nothing waits for it.

    The group has its hook wait only when the load balancer has let go of the host: before Terminating:Wait comes
    Terminating, and whoever asked only then would leave the hook to its timeout.
    """
    until(aws.told_to_go)
    say("leaving")
    write(serve.LEAVING, "")
    with deadline(TIMEOUTS["termination_grace"] + 60):
        aws.wait_for(subprocess.Popen(["systemctl", "stop", "tandem-boot", "tandem-member"]), "Terminating:Wait")
    until(lambda: aws.complete(HOOKS) == "Terminating:Wait")
    say("lifecycle hook completed")


def until(look: Callable[[], bool]) -> None:
    """Looks until it is so. An odd answer says neither that there is a notice nor that there is none."""
    while True:
        try:
            if look():
                return
        except Exception as error:  # odd answers come in many shapes
            print(error, flush=True)
        time.sleep(EVERY)


def busy(rows: list[dict[str, Any]]) -> bool:
    """True while a replica has a request, running or waiting."""
    try:
        return any(probe.metric(row["port"], "num_requests_running", "num_requests_waiting") for row in rows)
    except OSError:
        return True


def leave() -> str:
    """Off the load balancer and then off the GPUs, in this order, within the deadline."""
    rows = serve.rows()
    write(serve.LEAVING, "")
    watchdog.HEALTHY.unlink(missing_ok=True)
    try:
        with deadline(max(AT_LEAST, min(TIMEOUTS["deregistration_delay"], left() - STOP))):
            aws.target("DeregisterTargets")
            wait(PROPAGATION)
            while left() and busy(rows) and aws.target("DescribeTargetHealth") == "draining":
                wait(1)
    except RuntimeError as error:
        say(f"leaving without the load balancer: {error}")
    # The units' own stop waits for this one to end, as they started before; so the containers are stopped here.
    sh("systemctl", "stop", "--no-block", "tandem-watchdog", *(f"vllm@{row['replica']}" for row in rows))
    try:
        sh("docker", "stop", "-t", str(max(1, int(left()) - 5)), *(f"vllm-{row['replica']}" for row in rows))
    except RuntimeError as error:
        say(f"leaving: {error}")
    return f"{len(rows)} replicas stopped"


def grace() -> float:
    """Seconds to leave in. A spot instance has less, and one that is late has enough for SIGTERM all the same."""
    most = TIMEOUTS["termination_grace"]
    try:
        with deadline(AT_LEAST):
            end = aws.surely(aws.spot_end)
    except RuntimeError:
        return most
    return max(STOP, min(most, end - time.time() - 10)) if end else most


if __name__ == "__main__":
    if sys.argv[1:] == ["watch"]:
        watch()
    else:
        started = time.time()
        with deadline(grace()):
            record("leave", started, "done", leave())
