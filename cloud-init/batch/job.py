"""A batch: where its objects are, and what becomes of answers. For machines, and for the command that makes it.

current.json                         the one that is worked at
jobs/ID/job.json                     what is asked for, and until when
jobs/ID/input/00001.jsonl            a part of the requests, in order
jobs/ID/claims/00001.json            who works at the part; it is theirs while they write it anew
jobs/ID/answers/00001/TIME-WHO.jsonl answers so far, each once
jobs/ID/done/00001.jsonl             the part's answers, in order: written once
jobs/ID/machines/NAME.json           written anew while a machine works
jobs/ID/stop.json                    it is cancelled
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

PART_LINES, PART_BYTES = 100, 8 * 2**20
"""Of a part at most: few enough that several machines end together, many enough that S3's requests cost next to
nothing."""
LEASE_SECONDS = 120
"""A part whose claim was not written anew for so long is free again."""
CURRENT = "current.json"
URLS = ("/v1/chat/completions", "/v1/embeddings", "/v1/score", "/v1/rerank")
"""What vLLM's batch runner answers, of what a stack's model may do."""
NOT_FOR_BATCHES = {"--max-num-queued-reqs": 1, "--enable-log-requests": 0, "--scheduler-cls": 1}
"""And how many values each has. Who waits is turned away by the first; here nobody waits who could come again. Requests
of a batch are in no log; nobody judges guesses in steps that are full."""


def for_batches(arguments: Sequence[str]) -> list[str]:
    """Those of a server that the runner has, too."""
    kept = [*arguments]
    for name in NOT_FOR_BATCHES.keys() & kept:
        place = kept.index(name)
        del kept[place : place + 1 + NOT_FOR_BATCHES[name]]
    return kept


def at_once(arguments: Sequence[str]) -> int:
    """Requests that a server with these runs at the same time."""
    return int(arguments[arguments.index("--max-num-seqs") + 1])


def parts(lines: Iterable[str]) -> Iterator[list[str]]:
    """The requests, in order, in parts."""
    part: list[str] = []
    size = 0
    for line in lines:
        if part and (len(part) == PART_LINES or size + len(line) > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield part


def lines(text: str) -> list[str]:
    """Of a file of JSON: they end at a line feed alone, as what else Python takes for the end of a line may be in a
    text as it is, such as U+2028."""
    return [line for one in text.split("\n") if (line := one.strip(" \t\r"))]


def place(job: str, kind: str, part: int | str = "", end: str = ".jsonl") -> str:
    """Key of one of a batch's objects, or the prefix of those of a kind."""
    name = f"{part:05}" if isinstance(part, int) else part
    return f"jobs/{job}/{kind}/{name}{end}" if name else f"jobs/{job}/{kind}/"


def number(key: str) -> int:
    """Of the part that an object belongs to."""
    return int(key.split("/")[3][:5])


def as_openai(custom_id: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """A line of an output or error file (https://platform.openai.com/docs/api-reference/batch/request-output): what
    vLLM's runner puts into `error` of a request that failed is the body of its response there."""
    said, response = answer.get("error"), dict(answer.get("response") or {})
    told = said["error"] if isinstance(said, dict) and "error" in said else said
    if told is not None:
        error = told if isinstance(told, dict) else {"message": str(told), "type": "invalid_request_error"}
        response = {"status_code": 400, "request_id": "", **response, "body": {"error": error}}
    return {
        "id": answer.get("id") or f"batch_req_{custom_id}",
        "custom_id": custom_id,
        "response": response,
        "error": None,
    }


def unanswered(custom_id: str, code: str, message: str) -> dict[str, Any]:
    """A line of the error file for what nobody answered."""
    error = {"code": code, "message": message}
    return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": None, "error": error}


def answered(line: Mapping[str, Any]) -> bool:
    """Whether a line belongs in the output file, else in the error file."""
    return line["error"] is None and line["response"]["status_code"] == 200


def collected(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """By custom_id the first answer that was kept."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        for line in lines(text):
            one = json.loads(line)
            found.setdefault(one["custom_id"], one)
    return found


def written(lines: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)
