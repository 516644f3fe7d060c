"""`python -m bench.metrics`: what metrics cost a host, beside the same host without, in one run.

Two hosts at once, which so have the same machine and the same load: nginx and the agent beside it as dev's hosts start
them, with every setting the same but metrics. With them the agent looks at two servers and reports to CloudWatch, and
vmagent asks both and the agent and writes on, signed; each as often as on a host. Servers tell a recording of vLLM's.
AWS and the metadata service are those of the guests. Processor time is by each process's own clock, memory the most
that it had.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.ways import KEY, MEMORY, REQUEST, STUB, edge_configuration, running
from pulumi_rehearsal import servers
from pulumi_rehearsal.servers import free_port
from rehearsal.host.aws import REMOTE_WRITE, Aws
from rehearsal.host.cloud import Cloud
from rehearsal.host.handler import listening
from rehearsal.host.network import network_with_metadata
from tandem.host.render import render_files
from tandem.ops.commands.render import stack_config
from tandem.scripts import DIRECTORY
from tests.observing.growing import POD, growing
from tests.real.vmagent import vmagent

A_SECOND = 50
"""Requests at each host, over one connection."""
WARM, SECONDS = 75, 300
CORE_BAR, MEMORY_BAR = 1.0, 60.0
"""Percent of a core, and MB."""
SERVER = "".join(f"{line}\n" for line in POD.splitlines() if "tandem_" not in line)


@dataclass(frozen=True)
class Host:
    """Attributes:
    port: of its edge.
    processes: id by name; children belong to it.
    """

    port: int
    processes: Mapping[str, int]

    def seconds(self) -> dict[str, float]:
        """Of a processor, so far."""
        return {name: sum(map(_seconds, _family(process))) for name, process in self.processes.items()}

    def megabytes(self) -> dict[str, float]:
        return {name: sum(map(_megabytes, _family(process))) for name, process in self.processes.items()}


def _family(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(one for child in children for one in _family(int(child)))]


def _seconds(process: int) -> float:
    """By its own clock (clock_getcpuclockid(3)). /proc counts ticks, and charges a whole one to whoever wakes on it."""
    return time.clock_gettime(~process << 3 | 2)


def _megabytes(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1000


@contextmanager
def host(directory: Path, cloud: Cloud, server: int, told_by: list[int], *, metrics: bool) -> Iterator[Host]:
    """Args:
    server: the port that answers requests.
    told_by: ports of servers' metrics.
    """
    with ExitStack() as up:
        aws = f"http://127.0.0.1:{up.enter_context(listening(Aws, cloud=cloud))}"
        to = {"remote_write_url": aws + REMOTE_WRITE, "remote_write_region": "us-east-1"} if metrics else {}
        config = replace(stack_config("dev"), metrics=metrics, endpoint_url=aws, **to)
        agent, port, run, state = free_port(), free_port(), directory / "run/tandem", directory / "var/lib/tandem"
        for one in (run, state, directory / "etc/tandem", directory / "dev"):
            one.mkdir(parents=True)
        nginx = edge_configuration(config, port, server, run, agent)
        told = json.loads(render_files(config)["/etc/tandem/host.json"]) | {"agent_port": agent}
        (directory / "etc/tandem/host.json").write_text(json.dumps(told))
        rows = [{"replica": number, "gpus": [2 * number], "port": one} for number, one in enumerate(told_by)]
        (run / "replicas.json").write_text(json.dumps(rows))
        environment = {
            "TANDEM_ROOT": str(directory), "STATE_DIRECTORY": str(state),
            "PYTHONPATH": str(DIRECTORY / "shared"), "PATH": f"{vmagent()}:{os.environ['PATH']}",
        }  # fmt: skip

        def script(name: str) -> int:
            command = [sys.executable, str(DIRECTORY / "host" / name)]
            return up.enter_context(servers.running(command, directory / f"{name}.log", environment)).pid

        processes = {"agent": script("edge_keys.py")}
        if metrics:
            processes["vmagent"] = script("remote_write.py")
        up.enter_context(running(["nginx", "-p", str(run), "-c", str(nginx), "-g", "daemon off;"], port, run))
        processes["nginx"] = int((run / "nginx.pid").read_text())
        yield Host(port, processes)


def ask(port: int, over: threading.Event, failed: list[str]) -> None:
    """A_SECOND requests, until it is over."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    connection, due = http.client.HTTPConnection("127.0.0.1", port, timeout=30), time.monotonic()
    while not over.is_set():
        try:
            connection.request("POST", "/v1/chat/completions", REQUEST, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            failed.append(f"{type(error).__name__} {error}".strip())
            return
        if answer.status != 200:
            failed.append(str(answer.status))
        due = max(due + 1 / A_SECOND, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def measured(hosts: Mapping[str, Host]) -> dict[str, dict[str, tuple[float, float]]]:
    """Percent of a core and megabytes of each process, of each host, all in the same seconds.

    Raises:
        SystemExit: a request failed; the figures would mean nothing.
    """
    over, failed = threading.Event(), list[str]()
    clients = [threading.Thread(target=ask, args=(one.port, over, failed)) for one in hosts.values()]
    for client in clients:
        client.start()
    try:
        time.sleep(WARM)
        before, began = {name: one.seconds() for name, one in hosts.items()}, time.monotonic()
        time.sleep(SECONDS)
        after, seconds = {name: one.seconds() for name, one in hosts.items()}, time.monotonic() - began
    finally:
        over.set()
    for client in clients:
        client.join()
    if failed:
        raise SystemExit(f"{len(failed)} requests failed: {sorted({*failed})}")
    return {
        name: {
            process: (100 * (after[name][process] - before[name][process]) / seconds, megabytes)
            for process, megabytes in one.megabytes().items()
        }
        for name, one in hosts.items()
    }


def report(found: Mapping[str, Mapping[str, tuple[float, float]]]) -> int:
    """Prints the table; 1 when a bar is missed."""
    without, within = (dict(found[name]) for name in ("without", "with"))
    for rows in (without, within):
        cores, memories = zip(*rows.values(), strict=True)
        rows["together"] = sum(cores), sum(memories)
    print(f"{A_SECOND} requests a second, {SECONDS} s:\n")
    print("| | without metrics | with | more |\n|---|---|---|---|")
    for name, (core, memory) in within.items():
        less_core, less_memory = without.get(name, (0.0, 0.0))
        before = cell(less_core, less_memory) if name in without else "-"
        print(f"| {name} | {before} | {cell(core, memory)} | {cell(core - less_core, memory - less_memory)} |")
    core, memory = (a - b for a, b in zip(within["together"], without["together"], strict=True))
    return int(core >= CORE_BAR or memory >= MEMORY_BAR)


def cell(core: float, memory: float) -> str:
    return f"{core:.2f} % of a core, {memory:.1f} MB"


def main() -> int:
    known = {"clients": {"bench": {"keys": [{"sha256": hashlib.sha256(KEY.encode()).hexdigest()}]}}}
    with ExitStack() as up:
        memory = str(MEMORY) if MEMORY.is_dir() else None
        directory = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-", dir=memory)))
        directory.chmod(0o755)
        clouds = [Cloud(instance=f"i-{number}", clients=json.dumps(known)) for number in range(2)]
        up.enter_context(network_with_metadata(clouds[0]))
        stub = free_port()
        (directory / "stub.conf").write_text(STUB.replace("PORT", str(stub)))
        line = ["nginx", "-p", str(directory), "-c", str(directory / "stub.conf"), "-g", "daemon off;"]
        up.enter_context(running(line, stub, directory))
        servers_told = [up.enter_context(growing(SERVER)) for _ in range(2)]
        hosts = {
            name: up.enter_context(host(directory / name, cloud, stub, servers_told, metrics=name == "with"))
            for name, cloud in zip(("without", "with"), clouds, strict=True)
        }
        found = measured(hosts)
        told = [len(cloud.actions("PutMetricData")) for cloud in clouds]
        written = [len(cloud.written) for cloud in clouds]
    if told[0] or written[0] or not (told[1] and written[1]):
        raise SystemExit(f"metrics left a host without, or not the one with: {told} reports, {written} writes")
    return report(found)


if __name__ == "__main__":
    raise SystemExit(main())
