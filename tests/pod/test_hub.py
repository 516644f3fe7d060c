"""What answers as a hub and is none, or not any more: by real connections. tests/real has the real client."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

in_pod: Any = importlib.import_module("pod")
WANTED = {"model": "acme/llama-8b", "revision": None, "manifest": None}
heads: list[str] = []
Answer = Callable[[BaseHTTPRequestHandler], None]


def page(status: int, body: bytes, length: int | None = None, **headers: str) -> Answer:
    """An answer; with a length that is not its own it is cut off."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(length or len(body)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


@contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, list[str | None]]]:
    """An address whose every GET is answered so, and each HEAD with 200; and the logins that came with the GETs."""
    logins: list[str | None] = []

    def get(request: Any) -> None:
        logins.append(request.headers["Authorization"])
        answer(request)

    def head(request: Any) -> None:
        heads.append(request.path)
        page(200, b"")(request)

    methods = {"do_GET": get, "do_HEAD": head, "log_message": lambda *_: None}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Pages", (BaseHTTPRequestHandler,), methods))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", logins
    server.shutdown()
    server.server_close()


def test_the_token_does_not_follow_to_another_host() -> None:
    found = b'{"sha": "c0ffee", "siblings": []}'
    with answering(page(200, found)) as (there, theirs):
        for other in (there, there.replace("127.0.0.1", "localhost")):
            with answering(page(302, b"", Location=f"{other}/api")) as (url, ours):
                with pytest.raises(in_pod.GiveUp, match=r"no config\.json"):
                    in_pod.hub.listing(WANTED, url, "hf_secret")
                assert ours == ["Bearer hf_secret"]
        assert theirs == [None, None]


def test_an_adapter_is_asked_for_by_its_own_configuration() -> None:
    files = [{"rfilename": name, "size": 2, "blobId": "1" * 40} for name in ("adapter_config.json", "config.json")]
    files.append({"rfilename": "adapter_model.safetensors", "size": 9, "lfs": {"sha256": "2" * 64}})
    with answering(page(200, json.dumps({"sha": "c0ffee", "siblings": files}).encode())) as (url, _):
        heads.clear()
        commit, rows = in_pod.hub.listing({**WANTED, "name": "sql"}, url, "")
        assert heads == ["/acme/llama-8b/resolve/main/adapter_config.json"]
    assert (commit, [path for *_, path in rows]) == ("c0ffee", ["adapter_config.json", "adapter_model.safetensors"])


@pytest.mark.parametrize(
    "answer",
    [
        page(200, b"<html>Log in to the guest network"),
        page(200, b"\x1f\x8b\xff"),
        page(200, b"null"),
        page(200, b'{"error": "no such thing"}'),
        page(200, b'{"sha"', length=1000),
    ],
)
def test_what_is_no_answer_of_a_hub_is_asked_for_again_and_named(answer: Answer) -> None:
    with (
        answering(answer) as (url, _),
        in_pod.deadline(60),
        pytest.raises(RuntimeError, match=f"{url}/api/models"),
    ):
        in_pod.hub.listing(WANTED, url, "")
