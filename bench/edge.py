"""`python -m bench.edge`: what the edge on a host costs a request, beside direct and beside two other ways in.

One run, one stub server (an nginx that returns a fixed completion), one load (wrk): direct, through our nginx with
everything on (allow-list, a client by its key, limits, request id, JSON log, and the agent that counts by client),
through PyPI's vllm-router, through the LiteLLM proxy. All take their turn several times, so that a noisy machine is
noisy for all; medians count. At the end, whether the time of a refusal tells how much of a key was right.
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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from bench import refusals
from pulumi_rehearsal.cache import cache_directory, make_once
from pulumi_rehearsal.servers import free_port
from tandem.host.config import HostConfig
from tandem.host.render import render_nginx
from tandem.ops.commands.render import stack_config
from tandem.ports import EDGE_AGENT_PORT, EDGE_METRICS_PORT
from tandem.scripts import DIRECTORY, edge_script, shared
from tandem.settings.schema import RoutingSettings

sys.path.insert(0, str(DIRECTORY / "shared"))  # the agent's modules import one another by name
UV = os.environ.get("UV", "uv")  # `uv run` names itself so; it need not be on PATH
ROUTER, LITELLM = "vllm-router==0.1.17", "litellm[proxy]==1.106.2"
ROUTED = "our edge, inference.routing"
ROUNDS, SECONDS = 5, 3
CONNECTIONS = 32
KEY = "sk-bench-" + "0123456789abcdef" * 3  # LiteLLM starts with no shorter one
ADDED_BAR_MS, RATIO_BAR = 0.10, 3.0
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
  io.write(string.format('\\nJSON{{"median_ms":%f,"requests_per_second":%f,"failed":%d}}\\n',
    latency:percentile(50) / 1000, summary.requests / summary.duration * 1e6, failed))
end
"""
LITELLM_CONFIG = f"""\
general_settings: {{master_key: {KEY}}}
model_list:
- model_name: bench
  litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:PORT/v1", api_key: bench}}
"""


@dataclass(frozen=True)
class Figures:
    """Of one way: median milliseconds over one kept-alive connection, requests per second over CONNECTIONS."""

    median_ms: float
    per_second: float


def _install(home: Path) -> None:
    print(f"installing {ROUTER} and {LITELLM} from PyPI", file=sys.stderr)
    inside = {**os.environ, "VIRTUAL_ENV": str(home)}
    subprocess.run([UV, "venv", "-q", "--clear", "--relocatable", "--python", sys.executable, home], check=True)
    subprocess.run([UV, "pip", "install", "-q", ROUTER, LITELLM], env=inside, check=True)


def environment() -> Path:
    """Where the two other proxies are installed; made once."""
    home = cache_directory() / "bench-proxies"
    make_once(home, home.is_dir, _install, "the proxies", print)
    return home / "bin"


@contextmanager
def running(
    command: list[str], port: int, directory: Path, seconds: float = 120, model: str = "bench"
) -> Iterator[int]:
    """A server that answers completions on a port, until the end of the block."""
    with (directory / f"{Path(command[0]).name}-{port}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + seconds
        while not answers(port, model):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{command[0]} does not serve:\n{Path(log.name).read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)
        yield port
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


def measure(port: int, connections: int, script: Path) -> dict[str, float]:
    """One run of wrk.

    Raises:
        SystemExit: a request failed; the figures would mean nothing.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s", str(script), "--timeout", "30s"]
    command.append(f"http://127.0.0.1:{port}/v1/chat/completions")
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(text.partition("JSON")[2])
    if found["failed"]:
        raise SystemExit(f"{found['failed']} requests failed:\n{text}")
    return found


def compare(ways: dict[str, int], script: Path) -> dict[str, Figures]:
    """Each way's medians over all rounds."""
    alone: dict[str, list[float]] = {name: [] for name in ways}
    crowd: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, port in ways.items():
            alone[name].append(measure(port, 1, script)["median_ms"])
            crowd[name].append(measure(port, CONNECTIONS, script)["requests_per_second"])
    return {name: Figures(statistics.median(alone[name]), statistics.median(crowd[name])) for name in ways}


def main() -> int:
    """Prints the table; exit status 1 when a bar is missed."""
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed: apt-get install {tool}")
    proxies = environment()
    with ExitStack() as stack:
        memory = str(MEMORY) if MEMORY.is_dir() else None
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tandem-bench-", dir=memory)))
        directory.chmod(0o755)
        script = directory / "load.lua"
        script.write_text(SCRIPT)

        def started(command: Callable[[int], list[str]]) -> int:
            port = free_port()
            return stack.enter_context(running(command(port), port, directory))

        def stub(port: int) -> list[str]:
            """A vLLM server that answers at once.

            Stands for: a vLLM server, as far as a proxy before it is timed.
            Held by: nothing, only what the proxies add to the same answer is compared.
            """
            (directory / "stub.conf").write_text(STUB.replace("PORT", str(port)))
            return ["nginx", "-p", str(directory), "-c", str(directory / "stub.conf"), "-g", "daemon off;"]

        def edge(port: int, routing: RoutingSettings | None = None) -> list[str]:
            import_module("traffic").listen(agent := free_port())
            (own := directory / str(port)).mkdir()
            config = stack_config("dev")
            config = replace(config, edge=replace(config.edge, routing=routing))
            file = edge_configuration(config, port, server, own, agent)
            return ["nginx", "-p", str(own), "-c", str(file), "-g", "daemon off;"]

        def routed(port: int) -> list[str]:
            return edge(port, RoutingSettings())

        def router(port: int) -> list[str]:
            command = [str(proxies / "vllm-router"), "--worker-urls", f"http://127.0.0.1:{server}", "--port", str(port)]
            return [*command, "--host", "127.0.0.1", "--log-level", "warning", "--prometheus-port", str(free_port())]

        def litellm(port: int) -> list[str]:
            (directory / "litellm.yaml").write_text(LITELLM_CONFIG.replace("PORT", str(server)))
            command = [str(proxies / "litellm"), "--config", str(directory / "litellm.yaml"), "--port", str(port)]
            return [*command, "--host", "127.0.0.1"]

        server = started(stub)
        ways = {
            "direct": server,
            "our edge": started(edge),
            ROUTED: started(routed),
            ROUTER: started(router),
            LITELLM: started(litellm),
        }
        found = compare(ways, script)
        even = refusals.report(refusals.times(ways["our edge"], KEY))
    return report(found) or int(not even)


def report(found: dict[str, Figures]) -> int:
    print(f"{'':30}{'median, 1 connection':>22}{f'requests/s, {CONNECTIONS} connections':>32}")
    for name, figures in found.items():
        print(f"{name:30}{figures.median_ms:19.3f} ms{figures.per_second:32,.0f}")
    held = True
    for name in ("our edge", ROUTED):
        added = found[name].median_ms - found["direct"].median_ms
        ratio = found[name].per_second / found[ROUTER].per_second
        print(f"{name}: adds {added:.3f} ms (bar: {ADDED_BAR_MS}), {ratio:.2f} times vllm-router (bar: {RATIO_BAR})")
        held &= added <= ADDED_BAR_MS and ratio >= RATIO_BAR
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
