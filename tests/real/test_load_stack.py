"""`tandem load STACK`, the whole command: found by tags in a simulated account, over TLS, with a key that a host's own
agent lets in, to the real vLLM behind the real edge. Nobody plays the load balancer's name in public DNS."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import pytest
from agents import agent, root
from edge import Nginx, nginx
from served import LASTING, NAME
from strangers import wide
from test_full import CONFIG
from test_load import SEEN, totals
from typer.testing import CliRunner
from vllm_cpu import Server

from rehearsal.account import account_gaps, simulated_account
from tandem import loads
from tandem.errors import UserError
from tandem.ops import endpoint, options
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.key_store import Store, find
from tandem.ops.keys import Document
from tests.ops.api_stand_in import certificate

pytestmark = pytest.mark.real

REGION, RATE, SECONDS = "us-east-1", 2, 8
PATIENT = ["--first-token", "600", "--between-tokens", "60"]


@contextmanager
def balancer(port: int, directory: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """Its URL, and its key and certificate in PEM.

    Stands for: a load balancer that ends TLS before an edge.
    Held by: nothing, none is in reach; what it passes on is what came.
    """
    key, signed = certificate()
    (directory / "lb.pem").write_bytes(key + signed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "lb.pem")

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while part := await source.read(65536):
                sink.write(part)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", key, signed
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        server.close()


def made(certificate_pem: bytes, key_pem: bytes) -> Store:
    """What `pulumi up` leaves of a stack in the account, as far as the command looks; its keys."""
    clients = aws_clients(REGION)
    tags = {"tandem:project": "tandem", "tandem:stack": "dev", "tandem:stack-id": "tandem-dev-one"}
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    vpc = clients("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    clients("ec2").create_tags(Resources=[vpc], Tags=listed)
    subnets = [subnet["SubnetId"] for subnet in clients("ec2").describe_subnets()["Subnets"][:2]]
    clients("elbv2").create_load_balancer(Name="dev-1234567", Subnets=subnets, Tags=listed)
    group = clients("elbv2").create_target_group(
        Name="dev-7654321", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip", Tags=listed
    )["TargetGroups"][0]["TargetGroupArn"]
    clients("elbv2").register_targets(TargetGroupArn=group, Targets=[{"Id": "172.31.0.9"}])
    clients("acm").import_certificate(Certificate=certificate_pem, PrivateKey=key_pem, Tags=listed)
    clients("secretsmanager").create_secret(Name="tandem-dev-issued-keys-0a1b2c3", Tags=listed)
    return find(clients, "dev")


@dataclass(frozen=True)
class World:
    """A stack that is up, as its operator meets it."""

    vllm: Server
    edge: Nginx
    store: Store


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory, small = tmp_path_factory.mktemp("stack"), wide(CONFIG)
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        account = stack.enter_context(simulated_account())
        gaps = stack.enter_context(account_gaps(account.url))
        for name, value in {**account.environment(REGION), "AWS_ENDPOINT_URL": gaps.url}.items():
            patch.setenv(name, value)
        patch.delenv("TANDEM_API_KEY", raising=False)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        patch.setattr(options, "PROJECT", directory)
        (directory / "Pulumi.dev.yaml").write_text(
            json.dumps({"config": {"tandem:region": REGION, "tandem:fleet": {"instanceTypes": ["g6.12xlarge"]}}})
        )
        vllm = LASTING(small, directory)
        (run := root(directory / "host", "host")).mkdir(parents=True)
        edge = stack.enter_context(nginx(small, [vllm.port], run, clients={"clients": {}}))
        url, key, signed = stack.enter_context(balancer(edge.port, directory))
        store = made(signed, key)
        stack.enter_context(agent("host", small, directory / "host", edge, store.arn, account.url))
        found = endpoint.find
        patch.setattr(endpoint, "find", lambda *words: (one := found(*words)) and replace(one, url=url))
        yield World(vllm, edge, store)


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Requests whose tokens a client sees come."""
    bodies = [
        {"messages": [{"role": "user", "content": f"number {number}"}], "max_completion_tokens": 12, "ignore_eos": True}
        for number in range(RATE * SECONDS)
    ]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(body | SEEN) + "\n" for body in bodies))
    return ["--requests", str(tmp_path / "requests.jsonl"), "--into", str(tmp_path / "loads")]


def test_a_stack_is_loaded_with_a_key_of_its_own(world: World, own: list[str], tmp_path: Path) -> None:
    """vLLM counts what the command says, and beside it the one question by which it learned of the model."""
    before = totals(world.vllm.port)
    sweep = ["--rate", str(RATE), "--steps", "1", "--seconds", str(SECONDS), "--peak", "10"]
    done = CliRunner().invoke(app, ["load", "dev", *own, *sweep, *PATIENT, "--yes", "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    after = totals(world.vllm.port)
    document = json.loads(done.stdout)
    (step,) = document["steps"]
    assert (document["model"], document["stack"], document["instanceTypes"]) == (NAME, "dev", ["g6.12xlarge"])
    assert (step["requests"], step["failed"], document["kept"]) == (RATE * SECONDS, {}, True)
    assert document["proposals"]["usdPerMillionTokens"] > 0
    counted = {name: after[f"vllm:{name}"] - before.get(f"vllm:{name}", 0) for name in COUNTED}
    assert counted["request_success_total"] == step["requests"] + 1
    assert counted["generation_tokens_total"] == step["outputTokens"] + 1
    kept = loads.newest(tmp_path, "dev")
    assert kept
    assert kept.document == document
    assert "of the stack at its largest" in done.stderr
    assert "whether it serves others is not known" in done.stderr
    assert world.store.read()[0] == Document(), "the key is gone"
    lines = [json.loads(line) for line in (world.edge.directory / "edge.log").read_text().splitlines()]
    asked = [line for line in lines if line["path"] == "/v1/chat/completions"]
    assert [line["client"] for line in asked] == ["tandem-load"] * (step["requests"] + 1)


COUNTED = ("request_success_total", "generation_tokens_total")


def test_without_a_yes_nothing_is_sent_and_no_key_is_left(world: World, own: list[str], tmp_path: Path) -> None:
    before = totals(world.vllm.port)
    done = CliRunner().invoke(app, ["load", "dev", *own, "--steps", "2", "--seconds", "5"])
    assert isinstance(done.exception, UserError)
    assert "nobody is there who could say yes" in str(done.exception)
    assert "at most: 2 rates" in done.output
    assert totals(world.vllm.port)["vllm:request_success_total"] == before["vllm:request_success_total"] + 1
    assert not (tmp_path / "loads").exists()
    assert world.store.read()[0] == Document()
