"""Keys come and go on four edges under load, by the real command, agents and Secrets Manager's model; a minute at most,
and nobody else notices."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import boto3
import pytest
from agents import agent, root
from asking import ask
from edge import Nginx, nginx
from machines import until
from recording import recording
from strangers import wide
from typer.testing import CliRunner

from rehearsal.account import account_gaps, simulated_account
from rehearsal.host.handler import Handler, listening
from tandem.ops import options
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.key_store import find

pytestmark = [pytest.mark.real, pytest.mark.long]

REPLICAS = ("host", "host", "pod", "pod")
BAR_SECONDS = 60
ROUNDS, AWAY_SECONDS = 4, 180
HANG_SECONDS = 30  # longer than an agent waits
PAUSE = 0.05  # seconds between two requests of a client to an edge


@dataclass
class Load:
    """One client, who asks each edge again and again on connections of its own.

    Attributes:
        key: with which it asks from now on.
        answers: of each edge, when it was asked (seconds of the monotonic clock), with which key, and the status; 0 for
            no answer.
    """

    edges: list[Nginx]
    key: str
    answers: list[list[tuple[float, str, int]]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        self.answers = [[] for _ in self.edges]
        for edge, answers in zip(self.edges, self.answers, strict=True):
            threading.Thread(target=self._ask, args=(edge, answers), daemon=True).start()

    def _ask(self, edge: Nginx, answers: list[tuple[float, str, int]]) -> None:
        while not self.over.wait(PAUSE):
            key, asked = self.key, time.monotonic()
            try:
                status = ask(edge.port, {"model": edge.models[0]}, key, seconds=20).status
            except (OSError, http.client.HTTPException):
                status = 0
            answers.append((asked, key, status))

    def known(self) -> bool:
        """Whether each edge has let in whoever has the key, the last time."""
        return all(answers and answers[-1][1:] == (self.key, 200) for answers in self.answers)

    def refused(self) -> bool:
        return all(answers and answers[-1][1:] == (self.key, 401) for answers in self.answers)

    def last_accepted(self, key: str) -> list[float]:
        """Of each edge, when it was asked for the last time that it let a key in."""
        return [max(at for at, used, status in answers if (used, status) == (key, 200)) for answers in self.answers]

    def statuses(self, since: float = 0) -> dict[int, int]:
        """How many answers there were of each status."""
        found = sorted(status for at, _, status in itertools.chain(*self.answers) if at >= since)
        return {status: len(list(group)) for status, group in itertools.groupby(found)}


def keys(*words: str) -> str:
    """What `tandem keys` prints on standard output."""
    result = CliRunner().invoke(app, ["keys", *words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout.strip()


@dataclass
class Way:
    """To Secrets Manager.

    Attributes:
        away: it hangs, is cut, or answers 503, in turn.

    Stands for: the way from edges to Secrets Manager.
    Held by: nothing, what answers at its end is moto.
    """

    account: str
    away: bool = False
    asked: int = 0


class Passing(Handler):
    way: Way

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.way.away:
            self.way.asked += 1
            self.close_connection = True
            if self.way.asked % 3 == 0:
                time.sleep(HANG_SECONDS)
            return self.answer(503, "away") if self.way.asked % 3 == 1 else None
        request = urllib.request.Request(self.way.account, body, dict(self.headers))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return self.answer(answer.status, answer.read(), answer.headers["Content-Type"])
        except urllib.error.HTTPError as error:
            return self.answer(error.code, error.read())


@dataclass(frozen=True)
class World:
    """Four edges, each with its agent, and their way to the account."""

    edges: list[Nginx]
    way: Way


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("stack")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        account = stack.enter_context(simulated_account())
        gaps = stack.enter_context(account_gaps(account.url))
        for name, value in {**account.environment("us-east-1"), "AWS_ENDPOINT_URL": gaps.url}.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        (directory / "Pulumi.dev.yaml").write_text("config:\n  tandem:region: us-east-1\n")
        patch.setattr(options, "PROJECT", directory)
        tags = {"tandem:project": "tandem", "tandem:stack": "dev", "tandem:stack-id": "tandem-dev-one"}
        account.client("secretsmanager", "us-east-1").create_secret(
            Name="tandem-dev-issued-keys-0a1b2c3", Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
        )
        arn = find(aws_clients("us-east-1"), "dev").arn
        backends = stack.enter_context(recording(2))
        way, edges = Way(account.url), []
        entrance = f"http://127.0.0.1:{stack.enter_context(listening(Passing, way=way))}"
        for number, place in enumerate(REPLICAS):
            machine = directory / f"{place}-{number}"
            (run := root(machine, place)).mkdir(parents=True)
            port = backends[number % 2].port
            edge = stack.enter_context(nginx(wide(), [port], run, clients={"clients": {}}, place=place))
            stack.enter_context(agent(place, wide(), machine, edge, arn, entrance))
            edges.append(edge)
        yield World(edges, way)


@pytest.fixture
def clients(world: World) -> Iterator[tuple[Load, Load]]:
    """alice, whose keys come and go, and bob, of whom nobody should hear."""
    loads = [Load(world.edges, keys("add", "dev", name)) for name in ("alice", "bob")]
    try:
        for load in loads:
            load.start()
        until(lambda: all(load.known() for load in loads), "both are known everywhere", BAR_SECONDS)
        yield loads[0], loads[1]
    finally:
        for load in loads:
            load.over.set()
        for name in ("alice", "bob"):
            CliRunner().invoke(app, ["keys", "revoke", "dev", name])


def test_a_revoked_key_is_refused_everywhere_in_a_minute_and_nobody_else_is(clients: tuple[Load, Load]) -> None:
    alice, bob = clients
    began = time.monotonic()
    gone, came = [], []
    for number in range(ROUNDS):
        time.sleep(number * 5)  # at another moment between the agents' looks
        revoked, key = time.monotonic(), alice.key
        keys("revoke", "dev", "alice")
        until(alice.refused, "alice is refused everywhere", BAR_SECONDS + 30)
        gone += [at - revoked for at in alice.last_accepted(key)]
        made = time.monotonic()
        alice.key = keys("add", "dev", "alice")
        until(alice.known, "alice's new key is known everywhere", BAR_SECONDS + 30)
        came.append(time.monotonic() - made)
    print(
        f"{len(gone)} revocations (4 edges x {ROUNDS}): accepted for up to {max(gone):.1f} s, "
        f"median {sorted(gone)[len(gone) // 2]:.1f} s; a new key known everywhere after up to {max(came):.1f} s; "
        f"bob {bob.statuses(began)}"
    )
    assert max(gone) < BAR_SECONDS
    assert max(came) < BAR_SECONDS
    assert bob.statuses(began).keys() == {200}


def test_a_store_that_is_away_costs_nobody_an_answer(world: World, clients: tuple[Load, Load]) -> None:
    alice, bob = clients
    began = time.monotonic()
    world.way.away = True
    time.sleep(AWAY_SECONDS)
    world.way.away = False
    back, key = time.monotonic(), alice.key
    asked = alice.statuses(began), bob.statuses(began)
    keys("revoke", "dev", "alice")
    until(alice.refused, "alice is refused everywhere", BAR_SECONDS + 30)
    gone = max(alice.last_accepted(key)) - back
    print(
        f"away for {AWAY_SECONDS} s, asked {world.way.asked} times: alice {asked[0]}, bob {asked[1]}; "
        f"back, a revoked key is accepted for up to {gone:.1f} s"
    )
    assert world.way.asked > AWAY_SECONDS / 20
    assert [one.keys() for one in asked] == [{200}, {200}]
    assert gone < BAR_SECONDS
    assert bob.statuses(began).keys() == {200}
