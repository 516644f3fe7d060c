"""What the stages share: the configuration, commands under a deadline, retries, the ledger, the console."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from basics import GiveUp, deadline, left, wait, write  # noqa: F401  for the stages

ROOT = Path(os.environ.get("TANDEM_ROOT", "/"))  # tests work in a scratch tree
STATE, RUN = ROOT / "var/lib/tandem", ROOT / "run/tandem"
CONFIG: dict[str, Any] = json.loads((ROOT / "etc/tandem/host.json").read_text())
TIMEOUTS = CONFIG["timeouts"]


def say(text: str) -> None:
    """One line for the journal and the instance's console, which can be read without a login."""
    print(f"tandem: {text}", flush=True)
    with contextlib.suppress(OSError):  # no console is no reason to fail
        (ROOT / "dev/console").write_text(f"tandem: {text}\n")


def sh(*command: str, check: bool = True, input: str | None = None, **options: Any) -> str:
    """Runs a command until the deadline and returns its output; the last lines of what it said are the error."""
    name, pipe = " ".join(command[:3]), subprocess.PIPE
    options |= {"stdin": pipe} if input else {}
    process = subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, **options)
    try:
        out, err = process.communicate(input, left())
    except subprocess.TimeoutExpired:
        process.kill()  # not waited for: what a dead file server holds does not even end by this
        raise RuntimeError(f"{name}: no end before the deadline") from None
    if check and process.returncode:
        said = " | ".join((err + out).strip().splitlines()[-3:])
        raise RuntimeError(f"{name}: exit {process.returncode}: {said[-400:]}")
    return out


def record(stage: str, started: float, outcome: str, detail: str, attempts: int = 1) -> None:
    """Appends a line to the ledger; `seconds` is time on the clock, attempts and waits included."""
    entry = {
        "stage": stage,
        "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 2),
        "outcome": outcome,
        "attempts": attempts,
        "detail": detail,
    }
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "ledger.jsonl").open("a") as ledger:
        print(json.dumps(entry), file=ledger)
    print(f"tandem: {stage}: {outcome}: {detail}", flush=True)


def attempt(stage: str, action: Callable[[], str], seconds: float) -> None:
    """Runs a stage until it is done, with pauses of 2, 4, 8 ... 30 s; ends the program when it will not be."""
    started, attempts = time.time(), 0
    with deadline(seconds):
        while True:
            attempts += 1
            try:
                return record(stage, started, "done", action(), attempts)
            except Exception as error:  # whatever a stage meets, the host must end in a clear line
                reason = f"{type(error).__name__}: {error}"
                print(f"tandem: {stage}: attempt {attempts}: {reason}", flush=True)
                if isinstance(error, GiveUp) or not wait(min(2**attempts, 30)):
                    break
    record(stage, started, "gave up", reason, attempts)
    say(f"{stage}: gave up after {attempts} attempts in {time.time() - started:.0f} s: {reason}")
    raise SystemExit(1)
