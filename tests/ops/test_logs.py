"""`tandem logs`: seven questions, in fields that the lines have, and what comes of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem.errors import UserError
from tandem.files import PROJECT
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.commands import logs as command
from tandem.ops.logs import CLIENTS, ERRORS, REFUSED, SLOW, TRAFFIC, Question, answer, groups, of_client, of_request

QUERIES = (of_request("a.b-1"), of_client("alice"), SLOW, ERRORS, REFUSED, CLIENTS, TRAFFIC)
WORDS = {
    *("fields", "filter", "sort", "asc", "desc", "stats", "by", "as", "and", "or", "in", "like", "bin"),
    *("count", "sum", "pct", "ispresent", "m", "ERROR", "CRITICAL"),
}
"""Of the language (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html)."""
QUESTION = Question(query=SLOW, groups=["g"], start=0, end=1, rows=20_000)


def test_each_query_asks_for_fields_that_lines_have() -> None:
    edge = re.findall(r'"(\w+)":', (PROJECT / "cloud-init/nginx.conf.j2").read_text().partition("log_format")[2][:900])
    assert {"request_id", "status", "seconds", "upstream"} <= set(edge)
    have = {*edge, "levelname", "message", "@timestamp", "@logStream"}
    for query in QUERIES:
        bare = re.sub(r'"[^"]*"|/[^/]*/', "", query)
        made = set(re.findall(r"as (\w+)", bare))
        assert set(re.findall(r"@?[A-Za-z_]\w*", bare)) <= have | WORDS | made, query


def test_an_id_is_found_as_it_is_and_not_as_a_pattern() -> None:
    assert "/a\\.b-1/" in of_request("a.b-1")
    assert 'request_id = "a.b-1"' in of_request("a.b-1")


@pytest.mark.parametrize("wrong", ["", 'x" or 1=1', "a b", "/", "x" * 129])
def test_what_is_no_id_or_name_is_refused(wrong: str) -> None:
    with pytest.raises(UserError, match="--request"):
        of_request(wrong)
    with pytest.raises(UserError, match="--client"):
        of_client(wrong)


class Insights:
    """Stands for: CloudWatch Logs, of queries only.

    Held by: tests/ops/test_logs.py::test_an_account_answers, as far as moto plays Insights: it knows no filter.
    """

    def __init__(self, *statuses: str) -> None:
        self.statuses: Iterator[str] = iter(statuses)
        self.asked: dict[str, Any] = {}
        self.stopped = ""

    def start_query(self, **asked: Any) -> dict[str, str]:
        self.asked = asked
        return {"queryId": "q"}

    def get_query_results(self, queryId: str) -> dict[str, Any]:
        rows = [[{"field": "status", "value": "200"}, {"field": "@ptr", "value": "x"}]]
        return {"status": next(self.statuses), "results": rows}

    def stop_query(self, queryId: str) -> None:
        self.stopped = queryId


def test_it_waits_until_the_answer_is_whole() -> None:
    logs, waited = Insights("Scheduled", "Running", "Complete"), list[float]()
    assert answer(logs, QUESTION, 60, wait=waited.append) == [{"status": "200"}]
    assert len(waited) == 2
    assert logs.asked["limit"] == 10_000


def test_a_query_that_takes_too_long_is_stopped() -> None:
    logs, now = Insights(*["Running"] * 9), iter(range(0, 90, 10))
    with pytest.raises(UserError, match="not done in time"):
        answer(logs, QUESTION, 30, clock=lambda: next(now), wait=lambda _: None)
    assert logs.stopped == "q"


def test_a_query_that_failed_is_no_empty_answer() -> None:
    with pytest.raises(UserError, match="Failed"):
        answer(Insights("Failed"), QUESTION, 60)


def test_exactly_one_question_is_asked() -> None:
    for arguments in ([], ["--slow", "--errors"]):
        found = CliRunner().invoke(app, ["logs", "dev", *arguments])
        assert isinstance(found.exception, UserError)
        assert "--traffic" in str(found.exception)


def test_an_account_answers(aws_account: AccountGaps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "life_here", lambda _stack: "a1")
    clients = aws_clients("us-east-1")
    with pytest.raises(UserError, match="no log of this stack"):
        groups(clients, "dev", "a1")
    logs, name = clients("logs"), "/tandem/dev/a1/hosts"
    for one in (name, "/tandem/dev/b2/hosts", "/tandem/dev2/a1/hosts"):
        logs.create_log_group(logGroupName=one)
    assert groups(clients, "dev", "a1") == [name]
    assert len(groups(clients, "dev", None)) == 2
    found = CliRunner().invoke(app, ["logs", "dev", "--slow", "--json"])
    assert (found.exit_code, json.loads(found.output)["rows"]) == (1, [])
    assert json.loads(found.output)["groups"] == [name]
    assert "nothing in the last" in CliRunner().invoke(app, ["logs", "dev", "--slow"]).output
