"""The checks. Each takes a `Smoke` and returns its figures in a line, or raises Surprise."""

from __future__ import annotations

import json
import re
import socket
import ssl
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from tandem.ops.smoke.connection import Answer, Event, Target, send, stream
from tandem.ops.smoke.result import Skipped, Surprise

CHAT, EMBEDDINGS, RERANK = "/v1/chat/completions", "/v1/embeddings", "/v1/rerank"
PATHS = {"generate": CHAT, "embed": EMBEDDINGS, "score": RERANK}
"""That a model is asked by, as it does."""
CERTIFICATE_DAYS = 14
"""A certificate that ends sooner is a surprise: renewal has failed by then."""

HANG_UPS = 3
REFUSED = (400, 403, 404, 405)
"""What a path that is not offered may answer; the load balancer says 404."""

FORBIDDEN = (
    "/invocations",
    "/tokenize",
    "/detokenize",
    "/generative_scoring",
    "/scale_elastic_ep",
    "/metrics",
    "/health",
    "/ping",
    "/load",
    "/version",
    "/docs",
    "/openapi.json",
    "/sleep",
    "/collective_rpc",
    "/update_weights",
    "/server_info",
    "/",
)
"""What vLLM 0.32.0 answers without a key, or with VLLM_SERVER_DEV_MODE."""

TRICKS = (
    "/v1/../metrics",
    "/v1/%2e%2e/metrics",
    "/v1/..%2fmetrics",
    "/v1/models/../../metrics",
    "/v1/models/%2e%2e/%2e%2e/metrics",
    "//metrics",
    "/v1//../metrics",
    "/./metrics",
    "/metrics/",
    "/metrics?x=/v1/models",
    "/metrics;/v1/models",
    "/metrics%3f/v1/models",
    "/V1/../metrics",
    "/v1/chat/completions/../../../invocations",
    "/v1/chat/completions/..;/invocations",
)
"""Ways past an allow-list that decodes, merges or resolves a path at another place than the server does."""

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "pattern": "^[A-Za-z ]{1,40}$"},
        "rating": {"type": "integer", "enum": [1, 2, 3, 4, 5]},
    },
    "required": ["city", "rating"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Smoke:
    """What the checks share.

    Attributes:
        model: name that requests carry; None takes the first that the API lists.
        task: what it does: generate, embed or score.
    """

    target: Target
    model: str | None = None
    task: str = "generate"

    @property
    def path(self) -> str:
        """That it is asked by."""
        return PATHS[self.task]

    @cached_property
    def models(self) -> list[dict[str, Any]]:
        answer = send(self.target, "GET", "/v1/models").expect(200)
        models = answer.json().get("data") or []
        if not models:
            raise Surprise("/v1/models lists no model")
        return models

    @cached_property
    def served(self) -> dict[str, Any]:
        """The model's entry in the API's list."""
        if self.model is None:
            return self.models[0]
        for entry in self.models:
            if entry.get("id") == self.model:
                return entry
        listed = ", ".join(str(entry.get("id")) for entry in self.models)
        raise Surprise(f"{self.model} is not among the models: {listed}")

    @property
    def length(self) -> int:
        """Longest prompt and answer in tokens; 8192 where the API does not say."""
        return int(self.served.get("max_model_len") or 8192)

    def body(self, content: str, max_tokens: int = 32, **values: Any) -> dict[str, Any]:
        return {
            "model": self.served["id"],
            "messages": [{"role": "user", "content": content}],
            "max_tokens": max_tokens,
            "temperature": 0,
            **values,
        }

    def asking(self, texts: Sequence[str], name: str | None = None) -> dict[str, Any]:
        """The smallest request of its task about these texts.

        Args:
            name: instead of the model's.
        """
        wants: dict[str, dict[str, Any]] = {
            CHAT: {"messages": [{"role": "user", "content": texts[0]}], "max_tokens": 1},
            EMBEDDINGS: {"input": [*texts]},
            RERANK: {"query": "Where is it served?", "documents": [*texts]},
        }
        return {"model": name or self.served["id"], **wants[self.path]}

    def once(self) -> Answer:
        """To the smallest request."""
        return send(self.target, "POST", self.path, self.asking(["Say hello."])).expect(200)

    @property
    def probe(self) -> dict[str, Any]:
        """A request that an open path would serve; one that no model fits where the API names none."""
        try:
            return self.asking(["Hello"])
        except Surprise:
            return self.asking(["Hello"], self.model or "default")

    def chat(self, content: str, max_tokens: int = 32, **values: Any) -> Answer:
        return send(self.target, "POST", CHAT, self.body(content, max_tokens, **values))


def certificate(smoke: Smoke) -> str:
    """Trusted, for this host, not about to end; TLS 1.2 or later, and nothing older."""
    target = smoke.target
    if not target.secure:
        if target.here:
            raise Skipped("plain http that does not leave this machine")
        raise Surprise("the URL is plain http: keys and prompts travel in the open")
    try:
        with (
            socket.create_connection((target.host, target.port), target.timeout_seconds) as plain,
            target.context().wrap_socket(plain, server_hostname=target.host) as wrapped,
        ):
            found, version = wrapped.getpeercert() or {}, wrapped.version()
    except ssl.SSLCertVerificationError as error:
        raise Surprise(f"the certificate is not trusted: {error.verify_message}") from None
    except OSError as error:
        raise Surprise(f"no TLS connection: {error}") from None
    if version not in ("TLSv1.2", "TLSv1.3"):
        raise Surprise(f"TLS 1.2 or later expected, {version} came")
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
    left = ends - datetime.now(UTC)
    if left < timedelta(days=CERTIFICATE_DAYS):
        raise Surprise(f"the certificate ends on {ends:%Y-%m-%d}, in {left.days} days")
    return f"{version}, valid until {ends:%Y-%m-%d}{_old_versions(target)}"


def _old_versions(target: Target) -> str:
    """TLS 1.1 must be refused; where this machine's own library refuses to try, it says so."""
    context = target.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # old is what is wanted
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    except ValueError:
        return ", older versions not tried"
    try:
        with (
            socket.create_connection((target.host, target.port), target.timeout_seconds) as plain,
            context.wrap_socket(plain, server_hostname=target.host),
        ):
            raise Surprise("TLS 1.1 is accepted; TLS 1.2 or later expected")
    except OSError:
        return ", TLS 1.1 refused"


def plain_http(smoke: Smoke) -> str:
    """Port 80 leads to https or is closed; it answers no API call."""
    target = smoke.target
    if not target.secure or target.port != 443:
        raise Skipped("the URL names a port of its own")
    try:
        socket.getaddrinfo(target.host, 80)
    except OSError as error:
        raise Surprise(f"{target.host} does not resolve: {error.strerror}") from None
    try:
        answer = send(Target(f"http://{target.host}", "", timeout_seconds=10), "GET", "/v1/models")
    except Surprise:
        return "port 80 is closed"
    location = answer.headers.get("location", "")
    if answer.status in (301, 302, 307, 308) and location.startswith("https://"):
        return f"port 80 leads to https with {answer.status}"
    raise Surprise(f"a redirect to https expected on port 80, HTTP {answer.status} came")


def models(smoke: Smoke) -> str:
    """The API lists the model."""
    return f"{smoke.served['id']}, {smoke.length} tokens"


def chat(smoke: Smoke) -> str:
    """A chat has an answer with text, counted in tokens."""
    answer = smoke.chat("Say hello.").expect(200)
    usage = answer.json().get("usage") or {}
    if not _content(answer).strip():
        raise Surprise("the answer has no text")
    if not usage.get("completion_tokens"):
        raise Surprise(f"the answer counts no tokens: {usage}")
    return f"{usage['completion_tokens']} tokens in {answer.seconds:.2f} s"


def _content(answer: Answer) -> str:
    """The answer's text; a reasoning model may have spent its tokens on thoughts."""
    try:
        message = answer.json()["choices"][0]["message"]
        return message.get("content") or message.get("reasoning") or message.get("reasoning_content") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Surprise(f"no choices in the answer: {answer.excerpt()}") from None


def streamed_chat(smoke: Smoke) -> str:
    """Tokens come as they are made: several events, the first early, [DONE] at the end."""
    with stream(smoke.target, CHAT, smoke.body("Count from 1 to 20.", 64, stream=True)) as (head, events):
        head.expect(200)
        if not head.headers.get("content-type", "").startswith("text/event-stream"):
            raise Surprise(f"text/event-stream expected, {head.headers.get('content-type')} came")
        found = list(events)
    _refuse_an_error_inside(found)
    if not found or found[-1].data != "[DONE]":
        raise Surprise(f"the stream does not end with [DONE] ({len(found)} events)")
    if len(found) < 4:
        raise Surprise(f"several events expected, {len(found)} came: something puts the stream together")
    first, last = found[0].seconds, found[-1].seconds
    if last > 0.5 and first > 0.9 * last:
        raise Surprise(f"the first event came after {first:.2f} of {last:.2f} s: something holds the stream back")
    return f"first event after {first:.2f} s, {len(found)} events in {last:.2f} s"


def _refuse_an_error_inside(events: Sequence[Event]) -> None:
    """A server that is full, or that dies, after the stream began can only say so in the stream: the status is 200."""
    for event in events:
        if event.data.startswith('{"error"'):
            error = json.loads(event.data)["error"]
            raise Surprise(
                f"HTTP 200, then an error inside the stream: {error.get('message')} (code {error.get('code')}); "
                "clients must look for it, no status tells them"
            )


def structured_output(smoke: Smoke) -> str:
    """An answer by JSON schema is JSON of that schema."""
    form = {"type": "json_schema", "json_schema": {"name": "review", "schema": SCHEMA, "strict": True}}
    # A reasoning model thinks first, and the schema binds only what comes after.
    tokens = min(2048, smoke.length // 2)
    answer = smoke.chat("Rate a city from 1 to 5, as JSON.", tokens, response_format=form).expect(200)
    text = _content(answer)
    try:
        found = json.loads(text)
    except ValueError:
        raise Surprise(f"JSON expected, {text[:120]!r} came") from None
    fits = isinstance(found, dict) and found.keys() == {"city", "rating"}
    if not fits or not re.fullmatch("[A-Za-z ]{1,40}", str(found["city"])) or found["rating"] not in range(1, 6):
        raise Surprise(f"an object with city and rating expected, {text[:120]!r} came")
    return "the answer is of its schema"


def wrong_key(smoke: Smoke) -> str:
    """No key, a wrong key, and a longer one are refused alike, and nothing of the right one is told."""
    for name, key in (
        ("no key", ""),
        ("a wrong key", "wrong-" + "0" * 34),
        ("the key with a tail", f"{smoke.target.api_key}0"),
    ):
        for method, path, body in (("GET", "/v1/models", None), ("POST", smoke.path, smoke.probe)):
            answer = send(smoke.target, method, path, body, key=key)
            if answer.status not in (401, 403, 429):  # too often, from this address
                raise Surprise(f"{method} {path} with {name}: HTTP 401 expected, {answer.status} came")
            if smoke.target.api_key and smoke.target.api_key in answer.body.decode("utf-8", "replace"):
                raise Surprise(f"{method} {path} with {name}: the answer holds the right key")
    return "refused"


def forbidden_paths(smoke: Smoke) -> str:
    """What vLLM serves to anyone is not served here, however the path is written."""
    open_paths = []
    for path in (*FORBIDDEN, *TRICKS):
        for method, body in (("GET", None), ("POST", smoke.probe)):
            answer = send(smoke.target, method, path, body)
            if answer.status not in REFUSED:
                open_paths.append(f"{method} {path} gives {answer.status}")
    if open_paths:
        raise Surprise("404 expected; " + "; ".join(open_paths))
    return f"{len(FORBIDDEN)} paths and {len(TRICKS)} ways around refused"


def headers(smoke: Smoke) -> str:
    """Each answer names its request, the caller's own name where there is one; no server tells its version."""
    wanted = f"smoke-{uuid.uuid4().hex}"
    answer = send(smoke.target, "GET", "/v1/models", headers={"X-Request-Id": wanted}).expect(200)
    came = answer.headers.get("x-request-id")
    if came != wanted:
        raise Surprise(f"X-Request-Id: {wanted} expected back, {came or 'none'} came")
    if not send(smoke.target, "GET", "/v1/models").headers.get("x-request-id"):
        raise Surprise("an answer without X-Request-Id, when the caller sent none")
    for name in ("server", "x-powered-by", "via"):
        if re.search(r"\d", answer.headers.get(name, "")):
            raise Surprise(f"{name}: {answer.headers[name]} tells a version")
    return "request id kept and given, no version told"


def long_prompt(smoke: Smoke) -> str:
    """A prompt of thousands of tokens gets through; one beyond the model's length is refused at once, in words."""
    length = smoke.length
    words = min(3000, length // 4)
    answer = smoke.chat("one " * words, 4).expect(200)
    counted = (answer.json().get("usage") or {}).get("prompt_tokens", 0)
    if counted < words // 2:
        raise Surprise(f"{words} words were sent, and {counted} tokens were read")
    refused = smoke.chat("one " * (length + 64), 4).expect(400)
    if "error" not in refused.json():
        raise Surprise(f"an error in words expected, {refused.excerpt()} came")
    return f"{counted} tokens read in {answer.seconds:.2f} s; {length + 64} words refused"


def client_hangs_up(smoke: Smoke) -> str:
    """Clients that leave in the middle of a stream cost the others nothing."""
    for _ in range(HANG_UPS):
        with stream(smoke.target, CHAT, smoke.body("Tell a long story.", 512, stream=True)) as (head, events):
            head.expect(200)
            next(events, None)
    answer = smoke.chat("Say hello.", 8).expect(200)
    return f"after {HANG_UPS} hang-ups an answer in {answer.seconds:.2f} s"
