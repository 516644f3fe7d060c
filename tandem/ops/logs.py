"""Questions to the logs of a stack, and how CloudWatch Logs Insights answers them.

A line with `status` is the edge's (cloud-init/nginx.conf.j2), one with `levelname` is vLLM's
(docs/runbook.md, "What became of a request").
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tandem.errors import UserError
from tandem.ops.kinds.kind import Clients, Scope, listed

EDGE = "client, path, status, seconds, first_byte, upstream, request_id"
SERVER = "levelname, message"
ROWS = 10_000
"""That one answer of Insights has at most
(https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html)."""
GROUPS = 50
"""That one query reads at most (the same page); of more, those made last."""
POLL_SECONDS = 1.0
REQUEST_ID = r"[A-Za-z0-9._-]{1,128}"
"""As the edge takes it from a client, or makes it."""
CLIENT = r"[a-z0-9-]{1,63}"

Row = Mapping[str, str]


def of_request(request_id: str) -> str:
    """All that edge and server have said of one request, in order.

    Raises:
        UserError: it is no id, so that nothing could be found by it.
    """
    _is(request_id, "--request", REQUEST_ID, "letters, digits and ._-, up to 128, as X-Request-Id of an answer has it")
    # In a pattern a dot stands for any character.
    words = request_id.replace(".", "\\.")
    return (
        f"fields @timestamp, @logStream, {EDGE}, {SERVER} "
        f'| filter request_id = "{request_id}" or message like /{words}/ | sort @timestamp asc'
    )


def of_client(name: str) -> str:
    """What a client asked, the newest first.

    Raises:
        UserError: it is no client's name.
    """
    _is(name, "--client", CLIENT, "lower case, digits and -, as `tandem keys list` has it")
    return f'fields @timestamp, {EDGE} | filter client = "{name}" | sort @timestamp desc'


SLOW = f"fields @timestamp, {EDGE} | filter ispresent(status) and status < 400 | sort seconds desc"
ERRORS = (
    f"fields @timestamp, @logStream, {EDGE}, {SERVER} "
    '| filter status >= 500 or levelname in ["ERROR", "CRITICAL"] | sort @timestamp desc'
)
REFUSED = (
    "filter status in [401, 403, 404, 405, 413, 429] "
    "| stats count(*) as requests by status, client, address, path | sort requests desc"
)
_PERCENT = "/ count(*) * 100"
CLIENTS = (
    "filter ispresent(status) | stats count(*) as requests, "
    f"sum(status = 401 or status = 403 or status = 429) {_PERCENT} as refused_percent, "
    f"sum(status >= 500) {_PERCENT} as failed_percent, "
    "pct(seconds, 50) as half_within, pct(seconds, 99) as nearly_all_within by client | sort requests desc"
)
TRAFFIC = (
    "filter ispresent(status) | stats count(*) as requests, pct(seconds, 50) as half_within, "
    "pct(seconds, 99) as nearly_all_within by bin(5m) as at, status | sort at desc, status asc"
)


def _is(value: str, option: str, pattern: str, allowed: str) -> None:
    if not re.fullmatch(pattern, value):
        raise UserError.of(key=option, wrong="no line is found by that", value=value, allowed=allowed, fix="correct it")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of which groups.

    Attributes:
        query: of Insights.
        start, end: seconds since 1970.
        rows: the most that are wanted.
    """

    query: str
    groups: Sequence[str]
    start: int
    end: int
    rows: int


def groups(clients: Clients, stack: str, life: str | None) -> list[str]:
    """Log groups of a stack's servers, of one life of it, or of any where none is known.

    Raises:
        UserError: there are none.
    """
    prefix = f"/tandem/{stack}/{life}/" if life else f"/tandem/{stack}/"
    every = listed(
        "describe_log_groups",
        "logGroups[].{name: logGroupName, made: creationTime}",
        lambda _: {"logGroupNamePrefix": prefix},
    )
    there = sorted(every(clients("logs"), Scope(clients, stack)), key=lambda item: item["made"] or 0)
    found = sorted(item["name"] for item in there[-GROUPS:])
    if not found:
        raise UserError.of(
            key=stack,
            wrong="the account has no log of this stack in this region",
            value=prefix,
            allowed="a stack that is up",
            fix="`tandem status` shows what is there; another region takes --region",
        )
    return found


def answer(
    logs: Any, question: Question, seconds: float, clock: Callable[[], float] = time.monotonic, wait: Any = time.sleep
) -> list[Row]:
    """Asks, and waits for the answer; a query that takes longer is stopped.

    Args:
        seconds: to wait at most.

    Raises:
        UserError: Insights failed, or was not done in time.
        botocore's errors.
    """
    asked = logs.start_query(
        logGroupNames=list(question.groups),
        startTime=question.start,
        endTime=question.end,
        queryString=question.query,
        limit=min(question.rows, ROWS),
    )["queryId"]
    deadline = clock() + seconds
    try:
        while (found := logs.get_query_results(queryId=asked))["status"] in ("Scheduled", "Running", "Unknown"):
            if clock() >= deadline:
                raise _unanswered("CloudWatch Logs Insights was not done in time", f"{seconds:g} s")
            wait(POLL_SECONDS)
    except (UserError, KeyboardInterrupt):
        logs.stop_query(queryId=asked)
        raise
    if found["status"] != "Complete":
        raise _unanswered("CloudWatch Logs Insights did not answer", found["status"])
    return [{cell["field"]: cell["value"] for cell in row if cell["field"] != "@ptr"} for row in found["results"]]


def _unanswered(wrong: str, value: str) -> UserError:
    fix = "a shorter --since has less to read, and a longer --seconds more time"
    return UserError.of(key="logs", wrong=wrong, value=value, fix=fix)
