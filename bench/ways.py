"""Ways to one stub server, each as it runs, and one load on them in turn: what benchmarks of proxies share.

Medians of several rounds count, in which all ways take their turn: a noisy machine is noisy for all.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from pulumi_rehearsal import python_environment
from pulumi_rehearsal.servers import free_port
from tandem.host.config import HostConfig
from tandem.host.render import render_nginx
from tandem.ops.commands.render import stack_config
from tandem.ports import EDGE_AGENT_PORT, EDGE_METRICS_PORT
from tandem.scripts import DIRECTORY, edge_script, shared
from tandem.settings.inference import RoutingSettings

sys.path.insert(0, str(DIRECTORY / "shared"))  # the agent's modules import one another by name
TESTS = [str(Path(__file__).resolve().parents[1] / "tests" / part) for part in ("real", "host")]
"""Where the real parts of the tests are, which import one another by name."""
ROUTER = "vllm-router==0.1.17"
ROUNDS, SECONDS = 5, 3
CONNECTIONS = 32
ENOUGH, LONGEST = 2 * CONNECTIONS, 27
"""Requests of a run, and its seconds."""
TICKS = os.sysconf("SC_CLK_TCK")
KEY = "sk-bench-" + "0123456789abcdef" * 3  # LiteLLM starts with no shorter one
MEMORY = Path("/dev/shm")  # noqa: S108  (a directory of our own in it)
"""A host's /run, where the keys lie, is memory as well."""

COMPLETION = json.dumps(
    {
        "id": "cmpl-1", "object": "chat.completion", "created": 1, "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "1"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)  # fmt: skip
MODELS = json.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]})
REQUEST = json.dumps({"model": "bench", "messages": [{"role": "user", "content": "1"}], "max_tokens": 1})
STUB = f"""\
worker_processes 1;
pid stub.pid;
error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 100000000;
    server {{
        listen 127.0.0.1:PORT;
        location /health {{ return 200; }}
        location /v1/models {{ return 200 '{MODELS}'; }}
        location /v1/chat/completions {{ return 200 '{COMPLETION}'; }}
    }}
}}
"""
SCRIPT = f"""\
wrk.method, wrk.body = "POST", '{REQUEST}'
wrk.headers["Content-Type"], wrk.headers["Authorization"] = "application/json", "Bearer {KEY}"
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('\\nJSON{{"median_ms":%f,"requests_per_second":%f,"requests":%d,"failed":%d}}\\n',
    latency:percentile(50) / 1000, summary.requests / summary.duration * 1e6, summary.requests, failed))
end
"""


@dataclass(frozen=True)
class Figures:
    """Of one way: median milliseconds over one kept-alive connection, requests per second over CONNECTIONS, and
    milliseconds of processor time that its processes took for a request of that one connection, which tell most on a
    busy machine."""

    median_ms: float
    per_second: float
    processor_ms: float


@contextmanager
def running(
    command: list[str], port: int, directory: Path, seconds: float = 120, model: str = "bench"
) -> Iterator[int]:
    """The process of a server that answers completions on a port, until the end of the block."""
    with (directory / f"{Path(command[0]).name}-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + seconds
        while not answers(port, model):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not serve:\n{Path(log.name).read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int, model: str) -> bool:
    """True when a completion comes back."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection):
            connection.request("POST", "/v1/chat/completions", REQUEST.replace('"bench"', f'"{model}"'), headers)
            return connection.getresponse().status == 200
    return False


def edge_configuration(config: HostConfig, port: int, server: int, directory: Path, agent: int) -> Path:
    """A host's own nginx.conf; other than there only its ports, directories and what one client may ask.

    Args:
        agent: the port of the one that counts its requests.
    """
    wide = {"requests_per_second": 1_000_000, "connections": 10_000, "unknown_per_second": 100_000}
    edge = replace(config.edge, port=port, **wide)
    text = render_nginx(replace(config, edge=edge)).replace("user www-data;", f"user {Path.home().owner()};")
    script = edge_script()
    moved = {path: str(directory) for path in ("/run/tandem", "/var/log/tandem", "/opt/tandem")}
    moved |= {f"127.0.0.1:{EDGE_METRICS_PORT};": f"127.0.0.1:{free_port()};"}
    moved |= {f"127.0.0.1:{EDGE_AGENT_PORT}": f"127.0.0.1:{agent}"}
    for old, new in moved.items():
        text, script = text.replace(old, new), script.replace(old, new)
    clients = shared("clients")
    own = {"keys": [{"sha256": hashlib.sha256(KEY.encode()).hexdigest()}], "streams": 512, "models": ["bench"]}
    rows = clients.rows(clients.merged([{"clients": {"bench": own}}]), ["bench"], datetime.now(UTC))
    (directory / "keys").mkdir()
    for digest, row in rows.items():
        (directory / "keys" / digest).write_text(row)
    (directory / "edge.js").write_text(script)
    for name in ("upstream", "warm"):
        (directory / f"{name}.conf").write_text(f"server 127.0.0.1:{server};\n")
    file = directory / "nginx.conf"
    file.write_text(text)
    return file


def measure(port: int, connections: int, script: Path, seconds: int = SECONDS) -> dict[str, float]:
    """One run of wrk; a longer one where few requests were answered.

    Raises:
        SystemExit: a request failed; the figures would mean nothing.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), "--timeout", "30s"]
    command.append(f"http://127.0.0.1:{port}/v1/chat/completions")
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(text.partition("JSON")[2])
    if found["failed"]:
        raise SystemExit(f"{found['failed']} requests failed:\n{text}")
    if found["requests"] < ENOUGH and seconds < LONGEST:
        return measure(port, connections, script, seconds * 3)
    return found


@dataclass(frozen=True)
class Way:
    """A server on a port, and the process that started all of its own."""

    port: int
    process: int

    def processor_seconds(self) -> float:
        """That its processes have taken so far."""
        taken: dict[int, float] = {}
        parents: dict[int, int] = {}
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                found = (directory / "stat").read_text().rpartition(")")[2].split()
                number = int(directory.name)
                parents[number], taken[number] = int(found[1]), (int(found[11]) + int(found[12])) / TICKS
        own = {self.process}
        while more := {number for number, parent in parents.items() if parent in own} - own:
            own |= more
        return sum(taken.get(number, 0.0) for number in own)


def compare(ways: dict[str, Way], script: Path) -> dict[str, Figures]:
    """Each way's medians over all rounds."""
    found: dict[str, list[Figures]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            before, alone = way.processor_seconds(), measure(way.port, 1, script)
            taken = (way.processor_seconds() - before) * 1000 / alone["requests"]
            crowd = measure(way.port, CONNECTIONS, script)
            found[name].append(Figures(alone["median_ms"], crowd["requests_per_second"], taken))
    return {
        name: Figures(*map(statistics.median, zip(*map(astuple, each), strict=True))) for name, each in found.items()
    }


def program(name: str, *packages: str) -> Path:
    """A program of PyPI's, in an environment of its packages, which is made once."""
    return python_environment.environment(f"bench-{'-'.join(packages).replace('==', '-')}", packages) / "bin" / name


@dataclass(frozen=True)
class Ways:
    """Starts them; they end with the stack.

    Attributes:
        script: of wrk.
        server: the stub that all lead to.
    """

    stack: ExitStack
    directory: Path
    script: Path
    server: Way

    def started(self, command: Callable[[int], list[str]]) -> Way:
        """Given how it is started on a port."""
        port = free_port()
        return Way(port, self.stack.enter_context(running(command(port), port, self.directory)))

    def edge(self, routing: RoutingSettings | None = None) -> Way:
        """A host's nginx with everything on."""
        import_module("traffic").listen(agent := free_port())

        def command(port: int) -> list[str]:
            (own := self.directory / str(port)).mkdir()
            config = stack_config("dev")
            config = replace(config, edge=replace(config.edge, routing=routing))
            file = edge_configuration(config, port, self.server.port, own, agent)
            return ["nginx", "-p", str(own), "-c", str(file), "-g", "daemon off;"]

        return self.started(command)

    def router(self) -> Way:
        """vllm-router."""

        def command(port: int) -> list[str]:
            found = [str(program("vllm-router", ROUTER)), "--worker-urls", f"http://127.0.0.1:{self.server.port}"]
            found += ["--port", str(port), "--host", "127.0.0.1", "--log-level", "warning"]
            return [*found, "--prometheus-port", str(free_port())]

        return self.started(command)


@contextmanager
def ways() -> Iterator[Ways]:
    """Before a server that answers at once.

    Stands for: a vLLM server, as far as a proxy before it is timed.
    Held by: nothing, only what the proxies add to the same answer is compared.
    """
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed: apt-get install {tool}")
    with ExitStack() as stack:
        memory = str(MEMORY) if MEMORY.is_dir() else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-", dir=memory)))
        directory.chmod(0o755)
        (script := directory / "load.lua").write_text(SCRIPT)
        (directory / "stub.conf").write_text(STUB.replace("PORT", str(port := free_port())))
        command = ["nginx", "-p", str(directory), "-c", str(directory / "stub.conf"), "-g", "daemon off;"]
        server = Way(port, stack.enter_context(running(command, port, directory)))
        yield Ways(stack, directory, script, server)


def table(found: dict[str, Figures]) -> str:
    """A line for each way."""
    lines = [
        f"{'':30}{'median, 1 connection':>22}{f'requests/s, {CONNECTIONS} connections':>32}{'processor a request':>22}"
    ]
    for name, one in found.items():
        lines.append(f"{name:30}{one.median_ms:19.3f} ms{one.per_second:32,.0f}{one.processor_ms:19.3f} ms")
    return "\n".join(lines)
