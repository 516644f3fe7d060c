"""Runs the stages in order, on each boot; unpack.py has run before.

They run in a process of their own. This one does nothing that could block: it asks the launch hook for time while they
work, and gives the host up when they fail or do not end, as a read does not when its file server is gone. The driver,
which takes minutes to build, is installed by a third process while image and weights are fetched.
"""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import aws
import driver
import edge_keys
import ready
import serve
import storage
import toolkit
import weights
from host import CONFIG, TIMEOUTS, attempt, deadline, say

# Seconds at most for each stage; none outlives the host's own deadline, which alone holds for the longest.
STAGES = {driver: 1200, toolkit: 900, storage: 600, weights: 7200, serve: 600, ready: 7200}
MARGIN = 10  # seconds that a stage which can say why it gives up has for it


def run(stage: ModuleType) -> None:
    attempt(stage.__name__, stage.run, STAGES[stage])


def gate() -> str:
    """What could not serve ends here, before anything is installed or downloaded."""
    if "batch" not in CONFIG:
        edge_keys.edge().look()
    return driver.gate()


def stages() -> None:
    attempt("gate", gate, 300)
    run(toolkit)
    run(storage)
    beside = subprocess.Popen([sys.executable, __file__, "driver"])
    run(weights)
    if beside.wait():
        raise SystemExit(1)
    if "batch" in CONFIG:
        import batching  # pyright: ignore[reportMissingImports]

        attempt("batch", batching.run, STAGES[serve])
    else:
        run(serve)
        run(ready)
    say("ready")


def install_driver() -> None:
    """Gives the host up as soon as it has no driver, whatever else is under way."""
    try:
        run(driver)
    except SystemExit:
        aws.abandon()
        raise


def main() -> None:
    serve.LEAVING.unlink(missing_ok=True)
    work = subprocess.Popen([sys.executable, __file__, "stages"])
    with deadline(TIMEOUTS["launch"] + MARGIN):
        status = aws.wait_for(work, "Pending:Wait")
    if status is None:
        work.kill()
    if status != 0:
        aws.abandon()
        say("gave up" if status else f"gave up: no end after {TIMEOUTS['launch']} s, as when a read blocks")
        raise SystemExit(1)


if __name__ == "__main__":
    if not sys.argv[1:]:
        main()
    else:
        with deadline(TIMEOUTS["launch"]):
            stages() if sys.argv[1:] == ["stages"] else install_driver()
