"""The gateway as tandem configures it: keys, budgets, limits, fallback, spend, and a database that is away."""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import boto3
import pytest
from asking import Answer, ask
from databases import program
from edge import KEY
from gateway_parts import CLOUD, LEDGER_SECONDS, VECTORS, Parts, counted, metric, served, until
from gateway_server import DATABASE, IN, OUT, VERSION, Gateway
from provider import SAYS, USAGE
from served import NAME
from test_clients import events

from tandem import pins

pytestmark = pytest.mark.real

WORDS, STOP = "the heron stands in the reeds at dusk", "and nobody sees it"


def error(answer: Answer) -> str:
    return json.loads(answer.body)["error"]["type"]


def test_it_is_the_version_that_stacks_run() -> None:
    assert pins.load().gateway.tag == f"v{VERSION}"


def test_a_key_opens_the_models_of_its_team_and_nothing_else(parts: Parts) -> None:
    key = parts.first.key(team_id=parts.first.team("one", models=[NAME]))
    for copy in (parts.first, parts.second):
        assert served(copy.chat(key, NAME))
        assert copy.chat(key, CLOUD).status == 403
        for other in ("sk-nobody-was-given-this-one", KEY, ""):
            assert copy.chat(other, NAME).status == 401
        for path in ("/key/generate", "/team/new", "/config/update"):
            assert ask(copy.port, {"models": [CLOUD]}, key, path).status == 401, path


BODIES: tuple[bytes, ...] = (
    b"",
    b"{",
    b"[]",
    b'{"model_name": 7}',
    b'{"model_name": "mine", "litellm_params": {"model": "openai/x"}}',
)


@pytest.mark.parametrize("path", ["/model/new", "/model/delete", "/credentials", "/config/update"])
def test_whatever_a_client_sends_to_the_admin_api_changes_nothing(parts: Parts, path: str) -> None:
    """On a public name it is there with `gateway.publicAdmin` alone."""
    key, count = parts.first.key(), 'select count(*) from "LiteLLM_ProxyModelTable"'
    for body in BODIES:
        connection = http.client.HTTPConnection("127.0.0.1", parts.first.port, timeout=60)
        with closing(connection):
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection.request("POST", path, body, headers)
            with connection.getresponse() as answer:
                print(path, body, answer.status, answer.read()[:150])
                assert answer.status >= 400
    assert parts.cluster.sql(count, DATABASE) == "0"
    assert served(parts.first.chat(key, NAME))


def test_a_key_ends_when_it_was_said_to(parts: Parts) -> None:
    key = parts.first.key(duration="3s")
    assert served(parts.second.chat(key, NAME))
    until(lambda: parts.second.chat(key, NAME).status == 401, 30, "a key of 3 s")


def test_a_key_that_is_blocked_and_then_deleted_ends_on_all_copies_within_a_minute(parts: Parts) -> None:
    key = parts.first.key()
    for copy in (parts.first, parts.second):
        assert served(copy.chat(key, NAME)), "both have it in memory"
    parts.first.admin("/key/block", {"key": key})
    seconds = until(lambda: parts.second.chat(key, NAME).status == 401, 60, "blocked on the other copy")
    print(f"blocked on the other copy after {seconds:.1f} s")
    parts.first.admin("/key/delete", {"keys": [key]})
    for copy in (parts.first, parts.second):
        assert copy.chat(key, NAME).status == 401


def test_a_team_that_has_spent_its_budget_is_refused_and_no_other(parts: Parts) -> None:
    """Two copies see what both have spent, and what is still running. What is over is less than a request each."""
    price = cost(parts.first.chat(parts.first.key(), NAME, ignore_eos=True))
    poor, rich = (parts.first.team(name, max_budget=budget) for name, budget in (("poor", 2.5 * price), ("rich", 99)))
    key, other = parts.first.key(team_id=poor), parts.first.key(team_id=rich)
    answers = [copy.chat(key, NAME, ignore_eos=True) for _ in range(6) for copy in (parts.first, parts.second)]
    assert {answer.status for answer in answers} == {200, 422}
    assert 2 <= sum(answer.status == 200 for answer in answers) <= 4
    assert [error(answer) for answer in answers[-4:]] == ["budget_exceeded"] * 4
    assert served(parts.second.chat(other, NAME))


def cost(answer: Answer) -> float:
    """Of an own model's answer, by what it says that it used."""
    used = json.loads(answer.body)["usage"]
    return used["prompt_tokens"] * IN + used["completion_tokens"] * OUT


def test_a_limit_by_minute_holds_over_copies(parts: Parts) -> None:
    key = parts.first.key(rpm_limit=4)
    answers = [copy.chat(key, NAME) for _ in range(4) for copy in (parts.first, parts.second)]
    assert [answer.status for answer in answers] == [200] * 4 + [429] * 4
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60


CASES = [("503", False), ("503", True), ("slow", True), ("away", False), ("away", True)]


@pytest.mark.parametrize(("kind", "streamed"), CASES)
def test_the_cloud_answers_while_the_own_model_does_not_and_no_longer(parts: Parts, kind: str, streamed: bool) -> None:
    """Who does not stream waits for the whole answer, whose time tells of no trouble."""
    key = parts.first.key()

    def ours(copy: Gateway) -> bool:
        answer = copy.chat(key, NAME, stream=streamed)
        assert answer.status == 200, answer.body
        return SAYS.encode() not in answer.body

    until(lambda: ours(parts.first) and ours(parts.second), 30, "the last trouble is over")
    with in_trouble(parts, kind):
        assert [ours(copy) for _ in range(2) for copy in (parts.first, parts.second)] == [False] * 4
    seconds = until(lambda: ours(parts.first) and ours(parts.second), 30, "back to the own model")
    print(f"{kind}: back after {seconds:.1f} s")


@contextmanager
def in_trouble(parts: Parts, kind: str) -> Iterator[None]:
    """`slow` is later than the gateway waits."""
    if kind == "away":
        parts.door.shut()
    parts.trouble.first = 8 if kind == "slow" else 0
    parts.trouble.trouble.extend("503" for _ in range(100 * (kind == "503")))
    try:
        yield
    finally:
        parts.trouble.first = 0
        parts.trouble.trouble.clear()
        if kind == "away":
            parts.door.open()


def test_the_cloud_speaks_as_its_sdk_reads(parts: Parts) -> None:
    """And it was asked as AWS wants, with a signature."""
    bedrock = boto3.client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{parts.cloud.port}",
        aws_access_key_id="none", aws_secret_access_key="none",
    )  # fmt: skip
    asked = {"modelId": "a:0", "messages": [{"role": "user", "content": [{"text": "a host"}]}]}
    whole = bedrock.converse(**asked)
    assert whole["output"]["message"]["content"] == [{"text": SAYS}]
    parts_of_it = list(bedrock.converse_stream(**asked)["stream"])
    assert [next(iter(one)) for one in parts_of_it][-2:] == ["messageStop", "metadata"]
    assert whole["usage"] == parts_of_it[-1]["metadata"]["usage"] == USAGE
    assert "AWS4-HMAC-SHA256" in parts.cloud.signed[0]


TOOL = {
    "type": "function",
    "function": {
        "name": "population",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Ulm", "Bonn"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CALLED = {"name": "population"}
SCHEMA = {"type": "object", "properties": {"rating": {"type": "integer", "enum": [1, 2]}}, "required": ["rating"]}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "structured": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, "max_tokens": 64,
    },
    "tools": {
        "tools": [TOOL], "tool_choice": {"type": "function", "function": CALLED}, "temperature": 0, "max_tokens": 64,
    },
    "vllm's own": {"ignore_eos": True, "min_tokens": 24, "top_k": 100},
}  # fmt: skip


def read(answer: Answer, streamed: bool) -> dict[str, Any]:
    """What a client reads of it; of a stream all together."""
    assert answer.status == 200, answer.body
    documents = events(answer.body) if streamed else [json.loads(answer.body)]
    text, calls, counted, used = "", "", [], {}
    for document in documents:
        used = document.get("usage") or used
        for choice in document["choices"]:
            message = choice["delta" if streamed else "message"]
            text += message.get("content") or ""
            for call in message.get("tool_calls") or []:
                calls += (call["function"].get("name") or "") + (call["function"].get("arguments") or "")
            counted += (choice.get("logprobs") or {}).get("content") or []
    usage = {name: used[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    return {"text": text, "calls": calls, "logprobs": counted, "usage": usage}


def ended(answer: Answer, streamed: bool) -> set[str]:
    documents = events(answer.body) if streamed else [json.loads(answer.body)]
    found = [choice.get("finish_reason") for document in documents for choice in document["choices"]]
    return {one for one in found if one}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_passes_through_unchanged(parts: Parts, kind: str, streamed: bool) -> None:
    """But for what is null, for why a call of a function ended, which is OpenAI's word where vLLM says `stop`, and for
    logprobs of tokens without text in a stream: such chunks are left out."""
    body = {
        "model": NAME, "messages": [{"role": "user", "content": "Which city?"}], "max_tokens": 24, "seed": 7,
        **KINDS[kind], **({"stream": True, "stream_options": {"include_usage": True}} if streamed else {}),
    }  # fmt: skip
    direct = ask(parts.edge.port, body, KEY, "/v1/chat/completions")
    through = ask(parts.first.port, body, parts.first.key(), "/v1/chat/completions")
    wanted = read(direct, streamed)
    if streamed:
        wanted["logprobs"] = [one for one in wanted["logprobs"] if one["token"]]
    assert read(through, streamed) == wanted
    assert wanted["calls" if kind == "tools" else "text"]
    assert ended(through, streamed) == ({"tool_calls"} if kind == "tools" and not streamed else ended(direct, streamed))


@pytest.mark.parametrize(
    "how", [{}, {"encoding_format": "base64"}, {"input": "one host"}], ids=["floats", "base64", "one"]
)
def test_an_embedding_passes_through_unchanged_and_is_paid_for(parts: Parts, how: dict[str, Any]) -> None:
    team = parts.first.team("vectors")
    key, body = parts.first.key(team_id=team), {"model": VECTORS, "input": ["a host", "two hosts by the sea"]} | how
    direct = ask(parts.embeds.port, body, KEY, "/v1/embeddings")
    through = ask(parts.first.port, body, key, "/v1/embeddings")
    assert [answer.status for answer in (direct, through)] == [200, 200], (direct.body, through.body)
    wanted, found = (json.loads(answer.body) for answer in (direct, through))
    assert [one["embedding"] for one in found["data"]] == [one["embedding"] for one in wanted["data"]]
    assert found["usage"]["prompt_tokens"] == wanted["usage"]["prompt_tokens"] > 0
    spent = wanted["usage"]["prompt_tokens"] * IN
    until(lambda: parts.spend(team) >= spent * 0.99, LEDGER_SECONDS, "spend is in the database")
    assert parts.spend(team) == pytest.approx(spent, rel=0.01)


def test_a_request_whose_client_has_gone_ends_in_vllm(parts: Parts) -> None:
    key, body = parts.first.key(), chat_of(max_tokens=1500, ignore_eos=True, stream=True)
    leave(parts.first, key, body)
    seconds = until(lambda: not metric(parts.vllm, "num_requests_running"), 10, "vLLM has ended it")
    print(f"ended in vLLM after {seconds:.1f} s")


def chat_of(**more: Any) -> dict[str, Any]:
    return {"model": NAME, "messages": [{"role": "user", "content": "Which city? " * 5}], "max_tokens": 40} | more


def leave(copy: Gateway, key: str, body: dict[str, Any]) -> None:
    """Asks, reads the first line of the answer, and is gone."""
    connection = http.client.HTTPConnection("127.0.0.1", copy.port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with closing(connection):
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        with connection.getresponse() as answer:
            assert answer.readline().startswith(b"data: ")


def test_what_a_team_spends_is_what_vllm_counted(parts: Parts) -> None:
    """Whole answers, streams whose client wants the usage and those whose client does not, calls and schemas."""
    team = parts.first.team("counted")
    key, before = parts.first.key(team_id=team), counted(parts.vllm)
    kinds = ({}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}, *KINDS.values())
    for copy in (parts.first, parts.second):
        for more in kinds:
            assert ask(copy.port, chat_of() | more, key, "/v1/chat/completions").status == 200
    spent = counted(parts.vllm) - before
    seconds = until(lambda: parts.spend(team) >= spent * 0.99, LEDGER_SECONDS, "spend is in the database")
    assert parts.spend(team) == pytest.approx(spent, rel=0.01)
    print(f"{spent:.3f} US dollars were in the database after {seconds:.0f} s, {parts.spend(team) / spent - 1:+.2%}")


def test_no_prompt_and_no_answer_is_kept(parts: Parts) -> None:
    key = parts.first.key(team_id=parts.first.team("discreet"))
    answer = parts.first.chat(key, NAME, messages=[{"role": "user", "content": WORDS}], stop=[STOP])
    assert served(answer)
    requests = "select count(*) from \"LiteLLM_SpendLogs\" where request_id = '{}'".format(
        json.loads(answer.body)["id"]
    )
    until(lambda: parts.cluster.sql(requests, DATABASE) == "1", LEDGER_SECONDS, "the request is in the database")
    kept = subprocess.run(
        [program("pg_dump"), "-a", parts.cluster.url(DATABASE)], capture_output=True, check=True
    ).stdout
    assert json.loads(answer.body)["id"].encode() in kept
    logs = b"".join(copy.log.read_bytes() for copy in (parts.first, parts.second))
    for words in (WORDS, STOP):
        assert words.encode() not in kept + logs


def test_without_its_database_known_keys_work_and_no_others_do(parts: Parts) -> None:
    """For a minute, which is how long a copy remembers a key; then nobody's does."""
    team = parts.first.team("calm")
    known, new = (parts.first.key(team_id=team) for _ in range(2))
    prices = [cost(copy.chat(known, NAME)) for copy in (parts.first, parts.second)]
    parts.cluster.stop()
    try:
        prices += [cost(copy.chat(known, NAME)) for copy in (parts.first, parts.second)]
        for copy in (parts.first, parts.second):
            for key in (new, "sk-nobody-was-given-this-one"):
                assert copy.chat(key, NAME).status == 503
            until(lambda copy=copy: not copy.ready(), 30, "the copy says that it is not ready")
    finally:
        parts.cluster.start()
    for copy in (parts.first, parts.second):
        seconds = until(lambda copy=copy: copy.ready() and copy.chat(new, NAME).status == 200, 90, "it is back")
        print(f"back {seconds:.1f} s after the database")
    until(lambda: parts.spend(team) >= sum(prices) * 0.99, LEDGER_SECONDS, "spend of that time is in the database")


@pytest.mark.long
def test_a_minute_without_its_database_ends_all_keys_and_no_spend(parts: Parts) -> None:
    team = parts.first.team("away")
    key = parts.first.key(team_id=team)
    price = cost(parts.first.chat(key, NAME))
    parts.cluster.stop()
    try:
        price += cost(parts.first.chat(key, NAME))
        seconds = until(lambda: parts.first.chat(key, NAME).status == 503, 90, "the key is forgotten")
        print(f"a known key worked for {seconds:.0f} s")
    finally:
        parts.cluster.start()
    until(lambda: parts.first.chat(key, NAME).status == 200, 90, "it is back")
    until(lambda: parts.spend(team) >= price * 0.99, LEDGER_SECONDS, "spend of that time is in the database")


def test_a_copy_that_is_stopped_loses_no_spend(parts: Parts) -> None:
    """One copy is left, which answers."""
    team = parts.first.team("restarted")
    key = parts.first.key(team_id=team)
    with ThreadPoolExecutor() as pool:
        spent = sum(pool.map(lambda _: cost(parts.second.chat(key, NAME)), range(10)))
    parts.second.stop()
    assert served(parts.first.chat(parts.first.key(), NAME))
    seconds = until(lambda: parts.spend(team) >= spent * 0.99, LEDGER_SECONDS, "what it had not yet written")
    assert parts.spend(team) == pytest.approx(spent, rel=0.01)
    print(f"all {spent:.3f} US dollars were in the database {seconds:.1f} s after the copy had ended")
