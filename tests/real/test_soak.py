"""`tandem soak`'s stretches against the real vLLM: what is planted is found, and nothing where nothing is."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

import pytest
from served import NAME, config, serving
from test_full import metrics_of
from test_load import PATIENT, SEEN
from troubled import Troubled, troubled
from vllm_cpu import Server

from tandem.ops.load.soak import Finding, findings, unwatched, windows
from tandem.ops.load.traffic import Lengths, Model, Shape, requests
from tandem.ops.smoke import Target

pytestmark = [pytest.mark.real, pytest.mark.long]

RATE, SECONDS = 3, 3
FEW, ENOUGH = 8, 12
"""Stretches: in which a latency can drift, and memory leak, too."""
FIRST, EACH = 2.0, 0.3
"""Seconds that an answer takes at least, so that a busy machine's own do not show."""


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(config(), tmp_path_factory.mktemp("vllm")) as running:
        yield running


@dataclass
class Page:
    """The server's own metrics, of a look with a number, and changed.

    Stands for: the metrics of a vLLM that leaks, or was started again.
    Held by: tests/real/test_soak.py::test_a_healthy_server_is_silent (unchanged, the same page is read)
    """

    change: Callable[[int, str], str]
    looks: int = 0
    url: str = ""


@pytest.fixture
def page(vllm: Server) -> Iterator[Page]:
    told = Page(lambda _, text: text)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.looks += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(told.change(told.looks, metrics_of(vllm.port)).encode())

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/metrics"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


def soaked(
    between: Troubled, pages: Sequence[str], stretches: int, before: Callable[[int], None] = lambda _: None
) -> tuple[list[Finding], list[str]]:
    """What is found, and what nobody told.

    Args:
        before: called before a stretch, with its number.
    """
    made = requests(Shape(prompt=Lengths(40, 0.2), answer=Lengths(6, 0.1)), Model(name=NAME, context=2048), seed=1)

    def bodies(number: int, count: int) -> list[dict[str, Any]]:
        before(number)
        return [{**body, **SEEN, "max_completion_tokens": 6} for body in islice(made, count)]

    target = Target(f"http://127.0.0.1:{between.port}", "tdm_secret", timeout_seconds=300)
    run = windows(target, NAME, RATE, bodies, PATIENT, hours=10, seconds=SECONDS, pages=pages)
    found = [*islice(run, stretches)]
    for one in found:
        print(one)
    return findings(found, {}, PATIENT), unwatched(found, {})


def test_a_healthy_server_is_silent(vllm: Server, page: Page) -> None:
    with troubled(vllm.port) as between:
        between.first, between.each = FIRST, EACH
        assert soaked(between, [page.url], FEW) == ([], ["GPU memory"])


def test_a_leak_a_restart_and_a_drift_are_found(vllm: Server, page: Page) -> None:
    def worse(look: int, text: str) -> str:
        """The page is what a process that grows by 40 MB between two looks says, and was started again after six."""
        more = {"process_resident_memory_bytes": 4e7 * look, "process_start_time_seconds": float(look > 6)}
        return re.sub(r"(?m)^(process_\w+) (\S+)$", lambda one: f"{one[1]} {float(one[2]) + more.get(one[1], 0)}", text)

    with troubled(vllm.port) as between:

        def slower(number: int) -> None:
            between.first, between.each = FIRST * (1 + number / 10), EACH * (1 + number / 10)

        page.change = worse
        healthy = f"http://127.0.0.1:{vllm.port}/metrics"
        found, unknown = soaked(between, [healthy, page.url], ENOUGH, slower)
    assert unknown == ["GPU memory"]
    assert [one.kind for one in found] == ["leak", *["drift"] * 4, "restart"]
    assert found[0].said.startswith("memory of a server's process: ")
    assert found[1].said.startswith("first token: ")
    assert found[-1].said.startswith("1, seen after minutes ")
    assert all(page.url in found[place].said for place in (0, -1)), "and not that of the healthy one"
