"""LiteLLM's admin API, as far as `tandem gateway apply` and `tandem cost --by team` ask it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

MASTER = "sk-master-of-these-tests"  # pragma: allowlist secret
PAGE = 2
"""Rows a page, whatever was asked for: a listing that forgets pages forgets rows."""


class LiteLLM:
    """A server with teams and keys in memory.

    Stands for: the admin API of LiteLLM 1.108.7.
    Held by: tests/real/test_gateway_apply.py

    Attributes:
        asked: method and path of each request, those with the master key alone.
        busy: statuses that the next requests are answered with.
        days: what it lists as spend by day.
    """

    def __init__(self) -> None:
        self.teams: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.deleted: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self.busy: list[int] = []
        self.days: list[dict[str, Any]] = []
        self.readiness: tuple[int, Any] = (200, {"status": "healthy", "db": "connected"})

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append((method, path))
        if self.busy and (status := self.busy.pop(0)):
            return status, {"error": {"message": "busy"}}
        rows = self.teams if "team" in path else self.keys
        match path.strip("/").split("/"):
            case ["v2", "team", "list"]:
                return 200, self._page("teams", self.teams.values(), int(query["page"]))
            case ["key", "list"] if query.get("status") == "deleted":
                return 200, {"keys": [], "total_count": int(query["key_hash"] in self.deleted)}
            case ["key", "list"]:
                found = [row for row in self.keys.values() if row["team_id"] == query.get("team_id", row["team_id"])]
                return 200, self._page("keys", found, int(query.get("page", 1)))
            case ["team", "daily", *_]:
                return 200, {"results": self.days}
            case ["team", "new"]:
                rows[body["team_id"]] = {"spend": 0.0, "blocked": False, "budget_reset_at": None, **body}
            case ["key", "generate"]:
                if body["key_alias"] in {row["key_alias"] for row in self.keys.values()}:
                    return 400, {"error": {"message": f"Key with alias '{body['key_alias']}' already exists."}}
                token = hashlib.sha256(body.pop("key").encode()).hexdigest()
                rows[token] = {"token": token, "spend": 0.0, "blocked": None} | self._timed(body)
            case [_, "update"]:
                id = body.pop("team_id" if rows is self.teams else "key")
                rows[id] |= self._timed(body)
            case ["key", "block"]:
                self.keys[body["key"]]["blocked"] = True
            case ["key", "delete"]:
                for token in body["keys"]:
                    assert self.keys.pop(token)["blocked"], "deleted before it was blocked"
                    self.deleted.add(token)
            case ["team", "delete"]:
                for team in body["team_ids"]:
                    del self.teams[team]
                    self.deleted |= {token for token, row in self.keys.items() if row["team_id"] == team}
                    self.keys = {token: row for token, row in self.keys.items() if row["team_id"] != team}
            case _:
                return 404, {"detail": "Not Found"}
        return 200, {}

    @staticmethod
    def _page(name: str, rows: Any, page: int) -> dict[str, Any]:
        found = list(rows)
        return {name: found[(page - 1) * PAGE : page * PAGE], "total_pages": -(-len(found) // PAGE)}

    @staticmethod
    def _timed(body: dict[str, Any]) -> dict[str, Any]:
        if "duration" in body:
            duration = body.pop("duration")
            end = duration and datetime.now(UTC) + timedelta(seconds=int(duration.removesuffix("s")))
            body["expires"] = end and end.isoformat()
        return body


@contextmanager
def litellm() -> Iterator[tuple[LiteLLM, str]]:
    """Runs until the block ends, and its URL."""
    state = LiteLLM()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            if parts.path == "/health/readiness":
                assert "Authorization" not in self.headers, "the master key, before it is known who listens"
                status, answer = state.readiness
            elif self.headers.get("Authorization") != f"Bearer {MASTER}":
                status, answer = 401, {"error": {"message": "Authentication Error"}}
            else:
                status, answer = state.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
