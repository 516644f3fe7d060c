"""Beside the edge of a pod: has nginx know keys as the documents of the stack's clients say, counts by client, and
ships the log of the edge and of its server.

A compose project on a plain GPU box runs it, too; there a document is a file.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import coldstart
import keysync
import peers
import role
import traffic
import trial
from ledger import Ledger
from server import say
from ship import Shipper
from telemetry import Server, Telemetry, metrics_of

RUN = Path("/run/tandem")
KEPT, TOLD = RUN / "kept.json", RUN / "canary.json"
CANARY, PROVEN = Path("/etc/tandem/canary.json"), Path("/proven")


def read(name: str) -> str | None:
    """A document by the ARN of its secret, or by its path; None where nothing was written yet."""
    return Path(name).read_text() if name.startswith("/") else role.secret(name)


def edge() -> keysync.Edge:
    pod, secrets = (json.loads(os.environ[name]) for name in ("TANDEM_POD", "TANDEM_SECRETS"))
    models = [pod["served_model_name"], *(one["name"] for one in pod.get("adapters", ()))]
    return keysync.Edge(secrets["keys"], models, keysync.NOBODY, RUN / "keys", KEPT, read, say)


def log() -> Shipper | None:
    """A stream of this pod's own in the stack's group; None where no group is named."""
    if not (arn := json.loads(os.environ["TANDEM_SECRETS"]).get("log")):
        return None

    def call(action: str, **parameters: Any) -> Mapping[str, Any]:
        return role.call("logs", f"Logs_20140328.{action}", arn, **parameters)

    return Shipper(call, arn.split(":")[6], os.environ["HOSTNAME"], say)


def report(
    start: Ledger,
) -> Callable[[traffic.Counts, Callable[[], Mapping[str, float]]], Telemetry] | None:
    """Of this pod's server, in the region of the stack's log; None where nobody is told."""
    pod, arn = json.loads(os.environ["TANDEM_POD"]), json.loads(os.environ["TANDEM_SECRETS"]).get("log")
    if not (arn and pod["metrics"]):
        return None

    def put(**parameters: str) -> None:
        role.query("monitoring", "2010-08-01", "PutMetricData", arn.split(":")[3], **parameters)

    def of(counts: traffic.Counts, keys: Callable[[], Mapping[str, float]]) -> Telemetry:
        servers, once = [Server(metrics_of(pod["port"]))], coldstart.Once(start.look, RUN / "start-told")
        more = lambda: {**trial.figures(TOLD), **keys()}  # noqa: E731
        return Telemetry(servers, counts.statuses, more, put, pod["metrics"], say, start=once)

    return of


def start_canary() -> None:
    """Of this pod's server, where the stack has one. While it is closed the pod is not ready, and this container ends,
    which tells `up` and `tandem rollout`; the kubelet has it try again."""
    if CANARY.exists():
        servers = {"vllm": trial.asker(f"http://127.0.0.1:{json.loads(os.environ['TANDEM_POD'])['port']}")}
        version = os.environ["TANDEM_VERSION"]
        one = trial.Trial(json.loads(CANARY.read_text()), version, servers, TOLD, PROVEN, role.secret, say)
        one.start(lambda: os._exit(1))


def main() -> int:
    """Ends only on SIGTERM, which the first process of a container must ask for; or at once, when nobody is known."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    found = edge()
    start = Ledger(RUN / "start.json", Path(__file__).parent, first=not (RUN / "keys").exists())
    try:
        found.look()
    except (OSError, RuntimeError) as error:
        say(str(error))
        return 1
    start_canary()
    if name := json.loads(os.environ["TANDEM_POD"]).get("peers"):
        peers.follow(name, RUN / "peers", say)
    port = json.loads(os.environ["TANDEM_POD"])["agent_port"]

    def more() -> str:
        return coldstart.text(start.look()) + trial.text(TOLD)

    keysync.attend(found, port, log(), report(start), more, start.add)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
