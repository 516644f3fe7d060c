"""Unit tandem-metrics: Ubuntu's vmagent asks this host's servers and the agent beside its edge, and writes what they
tell to a Prometheus elsewhere; to one of Amazon's signed, by the host's role.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import aws
import serve
from host import CONFIG, write

EVERY = "30s"  # so that each minute has two answers, as the rules want it
KEPT = "vllm:.*|tandem_.*|process_start_time_seconds"  # what rules and panels ask for, and what else vLLM tells
DROPPED = ".*_created"  # of each series once more, when it began


def scraped() -> dict[str, Any]:
    """vmagent's configuration, which is Prometheus' own. A series is known by its stack and model, as rules want it."""
    labels = {**CONFIG["remote_write"]["labels"], "host": aws.identity()["instanceId"]}
    ports = [(row["port"], {"replica": str(row["replica"])}) for row in serve.rows()]
    names = [{"source_labels": ["__name__"], "regex": regex} for regex in (KEPT, DROPPED)]
    job = {
        "job_name": "tandem",
        "static_configs": [
            {"targets": [f"127.0.0.1:{port}"], "labels": labels | more}
            for port, more in (*ports, (CONFIG["agent_port"], {}))
        ],
        "metric_relabel_configs": [names[0] | {"action": "keep"}, names[1] | {"action": "drop"}],
    }
    return {"global": {"scrape_interval": EVERY, "scrape_timeout": "10s"}, "scrape_configs": [job]}


def command(directory: Path) -> list[str]:
    """What does not leave waits on disk, up to a GiB, and goes when it can; the oldest is dropped first."""
    to = CONFIG["remote_write"]
    signed = (f"-remoteWrite.aws.{name}" for name in ("useSigv4=true", f"region={to['region']}", "service=aps"))
    return [
        "vmagent",
        f"-promscrape.config={directory / 'scrape.json'}",
        f"-remoteWrite.url={to['url']}",
        f"-remoteWrite.tmpDataPath={directory / 'waiting'}",
        *("-remoteWrite.maxDiskUsagePerURL=1GiB", "-remoteWrite.queues=1", "-memory.allowedBytes=32MiB"),
        "-httpListenAddr=",
        *(signed if to["region"] else ()),
    ]


def main() -> None:
    """Becomes vmagent."""
    directory = Path(os.environ["STATE_DIRECTORY"])
    write(directory / "scrape.json", json.dumps(scraped()))
    line = command(directory)
    os.execvp(line[0], line)  # noqa: S606


if __name__ == "__main__":
    main()
