"""`python -m bench.routing`: conversations by each way to choose a server, before real vLLM servers on CPUs.

How much of their prompts a server had in its cache, and what clients waited for the first token of a turn that is not
the first. All ways take their turn several times, each time with conversations that nobody has had before.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from bench.ways import ROUTER, TESTS, program, running
from pulumi_rehearsal.servers import free_port
from tandem.scripts import DIRECTORY
from tandem.settings.inference import RoutingSettings

sys.path[:0] = [*TESTS, str(DIRECTORY / "shared")]

from tests.real.conversations import Outcome, play  # noqa: E402
from tests.real.edge import nginx  # noqa: E402
from tests.real.served import NAME, config, serving  # noqa: E402

SERVERS, ROUNDS, CONVERSATIONS, TURNS, AT_ONCE, CHARACTERS = 2, 3, 8, 6, 3, 90
SERVED = config(tensor_parallel_size=1, max_num_seqs=16, max_queued_requests=64)
POLICIES = ("round_robin", "cache_aware", "consistent_hash")


@contextmanager
def servers(number: int, directory: Path) -> Iterator[list[int]]:
    """Ports of so many real servers, as a host starts them, on two cores."""
    with ExitStack() as stack, ThreadPoolExecutor() as pool:

        def start(which: int) -> int:
            (own := directory / str(which)).mkdir()
            return stack.enter_context(serving(SERVED, own)).port

        yield list(pool.map(start, range(number)))


@contextmanager
def pods(ports: Sequence[int], directory: Path, routing: RoutingSettings | None) -> Iterator[list[int]]:
    """Ports of the edge of a pod before each server."""
    passing, edge = free_port(), replace(SERVED.edge, routing=routing)
    addresses = [f"127.0.0.{11 + number}" for number in range(len(ports))]
    with ExitStack() as stack:
        edges = []
        for address, port in zip(addresses, ports, strict=True):
            (own := directory / address).mkdir(parents=True)
            (own / "peers").write_text(" ".join([address, *addresses]))
            one = nginx(replace(SERVED, edge=edge), [port], own, place="pod", peer=(address, passing))
            edges.append(stack.enter_context(one).port)
        yield edges


@contextmanager
def host(ports: Sequence[int], directory: Path, routing: RoutingSettings | None) -> Iterator[list[int]]:
    """The port of a host's edge before all servers."""
    directory.mkdir()
    with nginx(replace(SERVED, edge=replace(SERVED.edge, routing=routing)), ports, directory, max_conns=80) as edge:
        yield [edge.port]


@contextmanager
def router(ports: Sequence[int], directory: Path, policy: str) -> Iterator[list[int]]:
    """The port of PyPI's vllm-router before all servers."""
    directory.mkdir()
    urls = [f"http://127.0.0.1:{one}" for one in ports]
    command = [str(program("vllm-router", ROUTER)), "--worker-urls", *urls, "--policy", policy, "--host", "127.0.0.1"]
    command += ["--port", str(port := free_port()), "--prometheus-port", str(free_port()), "--log-level", "warning"]
    with running(command, port, directory, model=NAME):
        yield [port]


def compare(ports: Sequence[int], directory: Path) -> dict[str, list[Outcome]]:
    """What each way came to, in each round."""
    with ExitStack() as stack:
        ways = {
            "host, least busy": stack.enter_context(host(ports, directory / "host", None)),
            "host, prefix": stack.enter_context(host(ports, directory / "host-prefix", RoutingSettings())),
            "pods, load balancer alone": stack.enter_context(pods(ports, directory / "pods", None)),
            "pods, prefix": stack.enter_context(pods(ports, directory / "pods-prefix", RoutingSettings())),
            **{
                f"{ROUTER}, {policy}": stack.enter_context(router(ports, directory / policy, policy))
                for policy in POLICIES
            },
        }
        found: dict[str, list[Outcome]] = {name: [] for name in ways}
        first = 0
        for _ in range(ROUNDS):
            for name, entries in ways.items():
                first += CONVERSATIONS
                numbers = range(first, first + CONVERSATIONS)
                found[name].append(play(entries, ports, numbers, TURNS, AT_ONCE, CHARACTERS))
    return found


def report(found: dict[str, list[Outcome]]) -> None:
    print(f"{'':36}{'found in cache':>15}{'first token, median':>21}{'p95':>9}{'busiest server':>16}")
    for name, played in found.items():
        first = sorted(seconds for one in played for seconds in one.first)
        hit = statistics.mean(one.hit for one in played)
        most = statistics.mean(max(one.queries) / sum(one.queries) for one in played)
        late = first[int(0.95 * len(first))]
        print(f"{name:36}{hit:14.0%} {statistics.median(first):18.2f} s{late:8.2f} s{most:15.0%}")


def main() -> int:
    """Prints the table."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as name:
        directory = Path(name)
        (directory / "servers").mkdir()
        with servers(SERVERS, directory / "servers") as ports:
            report(compare(ports, directory))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
