"""From a former LiteLLM to the one that stacks run, on a real PostgreSQL: what the task definition's containers do in a
rollout of ECS, a migration that fails, and the way back."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asking import Answer
from databases import Postgres, program, redis
from edge import KEY
from gateway_server import DATABASE, FORMER, PRESENT, SALT, Gateway, Release, database, gateways, rendered, told_to
from served import LASTING, NAME, config
from test_clients import ARGUMENTS
from test_gateway import LEDGER_SECONDS, cost, until

from infra.components.gateway import MIGRATE

pytestmark = [pytest.mark.real, pytest.mark.long]

LIMITED = "limited"
"""A role that reads and writes what is there, and owns nothing."""
OF_THE_FORMER = b"dictionary changed size during iteration"
"""What 1.100.5 says with 500 once in two thousand requests, in a rollout or not: its threads share a request's metadata
(`merge_litellm_metadata`), which the present version copies first."""
BEFORE = "before"
"""The database as a snapshot has it, restored beside the present one."""
LEAVES_SECONDS = 30
"""Between the last request and SIGTERM: a target group lets one finish for longer. The former version writes sums of
spend each ten to twenty seconds, and at its end no more; the present one does (test_gateway.py)."""
CREDENTIAL: dict[str, Any] = {
    "credential_name": "elsewhere",
    "credential_values": {"api_key": "sk-of-another"},
    "credential_info": {},
}
"""LiteLLM encrypts what it keeps of providers."""


@dataclass
class Parts:
    """What there is of the gateway.

    Attributes:
        text, variables: config.yaml and the environment.
        room: directories of copies.
        serving: copies that the load balancer asks.
        key: of a team with a budget.
        spent_up: one whose budget is spent.
        spent: US dollars of all answers to it.
    """

    text: str
    variables: dict[str, str]
    cluster: Postgres
    room: Path
    serving: list[Gateway] = field(default_factory=list)
    team: str = ""
    key: str = ""
    spent_up: str = ""
    spent: float = 0.0

    def copies(self, stack: ExitStack, number: int, release: Release, name: str = DATABASE) -> list[Gateway]:
        """Copies that have started."""
        room = self.room / f"{release.version}-{name}-{time.monotonic_ns()}"
        found = gateways(number, self.text, self.cluster.url(name), room, self.variables, release)
        return [*stack.enter_context(found)]

    def migrate(self, release: Release, url: str) -> subprocess.CompletedProcess[str]:
        """What a task's first container does."""
        room = self.room / f"migrate-{time.monotonic_ns()}"
        room.mkdir()
        told = told_to(release, url, room, self.variables) | {"CONFIG": self.text, "DISABLE_SCHEMA_UPDATE": "false"}
        command = ["sh", "-c", MIGRATE.replace("/tmp/", f"{room}/")]
        return subprocess.run(command, env=told, cwd=room, capture_output=True, text=True, check=False)

    def ask(self, copy: Gateway) -> Answer:
        """With the team's key; an answer's price is added up."""
        answer = copy.chat(self.key, NAME)
        self.spent += cost(answer) if answer.status == 200 else 0
        return answer

    def booked(self, name: str = DATABASE) -> float:
        """US dollars that the database knows of."""
        asked = f"select spend from \"LiteLLM_TeamTable\" where team_id = '{self.team}'"
        return float(self.cluster.sql(asked, name))

    def everything_is_booked(self) -> None:
        """No less than what was answered, and 1 % more at most: of 506 requests one was booked beside that, once.

        A copy that has left held the lock under which one of them writes, for a minute more.
        """
        with contextlib.suppress(AssertionError):
            until(lambda: self.booked() >= self.spent * 0.999, 3 * LEDGER_SECONDS, "spend is in the database")
        assert self.spent * 0.999 <= self.booked() <= self.spent * 1.01


@contextlib.contextmanager
def asking(parts: Parts) -> Iterator[list[int]]:
    """A client that asks the copies of the load balancer, one after another, until the block ends; what it hears."""
    heard: list[int] = []
    ends = threading.Event()

    def client() -> None:
        while not ends.wait(0.2):
            copies = [*parts.serving]
            copy = copies[len(heard) % len(copies)]
            try:
                answer = parts.ask(copy)
            except OSError:
                heard.append(0)
                continue
            if not (copy.release is FORMER and OF_THE_FORMER in answer.body):
                heard.append(answer.status)

    thread = threading.Thread(target=client)
    thread.start()
    try:
        yield heard
    finally:
        ends.set()
        thread.join()


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def parts(stack: ExitStack, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Two copies of the former version, with a team, its key, one that has spent its budget, and what is encrypted."""
    vllm = LASTING(config(), tmp_path_factory.mktemp("vllm"), *ARGUMENTS)
    cluster = stack.enter_context(database(FORMER))
    cache = stack.enter_context(redis(room := tmp_path_factory.mktemp("upgrade")))
    parts = Parts(*rendered(NAME, f"http://127.0.0.1:{vllm.port}", KEY, cache), cluster, room)
    parts.serving = parts.copies(stack, 2, FORMER)
    first, second = parts.serving
    parts.team = first.team("one", max_budget=1000)
    parts.key = first.key(team_id=parts.team, models=[NAME])
    parts.spent_up = first.key(max_budget=1e-9)
    assert [parts.ask(copy).status for copy in parts.serving] == [200, 200]
    first.chat(parts.spent_up, NAME)
    until(lambda: refused(second.chat(parts.spent_up, NAME)), 30, "its budget is spent")
    first.admin("/credentials", CREDENTIAL)
    parts.everything_is_booked()
    return parts


def refused(answer: Answer) -> bool:
    """Since a budget is spent; the former version has another status for it."""
    return answer.status in (422, 429) and b"budget_exceeded" in answer.body


DECRYPT = """
import sys
from litellm.proxy.common_utils.encrypt_decrypt_utils import decrypt_value_helper
print(decrypt_value_helper(sys.argv[1], key="api_key", exception_type="debug"))
"""


def decrypted(parts: Parts, release: Release, salt: str) -> str:
    """What a version with this salt reads of what the former has encrypted."""
    column = "credential_values ->> 'api_key'"
    kept = parts.cluster.sql(f'select {column} from "LiteLLM_CredentialsTable"', DATABASE)
    told = told_to(release, parts.cluster.url(DATABASE), parts.room, parts.variables) | {"LITELLM_SALT_KEY": salt}
    command = [release.python / "python", "-c", DECRYPT, kept]
    return subprocess.run(command, env=told, capture_output=True, text=True, check=True).stdout.strip()


def test_a_migration_that_fails_leaves_the_former_copies_serving(parts: Parts) -> None:
    """A migration that has failed stays so, and no other one goes through, until somebody has said what came of it, as
    docs/gateway.md tells: PostgreSQL takes back all of it."""
    sql = parts.cluster.sql
    sql(f"create role {LIMITED} login; grant create on schema public to {LIMITED}", DATABASE)
    sql(f"grant all on all tables in schema public to {LIMITED}", DATABASE)
    refused = parts.cluster.url(DATABASE).replace("//litellm@", f"//{LIMITED}@")
    with asking(parts) as heard:
        failed = parts.migrate(PRESENT, refused)
        assert failed.returncode != 0
        assert "must be owner of" in failed.stderr
        again = parts.migrate(PRESENT, parts.cluster.url(DATABASE))
        assert again.returncode != 0, "the cause is away, and the mark is not"
        assert "prisma migrate resolve --rolled-back" in again.stderr
    assert heard
    assert {*heard} == {200}
    parts.everything_is_booked()
    [name] = sql("select migration_name from _prisma_migrations where finished_at is null", DATABASE).splitlines()
    resolve = [parts.room / "bin/prisma", "migrate", "resolve", "--rolled-back", name]
    there = told_to(FORMER, parts.cluster.url(DATABASE), parts.room, parts.variables)
    subprocess.run(resolve, cwd=FORMER.packages / "litellm_proxy_extras", env=there, check=True)


def test_an_upgrade_loses_no_request_no_key_and_no_spend(parts: Parts, stack: ExitStack) -> None:
    """As ECS rolls out: new copies start, and migrate first; they are asked once ready; then the former leave."""
    former = [*parts.serving]
    subprocess.run([program("pg_dump"), "-Fc", "-f", parts.room / "dump", parts.cluster.url(DATABASE)], check=True)
    booked = parts.booked()
    with asking(parts) as heard:
        done = parts.migrate(PRESENT, parts.cluster.url(DATABASE))
        assert done.returncode == 0, done.stderr[-3000:]
        migrated = len(heard)
        began = time.monotonic()
        again = parts.migrate(PRESENT, parts.cluster.url(DATABASE))
        assert again.returncode == 0, again.stderr[-1500:]
        seconds = time.monotonic() - began
        new = parts.copies(stack, 2, PRESENT)
        ready = ", ".join(f"{copy.seconds:.0f}" for copy in new)
        print(f"a task starts: {seconds:.0f} s with nothing to migrate, then ready after {ready} s")
        parts.serving[:] = [*former, *new]
        time.sleep(3)
        parts.serving[:] = new
        time.sleep(LEAVES_SECONDS)
        for copy in former:
            copy.stop()
        time.sleep(3)
    assert migrated > 3
    assert {*heard} == {200}
    print(len(heard), "requests,", migrated, "of them while the database was changed")
    for copy in new:
        assert refused(copy.chat(parts.spent_up, NAME))
        assert copy.chat("sk-nobody-was-given-this-one", NAME).status == 401
    assert new[0].admin(f"/team/info?team_id={parts.team}")["team_info"]["max_budget"] == 1000
    parts.everything_is_booked()
    assert parts.booked() > booked


def test_the_way_back_is_the_database_as_it_was(parts: Parts, stack: ExitStack) -> None:
    """Which knows no key of after it."""
    later = parts.serving[0].key()
    parts.cluster.sql(f"create database {BEFORE}", "postgres")
    subprocess.run([program("pg_restore"), "-d", parts.cluster.url(BEFORE), parts.room / "dump"], check=True)
    done = parts.migrate(FORMER, parts.cluster.url(BEFORE))
    assert done.returncode == 0, done.stderr[-1500:]
    [copy] = parts.copies(stack, 1, FORMER, BEFORE)
    assert copy.chat(parts.key, NAME).status == 200
    assert refused(copy.chat(parts.spent_up, NAME))
    assert copy.chat(later, NAME).status == 401
    copy.stop()


def test_the_former_version_on_the_migrated_database(parts: Parts, stack: ExitStack) -> None:
    """What ECS's own way back does after a migration."""
    done = parts.migrate(FORMER, parts.cluster.url(DATABASE))
    print("former migrates", done.returncode, done.stdout[-1500:], done.stderr[-1500:])
    [copy] = parts.copies(stack, 1, FORMER)
    print(copy.chat(parts.key, NAME).status, copy.chat(parts.spent_up, NAME).status)
    key = copy.key()
    assert copy.chat(key, NAME).status == 200
    copy.stop()


def test_without_the_former_salt_keys_work_and_what_is_encrypted_is_lost(parts: Parts, stack: ExitStack) -> None:
    secret = CREDENTIAL["credential_values"]["api_key"]
    assert decrypted(parts, PRESENT, SALT) == secret
    assert secret not in decrypted(parts, PRESENT, "sk-another")
    parts.variables["LITELLM_SALT_KEY"] = "sk-another"
    [copy] = parts.copies(stack, 1, PRESENT)
    assert copy.chat(parts.key, NAME).status == 200
    assert refused(copy.chat(parts.spent_up, NAME))
