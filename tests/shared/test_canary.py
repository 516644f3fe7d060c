"""What a canary says of answers: each check, drift and ties, and who has not tried.

The tiny model and the real vLLM are in tests/real/test_canary.py; the answers here have the form of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import canary
import pytest

from tandem import canary as suites
from tandem.canary import Suite

Tokens = list[tuple[str, float, dict[str, float]]]


def chat(text: str = "", finish: str = "stop", prompt: int = 9, tokens: Tokens = (), **message: Any) -> dict[str, Any]:  # type: ignore[assignment]
    rows = [
        {"token": token, "logprob": logprob, "bytes": None}
        | {"top_logprobs": [{"token": top, "logprob": value, "bytes": None} for top, value in likeliest.items()]}
        for token, logprob, likeliest in tokens
    ]
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return {
        "object": "chat.completion",
        "choices": [choice | {"logprobs": {"content": rows} if tokens else None}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5},
    }


def called(name: str, arguments: str) -> list[dict[str, Any]]:
    return [{"id": "chatcmpl-tool-1", "type": "function", "function": {"name": name, "arguments": arguments}}]


def asked(
    expect: Mapping[str, Any], *answers: Any, stored: Any = None, judge: Any = None, **case: Any
) -> list[canary.Finding]:
    """Of one case, to which a server gives these answers, the last one again and again; a number is a status."""
    given, more = list(answers), {} if "prompt" in case else {"messages": [{"role": "user", "content": "Well?"}]}
    suite = Suite.model_validate({"cases": [{"name": "it", "expect": expect, **more, **case}]})

    def ask(path: str, body: Mapping[str, Any]) -> tuple[int, str]:
        answer = given.pop(0) if len(given) > 1 else given[0]
        return (answer, '{"error": "so"}') if isinstance(answer, int) else (200, json.dumps(answer))

    requests, _ = suites.asked(suite, None)
    return canary.run(requests, "m", ask, stored=stored, judge=judge, sleep=lambda _: None)


WEATHER = {"tool": {"name": "weather", "arguments": {"type": "object", "required": ["city"]}}}
PERSON = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}, "tags": {"type": "array", "items": {"enum": ["a"]}}},
    "required": ["age"],
    "additionalProperties": False,
}
RIGHT_AND_WRONG: Mapping[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = {
    "exact": ({"exact": "blue"}, chat(" blue\n"), chat("Blue"), "'blue' was wanted, 'Blue' came"),
    "contains": ({"contains": ["a", "b"]}, chat("ab"), chat("ac"), "'b' is not in 'ac'"),
    "regex": ({"regex": r"\b42\W*$"}, chat("It is **42**."), chat("It is 421"), "does not match"),
    "thought aloud": ({"exact": "42"}, chat("<think>41?</think>\n\n42"), chat("<think>42"), "was wanted"),
    "schema": (
        {"jsonSchema": PERSON},
        chat('{"age": 3, "tags": ["a"]}'),
        chat('{"age": true}'),
        "it.age is no integer",
    ),
    "schema's bound": ({"jsonSchema": PERSON}, chat('{"age": 0}'), chat('{"age": -1}'), "it.age is out of bounds"),
    "schema's items": ({"jsonSchema": PERSON}, chat('{"age": 0}'), chat('{"age": 0, "tags": ["b"]}'), "it.tags[0]"),
    "schema's names": ({"jsonSchema": PERSON}, chat('{"age": 0}'), chat('{"age": 0, "x": 1}'), "it has 'x', too"),
    "no JSON": ({"jsonSchema": PERSON}, chat('{"age": 0}'), chat("three"), "no JSON: 'three'"),
    "tool": (
        WEATHER,
        chat(tool_calls=called("weather", '{"city": "Paris"}')),
        chat('<tool_call>{"name": "weather"}</tool_call>'),
        "no tool was called",
    ),
    "tool's name": (
        WEATHER,
        chat(tool_calls=called("weather", '{"city": "Paris"}')),
        chat(tool_calls=called("time", '{"city": "Paris"}')),
        "'time' was called",
    ),
    "tool's arguments": (
        WEATHER,
        chat(tool_calls=called("weather", '{"city": "Paris"}')),
        chat(tool_calls=called("weather", "{}")),
        "it has no 'city'",
    ),
    "finish": ({"finish": "stop"}, chat("x"), chat("x x x", "length"), "ended by 'length', not 'stop'"),
    "another form": ({"exact": "x"}, chat("x"), {"choices": []}, "no answer's form"),
}


@pytest.mark.parametrize("what", RIGHT_AND_WRONG)
def test_each_check_passes_what_is_right_and_tells_what_is_wrong(what: str) -> None:
    expect, right, wrong, said = RIGHT_AND_WRONG[what]
    assert [one.outcome for one in asked(expect, right)] == ["passed"]
    (found,) = asked(expect, wrong)
    assert found.outcome == "failed"
    assert said in found.detail


def test_each_check_is_tried_here() -> None:
    tried = {check for expect, *_ in RIGHT_AND_WRONG.values() for check in expect}
    assert tried == canary.CHECKS.keys() - {"promptTokens"}


def test_a_prompt_that_is_cut_in_silence_is_seen_by_its_tokens() -> None:
    filled = {"filler": 50, "messages": [{"role": "user", "content": "{filler} Well?"}]}
    (found,) = asked({"exact": "x"}, chat("x", prompt=31), **filled)
    assert (found.outcome, found.detail) == ("failed", "a prompt of 50 tokens or more was read as 31: it was cut")
    assert asked({"exact": "x"}, chat("x", prompt=60), **filled)[0].outcome == "passed"


def test_filler_takes_its_place_in_what_is_sent() -> None:
    sent: list[Any] = []
    case = {
        "name": "it",
        "filler": 20,
        "messages": [{"role": "user", "content": "a {filler} z"}],
        "expect": {"exact": "x"},
    }

    def ask(path: str, body: Mapping[str, Any]) -> tuple[int, str]:
        sent.append(body)
        return 200, json.dumps(chat("x", prompt=30))

    canary.run(suites.asked(Suite.model_validate({"cases": [case]}), None)[0], "m", ask)
    assert sent[0]["messages"][0]["content"] == f"a {canary.filler(20)} z"
    assert len(canary.filler(20).split()) == 20
    assert (sent[0]["model"], sent[0]["temperature"]) == ("m", 0)


def test_what_fails_once_has_not_failed() -> None:
    assert asked({"exact": "x"}, chat("y"), chat("x"))[0].outcome == "passed"


@pytest.mark.parametrize("status", [401, 429, 503, 504])
def test_who_does_not_try_is_not_judged(status: int) -> None:
    with pytest.raises(canary.Unanswered, match=f"HTTP {status}"):
        asked({"exact": "x"}, status)


def test_a_request_that_is_refused_has_failed() -> None:
    assert asked({"exact": "x"}, 400)[0].detail.startswith("HTTP 400: ")


def test_a_server_that_stops_answers_all_with_500() -> None:
    with pytest.raises(canary.Unanswered, match="HTTP 500"):
        asked({"exact": "x"}, 500)


def test_one_that_fails_at_one_thing_alone_has_failed() -> None:
    cases = [
        {"name": name, "messages": [{"role": "user", "content": name}], "expect": {"exact": "x"}} for name in ("a", "b")
    ]

    def ask(path: str, body: Mapping[str, Any]) -> tuple[int, str]:
        broken = body["messages"][0]["content"] == "b"
        return (500, "Internal Server Error") if broken else (200, json.dumps(chat("x")))

    found = canary.run(suites.asked(Suite.model_validate({"cases": cases}), None)[0], "m", ask, sleep=lambda _: None)
    assert [one.outcome for one in found] == ["passed", "failed"]


def tokens(*words: tuple[str, float], others: Mapping[str, float] = {}) -> Tokens:
    """Of an answer, with what else was likely at the last of them."""
    last = len(words) - 1
    return [(word, at, {word: at, **(others if n == last else {})}) for n, (word, at) in enumerate(words)]


SAME = [(str(n), -0.5) for n in range(10)]
STORED = {"it": {"promptTokens": 9, "tokens": tokens(*SAME, ("x", -0.6), others={"y": -0.8})}}
DRIFT: Mapping[str, tuple[Tokens, str]] = {
    "the same": (tokens(*SAME, ("x", -0.6)), ""),
    "other kernels": (tokens(*[(word, at - 0.05) for word, at in SAME], ("x", -0.65)), ""),
    "a tie": (tokens(*SAME, ("y", -0.7), others={"x": -0.75}), ""),
    "the other is surer than a tie allows": (tokens(*SAME, ("y", -0.1), others={"x": -2.9}), "token 11 is another one"),
    "a token that was unlikely": (tokens(*SAME, ("z", -0.5), others={"x": -0.6}), "not among the likeliest"),
    "another answer": (tokens(("q", -0.5)), "token 1 is another one"),
    "all less likely": (tokens(*[(word, at - 0.3) for word, at in SAME], ("x", -0.9)), "11 of 11 tokens the same"),
    "fewer": (tokens(*SAME), "10 tokens came, 11 did before"),
    "none": ([], "0 tokens came"),
}


@pytest.mark.parametrize("form", ["chat", "completion"])
@pytest.mark.parametrize("what", DRIFT)
def test_drift_is_told_from_ties_and_kernels(what: str, form: str) -> None:
    now, said = DRIFT[what]
    answer, case = chat("x", tokens=now), {}
    if form == "completion":
        logprobs = {
            "tokens": [one for one, _, _ in now],
            "token_logprobs": [at for _, at, _ in now],
            "top_logprobs": [likeliest for _, _, likeliest in now],
        }
        answer = {"choices": [{"text": "x", "finish_reason": "length", "logprobs": logprobs}], "usage": answer["usage"]}
        case = {"prompt": "Once"}
    (found,) = asked({"drift": {}}, answer, stored=STORED, **case)
    assert (found.outcome == "failed") == bool(said), found
    assert said in found.detail


def test_bounds_are_the_suites() -> None:
    far = tokens(*[(word, at - 0.3) for word, at in SAME], ("x", -0.9))
    assert asked({"drift": {"mean": 0.4}}, chat(tokens=far), stored=STORED)[0].outcome == "passed"
    tie = tokens(*SAME, ("y", -0.7), others={"x": -0.75})
    assert asked({"drift": {"gap": 0.1}}, chat(tokens=tie), stored=STORED)[0].outcome == "failed"


def test_a_run_is_stored_as_it_is_compared() -> None:
    (found,) = asked({"drift": {}}, chat(tokens=STORED["it"]["tokens"]))
    stored = json.loads(json.dumps({"it": found.record}))
    assert asked({"drift": {}}, chat(tokens=STORED["it"]["tokens"]), stored=stored)[0].detail == (
        "11 of 11 tokens the same, 0.000 nats apart"
    )


def test_another_template_is_seen_by_a_prompts_tokens_whatever_is_answered() -> None:
    (found,) = asked({"exact": "x"}, chat("x", prompt=12), stored={"it": {"promptTokens": 9}})
    assert found.detail == "the prompt has 12 tokens, and had 9: the chat template or tokenizer is another"


def away(criterion: str, question: str, answer: str) -> str:
    raise OSError("refused")


JUDGES: Mapping[str, tuple[Callable[[str, str, str], str] | None, str, str]] = {
    "content": (lambda *_: "", "passed", ""),
    "not content": (lambda *_: "the judge says no", "failed", "the judge says no"),
    "away": (away, "skipped", "the judge does not answer: refused"),
    "none": (None, "skipped", "no judge"),
}


@pytest.mark.parametrize("what", JUDGES)
def test_a_judge_that_is_away_calls_nobody(what: str) -> None:
    judge, outcome, said = JUDGES[what]
    (found,) = asked({"judge": "It is polite."}, chat("Certainly."), judge=judge)
    assert (found.outcome, found.detail) == (outcome, said)


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("PASS: polite", ""), ("<think>FAIL?</think>PASS", ""), ("FAIL, rude", "judge says 'FAIL, rude'")],
)
def test_a_judge_is_a_model_that_grades(verdict: str, said: str) -> None:
    sent: list[Any] = []

    def ask(path: str, body: Mapping[str, Any]) -> tuple[int, str]:
        sent.append((path, body))
        return 200, json.dumps(chat(verdict))

    found = canary.judge_of("grader", ask)("It is polite.", "Well?", "Certainly.")
    assert said in found
    assert bool(found) == bool(said)
    assert sent[0][1]["model"] == "grader"
    assert {"It is polite.", "Well?", "Certainly."} <= {
        *sent[0][1]["messages"][1]["content"].replace(": ", "\n").split("\n")
    }


def test_a_judge_without_a_verdict_is_away() -> None:
    with pytest.raises(OSError, match=r"HTTP 200: 'Perhaps\.'"):
        canary.judge_of("grader", lambda _path, _body: (200, json.dumps(chat("Perhaps."))))("c", "q", "a")
    with pytest.raises(OSError, match="HTTP 429"):
        canary.judge_of("grader", lambda _path, _body: (429, "later"))("c", "q", "a")
