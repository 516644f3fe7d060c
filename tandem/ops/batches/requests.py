"""A file of requests in OpenAI's batch format, read and checked before anything is paid for."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import Problem, UserError
from tandem.ops.aws import user_errors
from tandem.ops.kinds.kind import Clients
from tandem.scripts import shared
from tandem.tasks import Task, answers

job = shared("job", "batch")
SHOWN = 20
CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 256
"""Of a request that names no limit, for the estimate."""
LIMITS, MOST_TOKENS = ("max_completion_tokens", "max_tokens"), 10_000_000
"""Of an answer, and what is a slip: more than any model's context."""
ASKS: Mapping[str, Sequence[str]] = {
    "/v1/chat/completions": ("messages",),
    "/v1/embeddings": ("input", "messages"),
    "/v1/score": ("text_1", "data_1", "queries"),
    "/v1/rerank": ("query",),
}
"""Of these a body must have one (vLLM 0.32.0, vllm/entrypoints: openai/chat_completion, pooling/embed and scoring)."""


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What a file asks for.

    Attributes:
        lines: one request each, as they were written.
        prompt_tokens, answer_tokens: of a request on average: what its body has characters for, and its limit.
    """

    lines: Sequence[str]
    prompt_tokens: int
    answer_tokens: int


def read(source: str, clients: Clients) -> str:
    """The text of a local file, or of an object, s3://BUCKET/KEY, without the mark of UTF-8 that some editors write.

    Raises:
        UserError: there is none, it may not be read, or it is no text.
    """
    try:
        if source.startswith("s3://"):
            bucket, _, key = source.removeprefix("s3://").partition("/")
            with user_errors(source):
                return clients("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode("utf-8-sig")
        return Path(source).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError.of(
            key=source,
            wrong=f"cannot be read ({why})",
            allowed="a file of requests in UTF-8, one a line (docs/batch.md), or s3://BUCKET/KEY",
            fix="name another one",
        ) from None


def checked(text: str, source: str, models: Collection[str], task: Task = "generate") -> Requests:
    """The requests of a file.

    Args:
        models: what the stack's batches may ask for.
        task: that they do, by which vLLM answers some URLs and no others.

    Raises:
        UserError: what is wrong with each line, up to SHOWN of them; an empty file.
    """
    numbered = ((number, job.lines(line)) for number, line in enumerate(text.split("\n"), 1))
    lines = [(number, line) for number, found in numbered for line in found]
    seen, urls = dict[str, int](), tuple(url for url in job.URLS if answers(task, url))
    problems = [
        problem
        for number, line in lines
        for problem in _problems(f"{source}, line {number}", number, line, models, urls, seen)
    ]
    if not lines:
        problems = [Problem(key=source, wrong="has no requests", allowed="one a line", fix="see docs/batch.md")]
    if problems:
        more = len(problems) - SHOWN
        shown = problems[:SHOWN]
        rest = [Problem(key=source, wrong=f"and {more} more are wrong")] if more > 0 else []
        raise UserError(*shown, *rest)
    bodies = [json.loads(line)["body"] for _, line in lines]
    return Requests(
        lines=[line for _, line in lines],
        prompt_tokens=max(1, sum(len(json.dumps(body)) for body in bodies) // len(bodies) // CHARACTERS_PER_TOKEN),
        answer_tokens=max(1, sum(_limit(body) for body in bodies) // len(bodies)),
    )


def _limit(body: dict[str, Any]) -> int:
    return next((body[name] for name in LIMITS if body.get(name) is not None), ANSWER_TOKENS)


def _parsed(line: str) -> Any:
    """None for what is no JSON; also for what is nested too deeply to be read, or to be written anew for vLLM."""
    try:
        asked = json.loads(line)
        json.dumps(asked)
    except (ValueError, RecursionError):
        return None
    return asked


def _problems(
    key: str, number: int, line: str, models: Collection[str], urls: Sequence[str], seen: dict[str, int]
) -> Iterator[Problem]:
    fix = "correct the line; nothing was sent"
    asked = _parsed(line)
    if not isinstance(asked, dict):
        yield Problem(key=key, wrong="is no JSON object", value=line[:80], allowed="one JSON object a line", fix=fix)
        return
    name = asked.get("custom_id")
    if not isinstance(name, str) or not name:
        yield Problem(
            key=key, wrong="custom_id is missing, or no text", value=name, allowed="a text of its own", fix=fix
        )
    elif name in seen:
        yield Problem(
            key=key, wrong=f"custom_id is that of line {seen[name]}", value=name, allowed="each once in a file", fix=fix
        )
    else:
        seen[name] = number
    body = asked.get("body")
    given = body if isinstance(body, dict) else {}
    for what, value, allowed in (
        ("method", asked.get("method"), ("POST",)),
        ("url", asked.get("url"), urls),
        ("body.model", given.get("model"), tuple(models)),
    ):
        if value not in allowed:
            yield Problem(key=key, wrong=f"{what} cannot be served", value=value, allowed=" or ".join(allowed), fix=fix)
    asks = ASKS.get(str(asked.get("url")), ())
    if given and asks and not any(given.get(one) is not None for one in asks):
        yield Problem(key=key, wrong="body asks for nothing", allowed=f"with {' or '.join(asks)}", fix=fix)
    for one in LIMITS:
        limit = given.get(one)
        if limit is not None and (type(limit) is not int or not 1 <= limit <= MOST_TOKENS):
            allowed = f"a whole number 1 to {MOST_TOKENS}, or unset"
            yield Problem(key=key, wrong=f"body.{one} is no number of tokens", value=limit, allowed=allowed, fix=fix)
    if given.get("stream"):
        yield Problem(key=key, wrong="body.stream is on", value=True, allowed="unset: answers come as a file", fix=fix)
