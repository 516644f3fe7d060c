"""Who may use this host's edge: unit tandem-keys has nginx know keys as the stack's documents say, counts requests by
client, and ships the edge's log.

Each boot begins with a key of this host's own, by which it asks through its edge for a token.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import aws
import coldstart
import gpus
import keysync
import serve
import traffic
import trial
import trying
from host import CONFIG, RUN, STATE, say, write
from ship import Shipper
from telemetry import Server, Telemetry, metrics_of

OWN, KEPT, LEDGER = RUN / "secrets/own-key", STATE / "clients.json", STATE / "ledger.jsonl"
TOLD, FIRST, LAST = RUN / "start-told", "scripts", "ready"
OWN_CLIENT = "tandem-probe"


def own_key() -> str:
    if not OWN.exists():
        write(OWN, secrets.token_urlsafe(32), 0o400)
    return OWN.read_text()


def read(arn: str) -> str | None:
    """Text of a secret; None for one that nothing was written into yet."""
    try:
        return aws.secret(arn)
    except RuntimeError as error:
        if not keysync.unwritten(error):
            raise


def edge() -> keysync.Edge:
    own = {"clients": {OWN_CLIENT: {"keys": [{"sha256": hashlib.sha256(own_key().encode()).hexdigest()}]}}}
    models = [CONFIG["probe"]["body"]["model"], *(one["name"] for one in CONFIG["engine"].get("adapters", ()))]
    return keysync.Edge(CONFIG["keys_arns"], models, own, RUN / "keys", KEPT, read, say)


def log() -> Shipper:
    """Beside the servers' own streams, in the stack's group."""

    def call(action: str, **parameters: Any) -> Mapping[str, Any]:
        return aws.call_json("logs", f"Logs_20140328.{action}", **parameters)

    return Shipper(call, CONFIG["log_options"]["awslogs-group"], f"{aws.identity()['instanceId']}/edge", say)


def report(counts: traffic.Counts, keys: Callable[[], Mapping[str, float]]) -> Telemetry:
    """Of all servers of this host."""
    servers = [Server(metrics_of(row["port"])) for row in serve.rows()]

    def put(**parameters: str) -> None:
        aws.query("monitoring", "2010-08-01", "PutMetricData", **parameters)

    fast = CONFIG.get("fast_figures", ())
    once = coldstart.Once(start, TOLD)
    return Telemetry(servers, counts.statuses, lambda: {**figures(), **keys()}, put, CONFIG["metrics"], say, fast, once)


def figures() -> dict[str, float]:
    """Of what is none of its servers' own."""
    return gpus.figures() | trial.figures(trying.TOLD)


def text() -> str:
    """Likewise, for a Prometheus."""
    return gpus.text() + coldstart.text(start()) + trial.text(trying.TOLD)


def entries() -> Iterator[Mapping[str, Any]]:
    """Lines of the ledger, of all boots."""
    for line in LEDGER.read_text().splitlines() if LEDGER.exists() else ():
        with contextlib.suppress(ValueError):  # one that a crash has torn
            yield json.loads(line)


def start() -> coldstart.ColdStart:
    """Of this boot, which begins with its first stage."""
    boot: dict[str, Mapping[str, Any]] = {}
    for entry in entries():
        if entry["stage"] == FIRST:
            boot = {}
        boot[entry["stage"]] = entry
    stages = {stage: entry["seconds"] for stage, entry in boot.items()}
    if FIRST not in boot or boot.get(LAST, {}).get("outcome") != "done":
        return coldstart.ColdStart(stages, None)
    first, last = (datetime.fromisoformat(boot[stage]["start"]) for stage in (FIRST, LAST))
    return coldstart.ColdStart(stages, round((last - first).total_seconds() + stages[LAST], 2))


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    trying.start()
    keysync.attend(edge(), CONFIG["agent_port"], log(), report if CONFIG["metrics"] else None, text)


if __name__ == "__main__":
    main()
