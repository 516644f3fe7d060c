"""Requests as clients send them, by shape or from a file of the user's. Pure but for that; a seed makes the same."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tandem.errors import UserError

_COMMON = """
the of and to in is that for it as with on be at by this have from or one had not but what all were when we there
can an your which their said if do will each about how up out them then she many some so these would other into
has more her two like him see time could no make than first been its who now people my made over did down only way
"""
WORDS = _COMMON.split()
TEMPLATE_TOKENS = 64
"""What a chat template may add to a prompt."""


@dataclass(frozen=True)
class Lengths:
    """Tokens, log-normal, as those of real traffic: most are short, a few are long.

    Attributes:
        median: half are shorter.
        spread: standard deviation of the logarithm; at 0.7 one of a hundred is five times the median.
    """

    median: int
    spread: float

    def draw(self, chance: random.Random, most: int) -> int:
        return max(1, min(most, round(chance.lognormvariate(math.log(self.median), self.spread))))


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A kind of traffic.

    Attributes:
        shared: tokens with which every prompt begins, as documents and instructions do; servers keep them cached.
        more: of each request. Without `ignore_eos` the model ends an answer by itself.
    """

    prompt: Lengths
    answer: Lengths
    shared: int = 0
    more: Mapping[str, Any] = field(default_factory=lambda: {"ignore_eos": True})


_ROWS = {
    "type": "object",
    "properties": {"rows": {"type": "array", "items": {"type": "integer"}, "minItems": 8, "maxItems": 40}},
    "required": ["rows"],
    "additionalProperties": False,
}
_SCHEMA = {"type": "json_schema", "json_schema": {"name": "rows", "schema": _ROWS}}
SHAPES = {
    "chat": Shape(prompt=Lengths(250, 0.8), answer=Lengths(200, 0.6), shared=100),
    "rag": Shape(prompt=Lengths(500, 0.7), answer=Lengths(200, 0.5), shared=3000),
    "json": Shape(prompt=Lengths(600, 0.6), answer=Lengths(120, 0.3), more={"response_format": _SCHEMA}),
    "code": Shape(prompt=Lengths(1500, 0.8), answer=Lengths(400, 0.7), shared=300),
}


@dataclass(frozen=True, kw_only=True)
class Model:
    """Who is asked.

    Attributes:
        context: tokens of prompt and answer together.
        tokens_a_word: of WORDS, by its tokenizer.
    """

    name: str
    context: int
    tokens_a_word: float = 1


def sent(body: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """A request as it goes out: streamed, since only then a first token can be seen, and counted by the server."""
    return {**body, "model": model.name, "stream": True, "stream_options": {"include_usage": True}}


def requests(shape: Shape, model: Model, seed: int) -> Iterator[dict[str, Any]]:
    """Without end, and no prompt twice. What the model cannot hold is scaled down, prompts and answers alike."""
    chance = random.Random(seed)  # noqa: S311  (traffic, no secret)
    scale = min(
        1.0, (model.context - TEMPLATE_TOKENS) / (shape.shared + 4 * (shape.prompt.median + shape.answer.median))
    )
    shared = _words(random.Random(0), shape.shared * scale / model.tokens_a_word)  # noqa: S311  (the same for each seed)
    room = model.context - TEMPLATE_TOKENS - round(shape.shared * scale)
    while True:
        answer = shape.answer.draw(chance, round(4 * shape.answer.median * scale))
        prompt = shape.prompt.draw(chance, min(round(4 * shape.prompt.median * scale), room - answer))
        text = f"{shared} {_words(chance, prompt / model.tokens_a_word)}".strip()
        message = {"role": "user", "content": text}
        yield sent({"messages": [message], "max_completion_tokens": answer, **shape.more}, model)


def _words(chance: random.Random, count: float) -> str:
    return " ".join(chance.choices(WORDS, k=max(1, round(count))) if count else [])


def from_file(path: Path) -> list[dict[str, Any]]:
    """A user's own requests, one chat completion a line, as clients of the API send it; model and stream are set here.

    Raises:
        UserError: it cannot be read, or a line is no such request.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise _no_requests(path, str(error)) from None
    wrong = next((one for one in found if not (isinstance(one, dict) and isinstance(one.get("messages"), list))), None)
    if wrong is not None or not found:
        raise _no_requests(path, json.dumps(wrong)[:80] if found else "an empty file")
    return found


def _no_requests(path: Path, value: str) -> UserError:
    allowed = 'one JSON object a line with "messages", as a client sends it to /v1/chat/completions'
    return UserError.of(key=str(path), wrong="holds no requests", value=value, allowed=allowed, fix="correct it")


def repeated(bodies: Sequence[Mapping[str, Any]], model: Model, count: int, first: int) -> list[dict[str, Any]]:
    """So many of a file's requests, from one on and from the beginning again: a server may have what repeats cached."""
    start = first % len(bodies)
    return [sent(one, model) for one in islice(cycle(bodies), start, start + count)]


@dataclass(frozen=True)
class Traffic:
    """What is sent: a shape, or a user's own requests."""

    shape: str
    own: Sequence[Mapping[str, Any]] | None = None

    @property
    def name(self) -> str:
        return self.shape if self.own is None else "own requests"

    def bodies(self, model: Model, number: int, count: int) -> list[dict[str, Any]]:
        """Of the step with a number; no two steps have the same, as long as a file lasts."""
        if self.own is not None:
            return repeated(self.own, model, count, number * count)
        return list(islice(requests(SHAPES[self.shape], model, number), count))
