"""HTTP for look-ups: retries with a deadline, and failures said in words that a user can act on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import requests

from tandem.errors import UserError

_BUSY = {429, 502, 503, 504}


@dataclass(kw_only=True)
class Http:
    """GET requests that give up in time.

    Attributes:
        deadline_seconds: for one `get` with all its retries.
        timeout_seconds: for one connection, and for one pause in an answer.
        sleep: waits between retries; tests pass their own.
    """

    deadline_seconds: float = 60
    timeout_seconds: float = 20
    session: requests.Session = field(default_factory=requests.Session)
    sleep: Callable[[float], None] = time.sleep

    def get(
        self, url: str, *, key: str, headers: Mapping[str, str] | None = None, whole: bool = True
    ) -> requests.Response:
        """The answer, whatever its status, once the server is not busy (429, 502, 503, 504).

        Args:
            key: what is looked up, as messages name it.
            whole: reads the body, too; else the caller does, or closes it.

        Raises:
            UserError: no connection, no answer in time, or still busy at the deadline.
        """
        deadline = time.monotonic() + self.deadline_seconds
        pause = 1.0
        while True:
            try:
                response = self.session.get(
                    url, headers=dict(headers or {}), timeout=self.timeout_seconds, stream=not whole
                )
            except requests.RequestException as error:
                raise UserError.of(
                    key=key,
                    wrong=f"{_host(url)} cannot be reached ({_reason(error)})",
                    value=url,
                    allowed="a machine with a way out, directly or by HTTPS_PROXY",
                    fix="run the same command again where the network allows it",
                ) from None
            if response.status_code not in _BUSY:
                return response
            wait = _retry_after(response, pause)
            if time.monotonic() + wait > deadline:
                raise UserError.of(
                    key=key,
                    wrong=f"{_host(url)} is busy or limits requests, and asks to wait {wait:g} s",
                    value=f"HTTP {response.status_code}",
                    allowed=f"an answer within {self.deadline_seconds:g} s",
                    fix="wait, then run the same command again",
                )
            self.sleep(wait)
            pause *= 2


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _retry_after(response: requests.Response, pause: float) -> float:
    """Seconds that the server asks for; a date, which is rare, counts as not said."""
    asked = response.headers.get("Retry-After", "")
    return max(float(asked), 0.1) if asked.isdigit() else pause


def _reason(error: requests.RequestException) -> str:
    text = str(error)
    if "NameResolution" in text or "Name or service not known" in text:
        return "its name does not resolve"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted here"
    if "refused" in text:
        return "connection refused"
    return type(error).__name__
