"""The checks of a model that embeds or scores, where there is no chat to ask."""

from __future__ import annotations

import math
from typing import Any

from tandem.ops.smoke.checks import CHAT, EMBEDDINGS, REFUSED, Smoke
from tandem.ops.smoke.connection import send
from tandem.ops.smoke.result import Surprise

TEXTS = ("A host serves a model.", "Rain falls on the old harbour.")
TOO_LONG = "one "


def answer(smoke: Smoke) -> str:
    """Two texts have two vectors, or two scores, the better one first."""
    asked = smoke.asking(TEXTS)
    came = send(smoke.target, "POST", smoke.path, asked).expect(200)
    try:
        told = _vectors(came.json()) if smoke.path == EMBEDDINGS else _scores(came.json())
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Surprise(f"no answer of {smoke.path} in {came.excerpt()}") from None
    return f"{told} in {came.seconds:.2f} s"


def _vectors(found: dict[str, Any]) -> str:
    first, second = (one["embedding"] for one in found["data"])
    if not first or len(first) != len(second) or not all(map(math.isfinite, (*first, *second))):
        raise Surprise("two vectors of as many numbers expected")
    if first == second:
        raise Surprise("two texts have the same vector")
    return f"two vectors of {len(first)} numbers"


def _scores(found: dict[str, Any]) -> str:
    scores = [one["relevance_score"] for one in found["results"]]
    if sorted(one["index"] for one in found["results"]) != [0, 1] or not all(map(math.isfinite, scores)):
        raise Surprise(f"a score of each of two texts expected, {found['results']} came")
    if scores != sorted(scores, reverse=True):
        raise Surprise(f"the best text first expected, scores are {scores}")
    return "two texts ranked"


def no_chat(smoke: Smoke) -> str:
    """Paths of models that generate are closed."""
    body = {"model": smoke.served["id"], "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    came = send(smoke.target, "POST", CHAT, body)
    if came.status not in REFUSED:
        raise Surprise(f"404 expected of {CHAT}, {came.status} came")
    return "refused"


def too_long(smoke: Smoke) -> str:
    """A text beyond the model's length is refused at once, in words."""
    words = smoke.length + 64
    refused = send(smoke.target, "POST", smoke.path, smoke.asking([TOO_LONG * words])).expect(400)
    if "error" not in refused.json():
        raise Surprise(f"an error in words expected, {refused.excerpt()} came")
    return f"{words} words refused"
