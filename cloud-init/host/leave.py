"""The way out, whatever the reason: off the load balancer, wait, SIGTERM with a drain, tell the group.

vLLM answers new requests with 500 once it has SIGTERM, so the load balancer must have stopped sending before.
`leave.py watch` waits for a spot notice or the group's word, and then goes that way.
"""

import datetime
import json
import sys
import time

import aws
import boot
import probe
import serve
import watchdog
from host import TIMEOUTS, deadline, left, record, say, sh, wait, write

PROPAGATION = 15  # seconds until no node of the load balancer sends new requests to a draining target


def spot_end():
    """When a spot instance is taken back, in seconds since the epoch; None without a notice."""
    notice = aws.metadata("meta-data/spot/instance-action")
    return notice and datetime.datetime.fromisoformat(json.loads(notice)["time"]).timestamp()


def watch():
    """Waits until this host must go. A rebalance recommendation is the group's to act on: it starts another first."""
    while True:
        try:
            if spot_end() or aws.metadata("meta-data/autoscaling/target-lifecycle-state") == "Terminated":
                break
        except OSError as error:
            print(error, flush=True)
        time.sleep(5)
    say("leaving")
    sh("systemctl", "stop", "tandem-member")


def busy(rows):
    """True while a replica has a request, running or waiting."""
    try:
        return any(probe.metric(row["port"], "num_requests_running", "num_requests_waiting") for row in rows)
    except OSError:
        return True


def leave():
    rows = serve.rows()
    write(serve.LEAVING, "")
    watchdog.HEALTHY.unlink(missing_ok=True)
    try:
        aws.target("DeregisterTargets")
        with deadline(TIMEOUTS["deregistration_delay"]):
            wait(PROPAGATION)
            while busy(rows) and aws.target("DescribeTargetHealth") == "draining" and wait(1):
                pass
    except (OSError, RuntimeError) as error:
        say(f"leaving without the load balancer: {error}")
    # The units' own stop waits for this one to end, as they started before; so the containers are stopped here, and
    # so that there is time left to tell the group.
    sh("systemctl", "stop", "--no-block", "tandem-watchdog", *(f"vllm@{row['replica']}" for row in rows))
    try:
        sh("docker", "stop", "-t", str(max(1, int(left()) - 15)), *(f"vllm-{row['replica']}" for row in rows))
    except RuntimeError as error:
        say(f"leaving: {error}")
    return "lifecycle hook completed" if aws.complete("CONTINUE") else "no lifecycle hook was waiting"


if __name__ == "__main__":
    if sys.argv[1:] == ["watch"]:
        watch()
    else:
        boot.keep_hook_alive()
        started, end = time.time(), spot_end()
        grace = TIMEOUTS["termination_grace"]
        with deadline(min(grace, end - started - 10) if end else grace):
            record("leave", started, "done", leave())
