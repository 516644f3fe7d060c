"""What tests of the gateway start: two copies of the real LiteLLM proxy as tandem configures it, on a real PostgreSQL
and Redis, before the real edge and the real vLLM; a provider beside them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asking import Answer
from databases import Postgres, redis
from edge import KEY, Nginx, nginx, wait_for
from gateway_server import DATABASE, IN, OUT, Gateway, database, gateways, rendered
from provider import ProviderStub, provider_stub
from served import ARGUMENTS, LASTING, NAME, config, serving
from troubled import Troubled, troubled
from vllm_cpu import Server, model

from pulumi_rehearsal.servers import free_port

CLOUD = "bedrock/amazon.nova-lite-v1:0"
VECTORS = "vectors"
LEDGER_SECONDS = 60
"""Within which spend is in the database; LiteLLM writes it every ten to twenty."""


class Door:
    """A port that leads to another while it is open, and refuses when it is not."""

    def __init__(self, to: int) -> None:
        self.port, self._to = free_port(), to
        self.open()

    def open(self) -> None:
        command = ["socat", f"TCP-LISTEN:{self.port},bind=127.0.0.1,fork,reuseaddr", f"TCP:127.0.0.1:{self._to}"]
        self._process = subprocess.Popen(command, start_new_session=True)
        wait_for(self.port, self._process, 10)

    def shut(self) -> None:
        """Connections that are open end, too."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)


@dataclass(frozen=True)
class Parts:
    """All that runs.

    Attributes:
        trouble: between edge and vLLM.
        door: before the edge.
        embeds: an edge before a vLLM that embeds.
    """

    first: Gateway
    second: Gateway
    cluster: Postgres
    vllm: Server
    edge: Nginx
    cloud: ProviderStub
    trouble: Troubled
    door: Door
    embeds: Nginx

    def spend(self, team: str) -> float:
        """US dollars that the database knows of."""
        return float(self.cluster.sql(f"select spend from \"LiteLLM_TeamTable\" where team_id = '{team}'", DATABASE))


FALLBACK = {
    "model": CLOUD, "afterSeconds": 3, "maxUsdPerDay": 100, "promptUsdPerMillion": 1, "answerUsdPerMillion": 1,
}  # fmt: skip


@contextmanager
def started(room_for: Callable[[str], Path]) -> Iterator[Parts]:
    """All of it, until the block ends; vLLM lasts (`served.Lasting`).

    Args:
        room_for: makes a directory of a name.
    """
    vllm = LASTING(config(), room_for("vllm"), *ARGUMENTS)
    with ExitStack() as stack:
        trouble = stack.enter_context(troubled(vllm.port))
        edge = stack.enter_context(nginx(config(), [trouble.port], room_for("edge")))
        door = Door(edge.port)
        stack.callback(door.shut)
        embeds = stack.enter_context(embedding(room_for("embeds")))
        cloud = stack.enter_context(provider_stub())
        cluster = stack.enter_context(database())
        cache = stack.enter_context(redis(room := room_for("gateway")))
        vectors = (VECTORS, f"http://127.0.0.1:{embeds.port}")
        text, variables = rendered(NAME, f"http://127.0.0.1:{door.port}", KEY, cache, vectors, fallback=FALLBACK)
        variables |= {
            "AWS_BEDROCK_RUNTIME_ENDPOINT": f"http://127.0.0.1:{cloud.port}",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
        }
        first, second = stack.enter_context(gateways(2, text, cluster.url(DATABASE), room, variables))
        print("seconds until ready:", *(round(copy.seconds, 1) for copy in (first, second)))
        yield Parts(first, second, cluster, vllm, edge, cloud, trouble, door, embeds)


@contextmanager
def embedding(directory: Path) -> Iterator[Nginx]:
    """The edge of hosts whose model embeds; it is made of one that generates, as vLLM converts it."""
    host = config("embed")
    host = replace(host, engine=replace(host.engine, served_model_name=VECTORS))
    host = replace(host, edge=replace(host.edge, models=(VECTORS,)))
    with serving(host, directory, of=model()) as vllm, nginx(host, [vllm.port], directory) as edge:
        yield edge


class Shared:
    """The parts, which several files ask for; they end with the last of these (conftest.py)."""

    files = ("test_gateway.py", "test_gateway_apply.py")

    def __init__(self) -> None:
        self._stack, self._parts = ExitStack(), None

    def __call__(self, room_for: Callable[[str], Path]) -> Parts:
        """As `started`."""
        if self._parts is None:
            self._parts = self._stack.enter_context(started(room_for))
        return self._parts

    def end(self) -> None:
        self._stack.close()
        self._parts = None


SHARED = Shared()


def until(true: Callable[[], Any], seconds: float, what: str) -> float:
    """Seconds until something held."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + seconds, f"not within {seconds} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - began


def served(answer: Answer) -> bool:
    assert answer.status == 200, (answer.status, answer.body)
    return True


def metric(server: Server, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as answer:
        return sum(map(float, re.findall(rf"(?m)^vllm:{name}{{.*}} (\S+)$", answer.read().decode())))


def counted(server: Server) -> float:
    """US dollars that all tokens cost which a server has counted since its start."""
    return metric(server, "prompt_tokens_total") * IN + metric(server, "generation_tokens_total") * OUT
