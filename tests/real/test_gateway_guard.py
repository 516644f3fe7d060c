"""What clients may not say to the real LiteLLM as tandem configures it: one copy on a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from asking import Answer, ask
from databases import Postgres
from gateway_server import DATABASE, Gateway, database, gateways, rendered
from provider import SAYS, ProviderStub, provider_stub

from pulumi_rehearsal.servers import QuietServer, serving

pytestmark = pytest.mark.real

OWN, OTHER, CLOUD = "large", "huge", "bedrock/amazon.nova-lite-v1:0"
PRICED = {"promptUsdPerMillion": 1000, "answerUsdPerMillion": 2000}
AWAY = {"url": "https://eu.example.com", **PRICED}
KEYS = ("arn:aws:secretsmanager:us-east-1:123456789012:secret:eu-AbCdEf",) * 2
FALLBACK = {"model": CLOUD, "maxUsdPerDay": 100, **PRICED}


@dataclass
class Model:
    """Answers each request alike, and keeps what it was asked.

    Stands for: vLLM behind its edge, whose words do not matter here.
    Held by: tests/real/test_gateway.py::test_an_answer_passes_through_unchanged
    """

    says: str
    port: int = 0
    status: int = 200
    asked: list[str] = field(default_factory=list)


@contextmanager
def model(says: str) -> Iterator[Model]:
    state = Model(says)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            read = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            state.asked.append(json.loads(read)["model"] if read else self.path)
            choice = {"index": 0, "message": {"role": "assistant", "content": state.says}, "finish_reason": "stop"}
            used = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
            answer = {"id": "a", "object": "chat.completion", "created": 1, "model": OWN, "choices": [choice]}
            body = json.dumps(answer | {"usage": used} if state.status == 200 else {"error": "full"}).encode()
            self.send_response(state.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Handler)
    state.port = server.server_port
    with serving(server):
        yield state


@dataclass(frozen=True)
class Parts:
    """All that runs; `away` is of another stack, and serves both models."""

    copy: Gateway
    own: Model
    away: Model
    cloud: ProviderStub
    cluster: Postgres

    def asked(self) -> tuple[int, int, int]:
        return len(self.own.asked), len(self.away.asked), len(self.cloud.asked)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with ExitStack() as stack:
        own, away = (stack.enter_context(model(says)) for says in ("the own", "the other stack's"))
        cloud = stack.enter_context(provider_stub())
        cluster = stack.enter_context(database())
        models = {name: AWAY | {"keySecretArn": arn} for name, arn in zip((OWN, OTHER), KEYS, strict=True)}
        more: dict[str, Any] = {"replicas": 1, "fallback": FALLBACK, "models": models}
        text, variables = rendered(OWN, f"http://127.0.0.1:{own.port}", "key", 0, **more)
        text = text.replace("https://eu.example.com", f"http://127.0.0.1:{away.port}")
        # LiteLLM fetches nothing from private addresses in any case; this one is as good as a public one.
        document = json.loads(text)
        document["litellm_settings"]["user_url_allowed_hosts"] = [f"127.0.0.1:{away.port}"]
        text = json.dumps(document)
        variables |= {"AWS_BEDROCK_RUNTIME_ENDPOINT": f"http://127.0.0.1:{cloud.port}", "MODEL_KEY_1": "eu"}
        variables |= {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "MODEL_KEY_2": "eu"}
        room = tmp_path_factory.mktemp("gateway")
        (copy,) = stack.enter_context(gateways(1, text, cluster.url(DATABASE), room, variables))
        yield Parts(copy, own, away, cloud, cluster)


@pytest.fixture(scope="module")
def key(parts: Parts) -> str:
    """Of a team that may ask for one model."""
    return parts.copy.key(team_id=parts.copy.team("one", models=[OWN]))


@pytest.fixture(scope="module")
def open_key(parts: Parts) -> str:
    """Without a list."""
    return parts.copy.key()


def said(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return json.loads(answer.body)["choices"][0]["message"]["content"]


BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "a host"}], "max_tokens": 4},
    "/v1/completions": {"prompt": "a host"},
    "/v1/embeddings": {"input": "a host"},
    "/v1/rerank": {"query": "a host", "documents": ["a host"]},
    "/v1/responses": {"input": "a host"},
}


@pytest.mark.parametrize("query", ["model={}", "user=a&model={}", "mode%6c={}"])
@pytest.mark.parametrize("path", BODIES)
def test_a_model_named_behind_the_path_is_refused(parts: Parts, key: str, path: str, query: str) -> None:
    """LiteLLM asks that one, and looks whether the key may ask the one in the body."""
    before = parts.asked()
    for other in (OTHER, CLOUD):
        answer = ask(parts.copy.port, {"model": OWN} | BODIES[path], key, f"{path}?{query.format(other)}")
        assert answer.status == 400, answer.body
        assert "behind the path" in json.loads(answer.body)["error"]["message"]
    assert parts.asked() == before


@pytest.mark.parametrize("name", [CLOUD, f"cloud/{CLOUD}", f"stack/main/{OWN}", f"{OWN},{CLOUD}", f"hosted_vllm/{OWN}"])
def test_the_fallback_is_nobodys_to_ask_for_and_ids_are_no_names(
    parts: Parts, key: str, open_key: str, name: str
) -> None:
    before = parts.asked()
    for one in (key, open_key):
        assert parts.copy.chat(one, name).status in {400, 403}
    assert parts.asked() == before
    listed = json.loads(ask(parts.copy.port, None, open_key, "/v1/models").body)["data"]
    assert [one["id"] for one in listed] == [OWN, OTHER]


PICTURE = "data:image/png;base64," + (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNg+M/wHwAEAQH/7yMK/gAAAABJRU5ErkJggg=="
)
"""Of one dot."""
SAYINGS: dict[str, Any] = {
    "timeout": 0.001, "request_timeout": 0.001, "num_retries": 50, "fallbacks": [OTHER], "specific_deployment": True,
    "custom_llm_provider": "bedrock", "api_key": "sk-mine", "extra_headers": {"X-Tandem-Gateway": "mine"},
    "no-log": True, "api_base": "http://127.0.0.1:1", "input_cost_per_token": 0,
    "user_config": {"model_list": []}, "metadata": {"api_base": "http://127.0.0.1:1"},
}  # fmt: skip


@pytest.mark.parametrize("name", SAYINGS)
def test_a_client_says_nothing_of_the_way_or_the_price(parts: Parts, open_key: str, name: str) -> None:
    """And who tries takes the model from nobody."""
    before = parts.asked()
    assert parts.copy.chat(open_key, OWN, **{name: SAYINGS[name]}).status in {400, 401}
    assert parts.asked() == before
    assert said(parts.copy.chat(open_key, OWN)) == "the own"


@pytest.mark.parametrize("name", ["x-litellm-timeout", "x-litellm-stream-timeout", "x-litellm-num-retries"])
def test_nor_does_a_header(parts: Parts, open_key: str, name: str) -> None:
    before = parts.asked()
    body = {"model": OWN} | BODIES["/v1/chat/completions"]
    assert ask(parts.copy.port, body, open_key, "/v1/chat/completions", **{name: "1"}).status == 400
    assert parts.asked() == before


def test_who_may_ask_for_a_model_is_answered_by_its_other_region_and_only_who_may_by_the_cloud(
    parts: Parts, key: str, open_key: str
) -> None:
    """A list that has the fallback's name lets a key fall back to it; it is no name to ask for."""
    listed = parts.copy.key(team_id=parts.copy.team("two", models=[OWN, CLOUD]))
    parts.own.status = 503
    try:
        for one in (key, listed, open_key):
            assert said(parts.copy.chat(one, OWN)) == "the other stack's"
        parts.away.status = 503
        assert parts.copy.chat(key, OWN).status in {429, 503}
        assert [said(parts.copy.chat(one, OWN)) for one in (listed, open_key)] == [SAYS] * 2
    finally:
        parts.own.status = parts.away.status = 200


@pytest.mark.parametrize("of", ["budget", "no budget"])
def test_the_gateway_fetches_nothing_that_a_client_names(parts: Parts, of: str) -> None:
    """Of a key with a budget LiteLLM counts what a picture costs before it asks any hook."""
    key = parts.copy.key(**({"max_budget": 99} if of == "budget" else {}))
    before = parts.asked()
    url = f"http://127.0.0.1:{parts.away.port}/a.png"
    for part in (
        {"type": "image_url", "image_url": {"url": url, "detail": "high"}},
        {"type": "image_url", "image_url": url},
        {"type": "file", "file": {"file_id": url}},
        {"type": "file", "file": {"file_data": url}},
    ):
        assert parts.copy.chat(key, OWN, messages=[{"role": "user", "content": [part]}]).status == 400
    asked = {"model": OWN, "input": [{"role": "user", "content": [{"type": "input_image", "image_url": url}]}]}
    assert ask(parts.copy.port, asked, key, "/v1/responses").status == 400
    assert parts.asked() == before
    picture = {"type": "image_url", "image_url": {"url": PICTURE, "detail": "high"}}
    assert said(parts.copy.chat(key, OWN, messages=[{"role": "user", "content": [picture]}])) == "the own"


def test_a_refused_request_costs_nothing(parts: Parts) -> None:
    poor = parts.copy.key(max_budget=0.05)
    for _ in range(4):
        assert parts.copy.chat(poor, OWN, num_retries=2).status == 400
    assert said(parts.copy.chat(poor, OWN)) == "the own"
