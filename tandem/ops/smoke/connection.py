"""HTTP as a client, an attacker or a broken phone would speak it: paths go out as they are, answers are read by hand.

The standard library, because `requests` and its like mend a path before they send it (`/v1/../metrics`).
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tandem.ops.smoke.result import Surprise


@dataclass(frozen=True)
class Target:
    """What is tested.

    Attributes:
        url: scheme, host and port; a path is not part of it.
        api_key: sent as a bearer token; never printed.
        ca_pem: what to trust beside the machine's own authorities.
        timeout_seconds: for one connection, and for one pause in an answer.
        internal: only networks with a route to it reach it, which an error then says.
    """

    url: str
    api_key: str = field(repr=False)
    ca_pem: str | None = None
    timeout_seconds: float = 120
    internal: bool = False

    @property
    def secure(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def here(self) -> bool:
        """Whether it is this machine's own loopback interface."""
        return re.fullmatch(r"localhost|127(\.\d{1,3}){3}|::1", self.host) is not None

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or (443 if self.secure else 80)

    def context(self) -> ssl.SSLContext:
        """Checks chain and host name, as clients do."""
        return ssl.create_default_context(cadata=self.ca_pem)

    def redact(self, text: str) -> str:
        """The text without the key, should a server have sent it back."""
        return text.replace(self.api_key, "[API key]") if self.api_key else text


@dataclass(frozen=True)
class Answer:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """Raises Surprise when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Surprise(f"JSON expected, HTTP {self.status} came with {self.excerpt()}") from None

    def excerpt(self) -> str:
        text = " ".join(self.body.decode("utf-8", "replace").split())
        return repr(text if len(text) <= 160 else f"{text[:160]}…")

    def expect(self, *allowed: int) -> Answer:
        """Raises Surprise for any other status."""
        if self.status not in allowed:
            raise Surprise(f"HTTP {' or '.join(map(str, allowed))} expected, {self.status} came: {self.excerpt()}")
        return self


def send(
    target: Target,
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    *,
    key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own; the path is not touched.

    Args:
        key: another key than the target's; "" sends none.

    Raises:
        Surprise: no connection, no answer in time, or a connection that breaks off.
    """
    started = time.monotonic()
    with _response(target, method, path, body, key, headers) as response:
        content = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, content, time.monotonic() - started)


@dataclass(frozen=True)
class Event:
    """A server-sent event's data, and when it came (seconds after the request)."""

    data: str
    seconds: float


@contextmanager
def stream(target: Target, path: str, body: Mapping[str, Any]) -> Iterator[tuple[Answer, Iterator[Event]]]:
    """Opens a stream; leaving the block early hangs up, as a client does that has seen enough."""
    started = time.monotonic()
    with _response(target, "POST", path, body, None, None) as response:
        found = {name.lower(): value for name, value in response.getheaders()}
        head = Answer(response.status, found, b"", time.monotonic() - started)

        def events() -> Iterator[Event]:
            for line in response:
                if line.startswith(b"data:"):
                    yield Event(line[5:].strip().decode("utf-8", "replace"), time.monotonic() - started)

        yield head, events()


@contextmanager
def _response(
    target: Target,
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    key: str | None,
    headers: Mapping[str, str] | None,
) -> Iterator[http.client.HTTPResponse]:
    sent = {"User-Agent": "tandem-smoke", "Accept": "*/*", **(headers or {})}
    bearer = target.api_key if key is None else key
    if bearer:
        sent["Authorization"] = f"Bearer {bearer}"
    content = None
    if body is not None:
        content, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
    connection: http.client.HTTPConnection
    if target.secure:
        connection = http.client.HTTPSConnection(
            target.host, target.port, timeout=target.timeout_seconds, context=target.context()
        )
    else:
        connection = http.client.HTTPConnection(target.host, target.port, timeout=target.timeout_seconds)
    where = "; it is internal: ask from a network that has a route to it" if target.internal else ""
    try:
        connection.request(method, path, content, sent)
        yield connection.getresponse()
    except TimeoutError:
        raise Surprise(f"no answer within {target.timeout_seconds:g} s{where}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Surprise(f"the connection failed: {_reason(error)}{where}") from None
    finally:
        connection.close()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error.verify_message})"
    return str(error) or type(error).__name__
