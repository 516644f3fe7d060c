"""Makes the root volume what hosts start from: driver, toolkit, container image, by the hosts' own stages.

Runs once, on an instance of `tandem image bake`; its last line on the console says how it went, and then it switches
the machine off.
"""

from __future__ import annotations

import contextlib
import shutil
import sys

import driver
import toolkit
import weights
from host import CONFIG, STATE, GiveUp, attempt, say, sh
from storage import BAKED


def download() -> str:
    for one in weights.served(BAKED):
        weights.download(one)
    return "downloaded and checked"


def forget() -> None:
    """Nothing of this instance stays: the next one is as new to cloud-init, and has its own host keys and ledger, and
    scripts of its own."""
    (STATE / "ledger.jsonl").unlink()
    shutil.rmtree("/etc/tandem")
    shutil.rmtree("/opt/tandem")
    sh("cloud-init", "clean", "--logs", "--machine-id")
    sh("sh", "-c", "rm -f /etc/ssh/ssh_host_*; sync")


if __name__ == "__main__":
    try:
        sh("cloud-init", "status", "--wait", check=False)
        attempt("gate", driver.gate, 60)
        attempt("toolkit", toolkit.run, 1200)
        if CONFIG["efs"]:
            with contextlib.suppress(OSError, RuntimeError, GiveUp):  # a host tries again, and does without
                toolkit.efs_helper()
        attempt("driver", driver.run, 1800)
        attempt("image", weights.pull, 3600)
        BAKED.mkdir(parents=True)
        if sys.argv[1:] == ["weights"]:
            attempt("weights", download, 7200)
        forget()
        say("baked")
    except BaseException as error:
        say(f"not baked: {type(error).__name__}: {error}")
        raise
    finally:
        sh("systemctl", "poweroff")
