"""The rendered edge before the real vLLM 0.32.0 with tensor parallelism 2, started with a host's own arguments."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import re
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from asking import ask
from edge import KEY, Nginx, document, key_of, nginx
from scripts import Load
from served import ADAPTER, NAME, adapted, completion, serving
from test_sizing import as_planned, found_wrong
from vllm_cpu import Server

from rehearsal.kubernetes.vllm_metrics import METRICS
from tandem.host.config import HostConfig

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> HostConfig:
    return adapted(tmp_path_factory.getbasetemp() / "hub")


@pytest.fixture(scope="module")
def vllm(host: HostConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(host, tmp_path_factory.mktemp("vllm"), hub=tmp_path_factory.getbasetemp() / "hub") as running:
        yield running


@pytest.fixture(scope="module")
def edge(host: HostConfig, vllm: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(host, [vllm.port], tmp_path_factory.mktemp("edge")) as running:
        yield running


HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}


def test_sizing_knows_it_to_the_token(host: HostConfig, vllm: Server) -> None:
    assert host.engine.max_model_len == 2048, "a multiple of a block's 128 tokens, as test_sizing.py's is not"
    as_planned(vllm, 2048)
    found_wrong(vllm, 2048)


def test_a_key_of_the_edge_works_and_the_server_has_none(vllm: Server, edge: Nginx) -> None:
    for port, key in ((edge.port, KEY), (vllm.port, None)):
        assert ask(port, completion(), key).status == 200
        assert ask(port, None, key, "/v1/models").status == 200


def test_an_adapter_is_a_model_by_its_name_and_answers_otherwise(vllm: Server, edge: Nginx, load: Load) -> None:
    """Greedy: what differs is the adapter's. Its tokens are counted where the model's are."""
    scripts = load(first_port=vllm.port)
    before = scripts.probe.metric(vllm.port, "generation_tokens_total")
    listed = json.loads(ask(edge.port, None, KEY, "/v1/models").body)["data"]
    assert [(one["id"], one["parent"]) for one in listed] == [(NAME, None), (ADAPTER.name, NAME)]
    said = {
        name: json.loads(ask(edge.port, completion(16, model=name, temperature=0), KEY).body)
        for name in (NAME, ADAPTER.name)
    }
    assert {name: answer["model"] for name, answer in said.items()} == {NAME: NAME, ADAPTER.name: ADAPTER.name}
    assert said[NAME]["choices"][0]["text"] != said[ADAPTER.name]["choices"][0]["text"]
    assert scripts.probe.metric(vllm.port, "generation_tokens_total") == before + 32
    assert ask(edge.port, completion(model="another"), KEY).status == 404


def test_a_key_for_an_adapter_alone_is_for_no_other_model(edge: Nginx) -> None:
    edge.admits(document(alice={}, tuned={"models": [ADAPTER.name]}))
    unnamed = {key: value for key, value in completion().items() if key != "model"}
    for body, status in ((completion(model=ADAPTER.name), 200), (completion(), 403), (unnamed, 403)):
        assert ask(edge.port, body, key_of("tuned")).status == status
    assert ask(edge.port, unnamed, KEY).status == 200, "vLLM takes its own model, as the edge does"


def test_no_adapter_is_loaded_from_anywhere_while_it_runs(vllm: Server) -> None:
    assert ask(vllm.port, {"lora_name": "x", "lora_path": "/x"}, None, "/v1/load_lora_adapter").status == 404


@pytest.mark.parametrize("key", [None, "wrong", KEY[:-1], ""])
def test_without_a_key_nothing_is_served(edge: Nginx, key: str | None) -> None:
    assert ask(edge.port, completion(), key).status == 401
    assert ask(edge.port, None, key, "/v1/models").status == 401


# (path, whether it is asked with a POST, status of vLLM itself): why the edge has an allow-list.
OPEN = [
    ("/invocations", True, 200),
    ("/tokenize", True, 200),
    ("/metrics", False, 200),
    ("/health", False, 200),
    ("/version", False, 200),
    ("/docs", False, 200),
    ("/openapi.json", False, 200),
    ("/load", False, 200),
    ("/sleep", True, 404),
]


@pytest.mark.parametrize(("path", "posted", "direct"), OPEN)
def test_what_vllm_leaves_open_the_edge_closes(vllm: Server, edge: Nginx, path: str, posted: bool, direct: int) -> None:
    body = completion() if posted else None
    assert ask(vllm.port, body, None, path).status == direct
    assert ask(edge.port, body, KEY, path).status == 404


def test_a_request_id_reaches_the_answer(edge: Nginx) -> None:
    answer = ask(edge.port, completion(), KEY, **{"X-Request-Id": "trace-7"})
    assert answer.headers["x-request-id"] == "trace-7"
    assert "trace-7" in json.loads(answer.body)["id"]


def test_chunks_of_a_chat_arrive_one_by_one(edge: Nginx) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=60)
    with contextlib.closing(connection):
        body = {"model": NAME, "messages": [{"role": "user", "content": "a host"}], "max_tokens": 60, "stream": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body | {"ignore_eos": True}), HEADERS)
        answer = connection.getresponse()
        assert answer.getheader("Content-Type", "").startswith("text/event-stream")
        times = []
        while line := answer.readline():
            if line.startswith(b"data: {"):
                times.append(time.perf_counter())
    assert len(times) >= 60
    assert times[-1] - times[0] > 0.5 * (len(times) - 1) * statistics.median(
        after - before for before, after in itertools.pairwise(times)
    )


def test_the_watchdog_reads_the_real_metrics_and_makes_a_token(vllm: Server, load: Load) -> None:
    scripts = load(
        first_port=vllm.port,
        probe={"path": "/v1/completions", "body": {"model": NAME, "prompt": "1", "max_tokens": 1}},
    )
    before = scripts.probe.metric(vllm.port, "generation_tokens_total")
    scripts.probe.token(vllm.port, **scripts.config["probe"], timeout=60)
    assert scripts.probe.metric(vllm.port, "generation_tokens_total") == before + 1
    assert scripts.probe.metric(vllm.port, "num_requests_running", "num_requests_waiting") == 0
    assert scripts.watchdog.Replica({"replica": 0, "port": vllm.port}).check() is True


def test_pods_are_played_with_the_metrics_of_a_real_server(vllm: Server) -> None:
    """Each comment and each series that the rehearsal's pods show: name, help, type and labels."""
    connection = http.client.HTTPConnection("127.0.0.1", vllm.port, timeout=30)
    connection.request("GET", "/metrics")
    real = connection.getresponse().read().decode().splitlines()
    played = METRICS.format(model=NAME, waiting=0.0, running=0.0).splitlines()
    assert played
    assert [line for line in played if line not in real] == []


@dataclass
class Stream:
    """One streamed answer: how far it came.

    Attributes:
        tokens: by the server's own count at the end; a chunk holds more than one when a client is slow.
    """

    chunks: int = 0
    tokens: int = 0
    whole: bool = False
    error: str = ""


def follow(port: int, stream: Stream, tokens: int) -> None:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        asked = completion(tokens, stream=True, stream_options={"include_usage": True})
        connection.request("POST", "/v1/completions", json.dumps(asked), HEADERS)
        answer = connection.getresponse()
        if answer.status != 200:
            stream.error = str(answer.status)
        while line := answer.readline():
            if line.startswith(b"data: {"):
                stream.chunks += 1
                stream.tokens = (json.loads(line[6:]).get("usage") or {}).get("completion_tokens", 0)
            stream.whole |= line.startswith(b"data: [DONE]")
    except (OSError, http.client.HTTPException) as error:
        stream.error = repr(error)


def test_leaving_under_load_cuts_no_answer(
    vllm: Server, edge: Nginx, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's own way out against the real server: the last test, since it ends the server.

    The load balancer is played by the clients: they stop sending when the host deregisters. `docker stop` is played by
    the SIGTERM that it sends.
    """
    tokens, gone = 1900, threading.Event()
    streams: list[Stream] = []

    def client() -> None:
        while not gone.is_set():
            streams.append(stream := Stream())
            follow(edge.port, stream, tokens)

    scripts = load()
    scripts.host.write(scripts.serve.REPLICAS, json.dumps([{"replica": 0, "port": vllm.port}]))
    events: list[str] = []

    def target(action: str) -> str:
        if action == "DeregisterTargets":
            gone.set()
            events.append(f"deregistered with {sum(not stream.whole for stream in streams)} answers under way")
        return "draining"

    def sh(*command: str, **_: object) -> str:
        if command[:2] == ("docker", "stop"):
            events.append(f"stopped with {sum(not stream.whole for stream in streams)} answers under way")
            vllm.process.send_signal(signal.SIGTERM)
            vllm.process.wait(120)
        return ""

    monkeypatch.setattr(scripts.aws, "target", target)
    monkeypatch.setattr(scripts.leave, "sh", sh)
    # Shorter than the answers, so that SIGTERM meets running ones and the drain has to hold.
    monkeypatch.setattr(scripts.leave, "PROPAGATION", 0.1)
    monkeypatch.setattr(scripts.leave, "AT_LEAST", 0.3)
    monkeypatch.setitem(scripts.host.TIMEOUTS, "deregistration_delay", 0.3)
    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    deadline = time.monotonic() + 60
    while sum(stream.chunks > 0 for stream in streams) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    scripts.leave.leave()
    for thread in clients:
        thread.join()
    print(events, [stream.chunks for stream in streams])
    # All four as a rule; on a busy machine one may have ended by then.
    assert re.fullmatch("stopped with [1-4] answers under way", events[-1])
    assert [stream for stream in streams if stream.error or not stream.whole or stream.tokens != tokens] == []
