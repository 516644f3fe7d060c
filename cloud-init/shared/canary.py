"""Asks a server the questions of a suite, and says which answers are not what they should be. For hosts, pods and
`tandem canary`.

A case is a request and what its answer must be, as tandem/canary.py makes it of a suite's file:

    {"name": "echo", "path": "/v1/chat/completions", "body": {"messages": [...]}, "expect": {"regex": "blue$"}}

Greedy tokens are no bytes to compare: a matrix product is added up in another order in another batch or on another GPU,
and where two tokens are all but equally likely the other one comes, and another answer after it. Such a tie is told
from drift by how likely each run held the other's token where they first part, and by how far apart they are before.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Ask = Callable[[str, Mapping[str, Any]], "tuple[int, str]"]
"""Posts a body to a path: status and text of the answer. Raises OSError when none comes."""
Token = tuple[str, float, Mapping[str, float]]
"""One of an answer: itself, its log probability, and those of the likeliest in its place."""

BUSY = (401, 403, 408, 429, 502, 503, 504)
"""Who says so has not tried: a full server, an edge, a key that is not known yet."""
GAP = 0.5
"""Nats by which a run may have preferred its own token to the other's where they part. In bf16 the logits of a likely
token are 0.125 apart, and two are off by two steps at most (github.com/aws-neuron/nki-llama/issues/27)."""
MEAN = 0.15
"""Nats by which the tokens before may be more or less likely, on average. Other kernels are some hundredths off."""
FEW = 8
"""Tokens: the mean of fewer says little, and counts as of so many."""
PAUSE = 2  # seconds before what failed is asked again
WORDS = (
    *("amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "haven"),
    *("inlet", "jetty", "knoll", "larch", "maple", "north", "ocean", "prairie"),
)


class Unanswered(Exception):
    """Nothing was found out: who was asked did not try."""


@dataclass(frozen=True)
class Finding:
    """What was found out of a case.

    Attributes:
        outcome: passed, failed or skipped.
        detail: what was wanted and what came, or figures.
        record: what another run is compared with.
    """

    case: str
    outcome: str
    detail: str
    record: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    """Of a chat or a completion.

    Attributes:
        text: without what a model thought aloud before.
        calls: of tools, name and arguments as they came.
        tokens: none where they were not asked for.
    """

    text: str
    calls: Sequence[tuple[str, str]]
    finish: str
    prompt_tokens: int
    tokens: Sequence[Token]


def filler(words: int) -> str:
    """Text that says nothing, of so many words, the same each time."""
    return " ".join(WORDS[(7 * number + number // 16) % 16] for number in range(words))


def run(
    suite: Sequence[Mapping[str, Any]],
    model: str,
    ask: Ask,
    *,
    stored: Mapping[str, Any] | None = None,
    judge: Callable[[str, str, str], str] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> list[Finding]:
    """Of all cases. What fails is asked once more at the end, and has failed when it fails again.

    Args:
        stored: of a run to compare with, by case.
        judge: says what is wrong with an answer, of criterion, question and answer; raises OSError when it is away.

    Raises:
        Unanswered: the server is away, or does not try.
    """

    def look(case: Mapping[str, Any]) -> Finding:
        return _look(case, model, ask, (stored or {}).get(case["name"]), judge)

    found = {case["name"]: look(case) for case in suite}
    if bad := [case for case in suite if found[case["name"]].outcome == "failed"]:
        sleep(PAUSE)
        found |= {case["name"]: look(case) for case in bad}
    broken = [one for one in found.values() if one.outcome == "failed" and one.detail.startswith("HTTP 500")]
    well = next((case for case in suite if found[case["name"]].outcome == "passed"), None)
    if broken and (well is None or look(well).outcome == "failed"):  # a server that stops answers all with it
        raise Unanswered(broken[0].detail)
    return list(found.values())


def _look(
    case: Mapping[str, Any],
    model: str,
    ask: Ask,
    stored: Mapping[str, Any] | None,
    judge: Callable[[str, str, str], str] | None,
) -> Finding:
    name, wanted, body = case["name"], case["expect"], case["body"]
    if words := case.get("filler"):
        body = json.loads(json.dumps(body).replace("{filler}", filler(words)))
    try:
        status, text = ask(case["path"], {"model": model, **body})
    except OSError as error:
        raise Unanswered(str(error) or type(error).__name__) from None
    if status in BUSY:
        raise Unanswered(f"HTTP {status}: {shortened(text)}")
    if status != 200:
        return Finding(name, "failed", f"HTTP {status}: {shortened(text)}")
    try:
        answer = answer_of(json.loads(text))
    except (ValueError, LookupError, TypeError, AttributeError):
        return Finding(name, "failed", f"no answer's form: {shortened(text)}")
    record = {"promptTokens": answer.prompt_tokens, **({"tokens": answer.tokens} if "drift" in wanted else {})}
    details: list[str] = []
    for check, value in wanted.items():
        if check in CHECKS and (wrong := CHECKS[check](value, answer)):
            return Finding(name, "failed", wrong, record)
    if stored:
        wrong, detail = compared(stored, answer, wanted.get("drift") or {})
        if wrong:
            return Finding(name, "failed", wrong, record)
        details.append(detail)
    if "judge" in wanted:
        outcome, detail = _judged(judge, wanted["judge"], case["body"], answer)
        if outcome != "passed":
            return Finding(name, outcome, detail, record)
    return Finding(name, "passed", ", ".join(filter(None, details)), record)


def answer_of(document: Any) -> Answer:
    """Raises what a document of another form does."""
    choice = document["choices"][0]
    message = choice.get("message") or {"content": choice["text"]}
    calls = [(one["function"]["name"], one["function"]["arguments"]) for one in message.get("tool_calls") or ()]
    text = (message.get("content") or "").rpartition("</think>")[2].strip()
    tokens = _tokens(choice.get("logprobs") or {})
    return Answer(text, calls, str(choice.get("finish_reason")), document["usage"]["prompt_tokens"], tokens)


def _tokens(logprobs: Mapping[str, Any]) -> list[Token]:
    """Of a chat, and of a completion, which has them otherwise."""
    if "content" in logprobs:
        rows = logprobs["content"] or ()
        return [
            (one["token"], one["logprob"], {top["token"]: top["logprob"] for top in one["top_logprobs"]})
            for one in rows
        ]
    if not logprobs:
        return []
    return list(zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True))


def shortened(text: str) -> str:
    """For one line."""
    text = " ".join(text.split())
    return repr(text if len(text) <= 160 else f"{text[:80]} ... {text[-75:]}")


def _exact(wanted: str, answer: Answer) -> str:
    return "" if answer.text == wanted.strip() else f"{wanted!r} was wanted, {shortened(answer.text)} came"


def _contains(wanted: Sequence[str], answer: Answer) -> str:
    missing = [text for text in wanted if text not in answer.text]
    return f"{missing[0]!r} is not in {shortened(answer.text)}" if missing else ""


def _regex(wanted: str, answer: Answer) -> str:
    return "" if re.search(wanted, answer.text) else f"{shortened(answer.text)} does not match {wanted}"


def _json(wanted: Mapping[str, Any], answer: Answer) -> str:
    return _of_schema(wanted, answer.text)


def _of_schema(schema: Mapping[str, Any], text: str) -> str:
    try:
        wrong = mismatch(schema, json.loads(text))
    except ValueError:
        return f"no JSON: {shortened(text)}"
    return f"{wrong} in {shortened(text)}" if wrong else ""


def _tool(wanted: Mapping[str, Any], answer: Answer) -> str:
    if not answer.calls:
        return f"no tool was called, {shortened(answer.text)} came"
    name, arguments = answer.calls[0]
    if name != wanted["name"]:
        return f"the tool {wanted['name']!r} was wanted, {name!r} was called"
    return _of_schema(wanted.get("arguments") or {}, arguments)


def _finish(wanted: str, answer: Answer) -> str:
    ended = f"it ended by {answer.finish!r}, not {wanted!r}: {shortened(answer.text)}"
    return "" if answer.finish == wanted else ended


def _prompt(wanted: int, answer: Answer) -> str:
    read = answer.prompt_tokens
    return "" if read >= wanted else f"a prompt of {wanted} tokens or more was read as {read}: it was cut"


CHECKS: Mapping[str, Callable[[Any, Answer], str]] = {
    "promptTokens": _prompt,
    "exact": _exact,
    "contains": _contains,
    "regex": _regex,
    "jsonSchema": _json,
    "tool": _tool,
    "finish": _finish,
}
"""What is wrong with an answer, empty when nothing is; by what is wanted, in the order in which it is told."""

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
KEYWORDS = {
    *("type", "enum", "const", "properties", "required", "additionalProperties", "items"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "title", "description"),
}
"""Of JSON Schema, that `mismatch` knows; no machine has a library for more."""
BOUNDS: Sequence[tuple[str, str, Callable[[Any], float], type | tuple[type, ...]]] = (
    ("minimum", "maximum", float, (int, float)),
    ("minLength", "maxLength", len, str),
    ("minItems", "maxItems", len, list),
)


def mismatch(schema: Mapping[str, Any], value: Any, at: str = "it") -> str:
    """How a value differs from a schema; empty when it does not."""
    kinds = schema.get("type", list(TYPES))
    if not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return f"{at} is no {kinds}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at} is none of {schema['enum']}"
    if "const" in schema and value != schema["const"]:
        return f"{at} is not {schema['const']!r}"
    for least, most, size, kind in BOUNDS:
        if isinstance(value, kind) and not schema.get(least, -1e300) <= size(value) <= schema.get(most, 1e300):
            return f"{at} is out of bounds"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return f"{at} does not match {schema['pattern']}"
    if isinstance(value, list):
        inner = (mismatch(schema.get("items", {}), one, f"{at}[{n}]") for n, one in enumerate(value))
        return next(filter(None, inner), "")
    return _of_object(schema, value, at) if isinstance(value, dict) else ""


def _is(value: Any, kind: str) -> bool:
    """True and false are no numbers."""
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _of_object(schema: Mapping[str, Any], value: Mapping[str, Any], at: str) -> str:
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    if missing := [name for name in schema.get("required", ()) if name not in value]:
        return f"{at} has no {missing[0]!r}"
    for name, one in value.items():
        if name not in known and more is False:
            return f"{at} has {name!r}, too"
        inner = known.get(name, more if isinstance(more, dict) else {})
        if wrong := mismatch(inner, one, f"{at}.{name}"):
            return wrong
    return ""


def compared(stored: Mapping[str, Any], answer: Answer, bounds: Mapping[str, float]) -> tuple[str, str]:
    """What is wrong beside a stored run, and figures.

    A prompt's tokens are a matter of template and tokenizer, of no kernel, and must be as many.
    """
    before, now = stored["promptTokens"], answer.prompt_tokens
    if before != now:
        return f"the prompt has {now} tokens, and had {before}: the chat template or tokenizer is another", ""
    return drift(stored["tokens"], answer.tokens, **bounds) if "tokens" in stored else ("", "")


def drift(stored: Sequence[Token], tokens: Sequence[Token], gap: float = GAP, mean: float = MEAN) -> tuple[str, str]:
    """Whether an answer is another model's, and how far both are apart."""
    apart, same = 0.0, 0
    for (token, logprob, others), (now, logprob_now, others_now) in zip(stored, tokens, strict=False):
        if now != token:
            preferred = max(logprob - others.get(now, -1e9), logprob_now - others_now.get(token, -1e9))
            if preferred > gap:
                by = "not among the likeliest" if preferred > 1e6 else f"{preferred:.2f} nats less likely"
                return f"drift: token {same + 1} is another one, which was {by} ({gap:g} may be)", ""
            break
        apart, same = apart + abs(logprob - logprob_now), same + 1
    else:
        if not tokens or len(stored) != len(tokens):
            return f"drift: {len(tokens)} tokens came, {len(stored)} did before", ""
    off = apart / max(same, FEW)
    told = f"{same} of {len(stored)} tokens the same, {off:.3f} nats apart"
    return (f"drift: {told} ({mean:g} may be)", "") if off > mean else ("", told)


def _judged(
    judge: Callable[[str, str, str], str] | None, criterion: str, body: Mapping[str, Any], answer: Answer
) -> tuple[str, str]:
    if judge is None:
        return "skipped", "no judge"
    question = body.get("prompt") or json.dumps(body["messages"])
    try:
        wrong = judge(criterion, question, answer.text)
    except OSError as error:
        return "skipped", f"the judge does not answer: {error}"
    return ("failed", wrong) if wrong else ("passed", "")


def judge_of(model: str, ask: Ask) -> Callable[[str, str, str], str]:
    """A judge that is a model behind an API of chats."""

    def judge(criterion: str, question: str, answer: str) -> str:
        said = f"Criterion: {criterion}\n\nQuestion: {question}\n\nAnswer: {answer}"
        system = "Does the answer meet the criterion? Reply with PASS or FAIL, then a reason in one sentence."
        messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 2048}
        status, text = ask("/v1/chat/completions", body)
        try:
            verdict = answer_of(json.loads(text)).text if status == 200 else ""
        except (ValueError, LookupError, TypeError, AttributeError):
            verdict = ""
        found = re.search(r"\b(PASS|FAIL)\b", verdict)
        if not found:
            raise OSError(f"HTTP {status}: {shortened(verdict or text)}")
        return "" if found[1] == "PASS" else f"the judge says {shortened(verdict)}"

    return judge
