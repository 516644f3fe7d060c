"""Stage ready: a token from each replica, one through the edge; then group and load balancer may have this host."""

from __future__ import annotations

import contextlib

import aws
import edge_keys
import probe
import serve
import trying
import watchdog
from host import CONFIG, GiveUp, sh, wait, write


def each_replica() -> None:
    """Waits until every replica has made a token; says which has not, or what the watchdog found dead."""
    waiting = serve.rows()  # asked through the edge before, nginx would leave the late ones out for ten seconds
    while waiting:
        waiting = [row for row in waiting if silent(row["port"])]
        if watchdog.DEAD.exists():
            raise GiveUp(watchdog.DEAD.read_text())
        if waiting and not wait(0.5):
            raise RuntimeError("no token from " + ", ".join(f"vllm-{row['replica']}" for row in waiting))


def silent(port: int, key: str = "") -> str | None:
    """Why no token comes."""
    try:
        probe.token(port, **CONFIG["probe"], timeout=60, key=key)
    except (OSError, ValueError) as error:
        return str(error) or "no answer"


def run() -> str:
    each_replica()
    while error := silent(CONFIG["port"], edge_keys.own_key()):
        if not wait(2):
            raise RuntimeError(f"no token came through the edge: {error}")
    trying.passed()
    write(watchdog.HEALTHY, "ok\n")  # the watchdog would see it seconds later
    state, _ = aws.membership()
    if state.startswith("Terminat") or aws.surely(aws.told_to_go):
        raise GiveUp("told to go")
    sh("systemctl", "start", "tandem-member")  # from here on, whatever ends this host has it leave first
    held = aws.complete({"Pending:Wait": "CONTINUE"})
    if state.startswith(("Pending", "InService")):  # not one on standby
        aws.target("RegisterTargets")  # the group does it for a new host; after a reboot nobody else does
    with contextlib.suppress(OSError):  # the next host compiles again, that is all
        serve.save_cache()
    return "first token, " + ("lifecycle hook completed" if held else "no lifecycle hook was waiting")
