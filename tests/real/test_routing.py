"""Which server a request goes to, by what it begins with or by its session: the rendered edge in a real nginx."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import stacks
from conversations import play
from edge import Nginx, document, nginx
from machines import until
from recording import Backend, post, recording
from served import config, serving

from pulumi_rehearsal.servers import free_port
from tandem.settings.inference import RoutingSettings

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def four() -> Iterator[list[Backend]]:
    with recording(4) as found:
        yield found


@contextmanager
def routed(ports: Sequence[int], directory: Path, max_conns: int = 1000, **said: Any) -> Iterator[Nginx]:
    """A host's edge with `inference.routing`, before servers on these ports."""
    dev = stacks.config("dev")
    edge = replace(dev.edge, requests_per_second=10_000, connections=1000, routing=RoutingSettings(**said))
    with nginx(replace(dev, edge=edge), ports, directory, max_conns=max_conns) as running:
        yield running


def turn(who: int, number: int, system: str = "Be brief.") -> bytes:
    """Of a conversation, that which asks for its answer with this number."""
    said = [
        {"role": "system", "content": system},
        {"role": "user", "content": [{"type": "text", "text": f"I am {who}"}]},
    ]
    for past in range(number):
        said += [{"role": "assistant", "content": f"{past} is so"}, {"role": "user", "content": f"and {past} more?"}]
    return json.dumps({"messages": said, "model": "m", "max_tokens": number + 1}).encode()


def who_got(four: list[Backend], edge: Nginx, *bodies: bytes, headers: bytes = b"", status: int = 200) -> set[int]:
    """The servers that these requests went to."""
    for backend in four:
        backend.seen.clear()
    for body in bodies:
        assert edge.status(post(b"/v1/chat/completions", body, headers)) == status
    return {number for number, backend in enumerate(four) if backend.seen}


def test_turns_of_a_conversation_meet_one_server_and_conversations_spread(four: list[Backend], tmp_path: Path) -> None:
    with routed([backend.port for backend in four], tmp_path) as edge:
        homes = [who_got(four, edge, *(turn(who, number) for number in range(4))) for who in range(40)]
    assert all(len(home) == 1 for home in homes)
    shares = Counter(home.pop() for home in homes)
    assert len(shares) == 4
    assert max(shares.values()) < 25, shares


def test_what_names_no_user_begins_with_its_text_and_what_cannot_be_read_goes_anywhere(
    four: list[Backend], tmp_path: Path
) -> None:
    long = "w" * 256
    with routed([backend.port for backend in four], tmp_path) as edge:
        for key, rest in (
            ("prompt", lambda n: long + "x" * n),
            ("prompt", lambda n: [7] * 256 + [n]),
            ("input", turns),
        ):
            bodies = [json.dumps({key: rest(number)}).encode() for number in range(4)]
            assert len(who_got(four, edge, *bodies)) == 1, key
        large = json.dumps({"prompt": "w" * (2 << 20)}).encode()
        anything = (b"", b"{", b"[]", b"null", b'{"prompt": 5}', large)
        for body in anything:
            assert len(who_got(four, edge, *[body] * 12)) > 1, body[:40]


def turns(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": "so"}, {"role": "assistant", "content": "no"}][: number + 1]


def test_a_session_is_its_header_and_a_request_without_one_goes_by_its_beginning(
    four: list[Backend], tmp_path: Path
) -> None:
    with routed([backend.port for backend in four], tmp_path, by="session", header="X-Chat") as edge:
        homes = set()
        for session in range(12):
            named = b"X-Chat: %d\r\n" % session
            homes |= (home := who_got(four, edge, *(turn(who, 0) for who in range(6)), headers=named))
            assert len(home) == 1
        assert len(homes) > 1
        assert len(who_got(four, edge, *(turn(1, number) for number in range(4)))) == 1


def test_a_dead_server_is_passed_by(four: list[Backend], tmp_path: Path) -> None:
    dead = free_port()
    with routed([dead, *(backend.port for backend in four[1:])], tmp_path) as edge:
        assert who_got(four, edge, *(turn(who, 0) for who in range(30))) == {1, 2, 3}


def test_a_server_that_has_its_fill_is_passed_by_and_the_least_busy_one_has_what_is_beyond_all(
    four: list[Backend], tmp_path: Path
) -> None:
    """All of one beginning, which would be one server's: nobody waits there while another has room."""
    for backend in four:
        backend.seen.clear()
        backend.hold.clear()
    body = json.dumps({"messages": [{"role": "user", "content": "wait"}]}).encode()

    def load() -> list[int]:
        return sorted(len(backend.seen) for backend in four)

    with routed([backend.port for backend in four], tmp_path, max_conns=5, upToRequests=3) as edge:
        threads = []
        for number in range(1, 21):
            threads.append(threading.Thread(target=edge.raw, args=(post(b"/v1/chat/completions", body), 30)))
            threads[-1].start()
            deadline = time.monotonic() + 5
            while sum(load()) < number and time.monotonic() < deadline:
                time.sleep(0.005)
            if number == 3:
                assert load() == [0, 0, 0, 3]
            if number == 12:
                assert load() == [3] * 4
            if number == 16:
                assert load() == [4] * 4
        assert load() == [5] * 4
        refused = edge.raw(post(b"/v1/chat/completions", body))
        for backend in four:
            backend.hold.set()
        for thread in threads:
            thread.join()
    assert b"503" in refused.partition(b"\r\n")[0]
    assert b"every replica is full" in refused


@dataclass
class Pods:
    """Edges of pods before a server each, as a load balancer reaches them."""

    edges: list[Nginx]
    port: int

    def know(self, *pods: int, of: int | None = None) -> None:
        """What the agents beside them write: those that serve."""
        for number, edge in enumerate(self.edges):
            if of in (None, number):
                found = " ".join(address(pod) for pod in pods)
                (edge.directory / "peers").write_text(f"{address(number)} {found}")

    def home(self, four: list[Backend], body: bytes, headers: bytes = b"") -> set[int]:
        """The servers that a request goes to, by whichever edge it comes."""
        return set[int]().union(*(who_got(four, edge, body, headers=headers) for edge in self.edges))


def address(pod: int) -> str:
    return f"127.0.0.{11 + pod}"


@pytest.fixture
def pods(four: list[Backend], tmp_path: Path) -> Iterator[Pods]:
    dev, port = stacks.config("dev"), free_port()
    edge = replace(dev.edge, requests_per_second=10_000, routing=RoutingSettings(by="session", upToRequests=2))
    with ExitStack() as stack:
        edges = []
        for number, backend in enumerate(four[:3]):
            (own := tmp_path / str(number)).mkdir()
            pod, peer = replace(dev, edge=edge), (address(number), port)
            edges.append(stack.enter_context(nginx(pod, [backend.port], own, place="pod", peer=peer)))
        found = Pods(edges, port)
        found.know(0, 1, 2)
        yield found


def test_edges_of_pods_agree_who_has_read_it(four: list[Backend], pods: Pods) -> None:
    homes = [pods.home(four, turn(who, number)) for who in range(12) for number in range(2)]
    assert all(len(home) == 1 for home in homes)
    assert homes[::2] == homes[1::2]
    assert set[int]().union(*homes) == {0, 1, 2}
    assert len(pods.home(four, turn(1, 0), b"X-Session-Id: s\r\n")) == 1


def test_who_asks_is_looked_up_where_it_is_passed_to_and_counted_where_it_came_in(
    four: list[Backend], pods: Pods
) -> None:
    elsewhere = next(who for who in range(40) if pods.home(four, turn(who, 0)) == {1})
    for backend in four:
        backend.seen.clear()
    request = post(b"/v1/chat/completions", turn(elsewhere, 0), b"X-Request-Id: passed-on\r\nTraceparent: x\r\n")
    assert pods.edges[0].status(request) == 200
    ((_, headers, body),) = four[1].seen
    assert (headers["x-request-id"], body) == ("passed-on", turn(elsewhere, 0))
    assert not {"authorization", "traceparent"} & headers.keys(), "a server gets no key"
    until(lambda: "passed-on" in (pods.edges[0].directory / "edge.log").read_text(), "the log has it", 5)
    assert "passed-on" not in (pods.edges[1].directory / "edge.log").read_text()
    pods.edges[1].admits(document())
    assert who_got(four, pods.edges[0], turn(elsewhere, 0)) == {0}, (
        "where the key is not known yet its own server answers"
    )
    with socket.create_connection((address(1), pods.port), timeout=5) as connection:
        connection.sendall(request)
        assert connection.recv(4096).startswith(b"HTTP/1.1 401"), "the way between edges is none around them"


def test_a_pod_that_is_gone_full_or_unknown_leaves_a_request_to_the_one_it_came_to(
    four: list[Backend], pods: Pods
) -> None:
    moved = next(who for who in range(40) if pods.home(four, turn(who, 0)) == {1})
    pods.know(0, 2)
    assert pods.home(four, turn(moved, 0)) in ({0}, {2})
    pods.know()
    assert who_got(four, pods.edges[0], turn(moved, 0)) == {0}
    (pods.edges[0].directory / "peers").unlink()
    assert who_got(four, pods.edges[0], turn(moved, 0)) == {0}
    pods.know(5, of=0)
    assert who_got(four, pods.edges[0], turn(moved, 0)) == {0}, "nobody listens there"
    pods.know(0, 1, 2)
    for backend in four:
        backend.seen.clear()
        backend.hold.clear()
    session = b"X-Session-Id: %d\r\n"
    named = next(session % who for who in range(40) if pods.home(four, b"{}", session % who) == {1})
    for backend in four:
        backend.seen.clear()
    waiting = post(b"/v1/chat/completions", b'"wait"', named)
    threads = [threading.Thread(target=pods.edges[0].raw, args=(waiting, 30)) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: sum(len(backend.seen) for backend in four) == 4, "all four wait", 5)
    assert [len(backend.seen) for backend in four] == [2, 2, 0, 0], "two for the sake of the cache, no more"
    for backend in four:
        backend.hold.set()
    for thread in threads:
        thread.join()


def test_a_pod_whose_server_starts_anew_leaves_a_request_to_the_one_it_came_to(
    four: list[Backend], pods: Pods, tmp_path: Path
) -> None:
    """Its edge is there, and so is its name for some seconds."""
    (own := tmp_path / "starting").mkdir()
    dev = stacks.config("dev")
    pod = replace(dev, edge=replace(dev.edge, routing=RoutingSettings()))
    with nginx(pod, [free_port()], own, place="pod", peer=(address(4), pods.port)) as starting:
        pods.know(4, of=0)
        assert who_got(four, pods.edges[0], turn(1, 0)) == {0}
        assert starting.status(post(b"/v1/chat/completions", turn(1, 0))) == 502, "nobody else is there to answer"


def test_an_answer_that_takes_too_long_elsewhere_is_said_to(pods: Pods, tmp_path: Path) -> None:
    (own := tmp_path / "slow").mkdir()
    dev = stacks.config("dev")
    edge = replace(dev.edge, routing=RoutingSettings())
    pod = replace(dev, edge=edge, timeouts=replace(dev.timeouts, longest_generation=1))
    with recording(1) as [slow], nginx(pod, [slow.port], own, place="pod", peer=(address(4), pods.port)):
        pods.know(4, of=0)
        waits = json.dumps({"messages": [{"role": "user", "content": "wait"}]}).encode()
        assert pods.edges[0].status(post(b"/v1/chat/completions", waits)) == 504
    assert len(slow.seen) == 1, "what a pod has taken is not asked a second time"


def test_what_a_pod_has_taken_is_not_asked_a_second_time(four: list[Backend], pods: Pods) -> None:
    """A pod that dies in the middle: its edge was reached, so the client hears 502."""
    with socket.socket() as dying:
        dying.bind((address(7), pods.port))
        dying.listen()
        pods.know(7, of=0)
        answers: list[bytes] = []
        asks = threading.Thread(
            target=lambda: answers.append(pods.edges[0].raw(post(b"/v1/chat/completions", turn(1, 0))))
        )
        asks.start()
        taken, _ = dying.accept()
        taken.recv(65536)
        taken.close()
        asks.join()
    assert answers[0].startswith(b"HTTP/1.1 502")
    assert b'"message":"no replica answered"' in answers[0]


def test_no_server_is_a_502_in_json(tmp_path: Path) -> None:
    with routed([free_port()], tmp_path) as edge:
        answer = edge.raw(post(b"/v1/completions"))
    assert answer.startswith(b"HTTP/1.1 502")
    assert b'"message":"no replica answered"' in answer


SERVED = config(tensor_parallel_size=1, max_num_seqs=16, max_queued_requests=64)


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """Ports of two real servers, as a host starts them."""
    with ExitStack() as stack, ThreadPoolExecutor() as both:

        def start(_: int) -> int:
            return stack.enter_context(serving(SERVED, tmp_path_factory.mktemp("vllm"))).port

        yield list(both.map(start, range(2)))


def test_conversations_find_their_caches_on_real_servers(vllm: list[int], tmp_path: Path) -> None:
    """With routing a turn finds what was said before; without, half of what it finds is by chance. `make bench-routing`
    has the figures of pods and of another router."""
    found = {}
    for first, (name, routing) in enumerate((("load", None), ("prefix", RoutingSettings()))):
        (tmp_path / name).mkdir()
        edge = replace(SERVED, edge=replace(SERVED.edge, routing=routing))
        with nginx(edge, vllm, tmp_path / name, max_conns=80) as running:
            found[name] = play([running.port], vllm, range(8 * first, 8 * first + 8), 5, at_once=3, characters=90)
    print(found)
    assert found["prefix"].hit > 0.72, "what one server alone would find"
    assert found["load"].hit < found["prefix"].hit - 0.02
    assert min(found["prefix"].queries) > 0.1 * sum(found["prefix"].queries), "not all on one"
