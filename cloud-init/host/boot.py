"""Runs the stages in order: from user data at first, by systemd on each later boot.

The driver, which takes minutes to build, is installed by a process of its own while image and weights are fetched.
"""

import subprocess
import sys
import threading

import aws
import driver
import ready
import serve
import storage
import toolkit
import weights
from host import TIMEOUTS, attempt, deadline, say

# Seconds at most for each stage; none outlives the host's own deadline, which alone holds for the longest.
STAGES = {driver: 1200, toolkit: 900, storage: 600, weights: 7200, serve: 600, ready: 7200}


def run(stage):
    attempt(stage.__name__, stage.run, STAGES[stage])


def keep_hook_alive():
    """Sends heartbeats until the program ends."""

    def beat():
        while not threading.Event().wait(TIMEOUTS["heartbeat"] / 3):
            try:
                aws.heartbeat()
            except (OSError, RuntimeError) as error:
                print(error, flush=True)

    threading.Thread(target=beat, daemon=True).start()


def abandon():
    """Has the group replace this host: by its launch hook, or as unhealthy when the hook is over."""
    try:
        aws.complete("ABANDON") or aws.report_unhealthy()
    except (OSError, RuntimeError) as error:
        say(f"the group was not told: {error}")


def main():
    keep_hook_alive()
    attempt("gate", driver.gate, 60)
    run(toolkit)
    run(storage)
    beside = subprocess.Popen([sys.executable, __file__, "driver"])
    run(weights)
    if beside.wait():
        raise SystemExit(1)
    run(serve)
    run(ready)
    say("ready")


if __name__ == "__main__":
    try:
        with deadline(TIMEOUTS["launch"]):
            run(driver) if sys.argv[1:] else main()
    except SystemExit:
        abandon()
        raise
