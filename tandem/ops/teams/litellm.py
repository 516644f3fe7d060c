"""LiteLLM's admin API, as an operator reaches it: through a tunnel, or by the public name."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from tandem.errors import UserError
from tandem.gateway.config import READY_PATH
from tandem.ops.options import GATEWAY_URL
from tandem.settings.parsing import HIDDEN

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PAGE = 100
"""The most that LiteLLM lists at once."""
DEADLINE_SECONDS = 60
"""Of a read with its repeats."""
_BUSY = {429, 502, 503, 504}


def checked(url: str) -> str:
    """Where the master key may be sent.

    Raises:
        UserError: it would go over a network in plain text.
    """
    parts = urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not parts.hostname or not (plain or parts.scheme == "https") or parts.path.strip("/") or parts.query:
        raise UserError.of(
            key="--url",
            wrong="is no place that the master key may be sent to",
            value=url,
            allowed=f"https://HOST, or http:// on this machine, such as {GATEWAY_URL}; without a path",
            fix="leave it out, with the tunnel of `gatewayAdminCommand` open",
        )
    return url.rstrip("/")


@dataclass
class Admin:
    """Reads are repeated while LiteLLM is busy; what changes something is asked once: a second run finds out what came
    of it.

    Attributes:
        stack: as messages name it.
        key: the master key; in no message.
        sleep: waits between them; tests pass their own.
    """

    url: str
    stack: str
    key: str = field(repr=False)
    timeout_seconds: float = 60
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._session = requests.Session()
        if urlsplit(self.url).hostname in LOOPBACK:
            self._session.trust_env = False  # no proxy is on the way to this machine

    def open(self) -> None:
        """Finds out whether it is the stack's LiteLLM; before that the key is not sent.

        Raises:
            UserError: it is not, or it does not answer.
        """
        answer = self._asked("GET", READY_PATH, authorized=False)
        told = f"HTTP {answer.status_code} to {READY_PATH}"
        if answer.status_code in _BUSY:
            raise self._refused("what listens there is not ready", told, "wait for its database, then run it again")
        if not (answer.ok and "db" in _json(answer)):
            raise self._refused("what listens there is no LiteLLM", told)
        self.get("/key/list", size=1)

    def get(self, path: str, **query: Any) -> Any:
        """Raises UserError: no answer in time, or a refusal."""
        return self._read(self._asked("GET", path, query=query), path)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Raises UserError: no answer in time, or a refusal; whether it was done is not known then."""
        return self._read(self._asked("POST", path, body=body), path)

    def teams(self) -> list[dict[str, Any]]:
        """All, by their ids: without an order pages of a growing list overlap."""
        pages = self._pages("/v2/team/list", page_size=PAGE, sort_by="team_id")
        return [row for page in pages for row in page["teams"]]

    def keys(self, **of: str) -> list[dict[str, Any]]:
        """All, or those of a team."""
        more = {"size": PAGE, "return_full_object": "true", "sort_by": "token", "sort_order": "asc", **of}
        return [row for page in self._pages("/key/list", **more) for row in page["keys"]]

    def has_deleted(self, token: str) -> bool:
        """Whether a key was there once, which LiteLLM keeps for good."""
        return self.get("/key/list", status="deleted", key_hash=token, size=1)["total_count"] > 0

    def _pages(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        number, last = 1, 1
        while number <= last:
            page = self.get(path, page=number, **query)
            yield page
            number, last = number + 1, page["total_pages"]

    def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        authorized: bool = True,
    ) -> requests.Response:
        deadline, pause = time.monotonic() + DEADLINE_SECONDS, 1.0
        while True:
            try:
                answer = self._session.request(
                    method,
                    self.url + path,
                    params=query,
                    json=body,
                    auth=self._signed if authorized else _unsigned,
                    timeout=(5, self.timeout_seconds),
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                raise self._silent(error) from None
            if method != "GET" or answer.status_code not in _BUSY or time.monotonic() + pause > deadline:
                return answer
            self.sleep(pause)
            pause *= 2

    def _signed(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """In place of what a .netrc has of the host."""
        request.headers["Authorization"] = f"Bearer {self.key}"
        return request

    def _read(self, answer: requests.Response, path: str) -> Any:
        if answer.status_code == 401:
            raise self._refused(
                f"the LiteLLM that listens there does not take the master key of {self.stack}",
                f"HTTP {answer.status_code} to {path}",
                f"close the tunnel, and open that of {self.stack}; after a new master key, wait until copies have it",
            )
        if not answer.ok:
            raise self._refused(f"LiteLLM refused {path}", f"HTTP {answer.status_code}: {_said(answer)}")
        return _json(answer)

    def _silent(self, error: requests.RequestException) -> UserError:
        late = isinstance(error, requests.ReadTimeout)
        wrong = f"did not answer within {self.timeout_seconds:g} s" if late else "nothing answers there"
        fix = f'`eval "$(pulumi stack output --stack {self.stack} gatewayAdminCommand)"` in another shell opens the way'
        return self._refused(wrong, type(error).__name__, "run it again" if late else fix)

    def _refused(self, wrong: str, value: str, fix: str = "") -> UserError:
        allowed = f"the admin interface of the gateway of {self.stack}"
        return UserError.of(
            key=self.url,
            wrong=wrong,
            value=value,
            allowed=allowed,
            fix=fix or "see docs/gateway.md, then run it again",
        )


def _unsigned(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _json(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return {}


def _said(answer: requests.Response) -> str:
    """LiteLLM's own words; a key that they repeat is not shown."""
    told = _json(answer)
    error = told.get("error", told.get("detail", told)) if isinstance(told, dict) else told
    words = error.get("message", error) if isinstance(error, dict) else error
    return re.sub(r"sk-[\w-]{6,}", HIDDEN, " ".join(str(words or answer.reason).split()))[:300]
