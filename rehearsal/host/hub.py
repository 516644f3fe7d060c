"""A small model hub: what its own client, our machines and `tandem pin` ask of the real one, with faults to order.

Stands for: the Hugging Face Hub: its API of models, its files behind redirects, its refusals and its limits.
Held by: tests/real/test_hub_client.py::test_a_model_arrives_whole (the hub's own client, oldest and newest).

Written after what the client reads of each answer (huggingface_hub 1.31 and 2.4: hf_api.py, file_download.py,
utils/_http.py, utils/_pagination.py, utils/_xet.py) and the hub's documentation of rate limits.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = (".safetensors", ".bin", ".pth", ".gguf")
"""What repositories keep in LFS or Xet."""


@dataclass
class File:
    """A file of a model.

    Attributes:
        large: it is in LFS (or Xet), and known by its SHA-256 instead of git's hash.
    """

    data: bytes
    large: bool

    @property
    def blob_id(self) -> str:
        """Git's hash of it; the real one's of a large file is of the pointer to it."""
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()  # noqa: S324  git's naming

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.blob_id


@dataclass
class Hub:
    """One model, faults, and what was asked. Changed by tests while it serves.

    Attributes:
        model: organisation/name.
        files: path to content.
        commit: of every revision that it knows: this one and `main`.
        token: needed to see the model; None lets everybody.
        gated: nobody accepted its licence: it can be seen, but not its files.
        page: entries of one page of the tree.
        busy: so many requests for the API, and as many for files, are over the limit.
        retry_after: seconds that those are told to wait.
        cut: so many answers with a large file break off after a third.
        stalled: so many stop there until the client hangs up.
        garbled: so many large files have another byte than they should.
        xet: large files are offered by Xet, too, whose server takes requests and answers none.
        asked: method, path and range of each request.
        limited: when requests were over the limit: seconds of time.monotonic.
    """

    model: str
    files: dict[str, bytes]
    commit: str = "0" * 40
    token: str | None = None
    gated: bool = False
    page: int = 1000
    busy: int = 0
    retry_after: int = 1
    cut: int = 0
    stalled: int = 0
    garbled: int = 0
    xet: bool = False
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    limited: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def file(self, path: str) -> File:
        return File(self.files[path], path.endswith(LARGE))

    def takes(self, fault: str) -> bool:
        """Whether a fault is due; it then is one fewer."""
        with self.lock:
            due = getattr(self, fault) > 0
            setattr(self, fault, getattr(self, fault) - due)
        return due

    def downloads(self) -> list[str]:
        """Large files that were asked for, `name from byte`."""
        sent = [(path, ranges) for method, path, ranges in self.asked if method == "GET" and path.startswith("/cdn/")]
        names = {self.file(path).sha256: path for path in self.files}
        return [f"{names[path[5:]]} from {int(ranges.strip('bytes=-') or 0)}" for path, ranges in sent]


class Pages(BaseHTTPRequestHandler):
    """The hub's side of each request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        del format, args

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        path, query = urllib.parse.unquote(url.path), dict(urllib.parse.parse_qsl(url.query))
        with self.hub.lock:
            self.hub.asked.append((self.command, path, self.headers.get("Range", "")))
        api, file, stored = f"/api/models/{self.hub.model}/", f"/{self.hub.model}/resolve/", "/api/resolve-cache/"
        if path.startswith("/cdn/"):
            return self.content(path.removeprefix("/cdn/"))
        if path.startswith("/xet/"):
            return self.silence()
        if not path.startswith((api, file, stored)):
            return self.refuse(404, "RepoNotFound", "Repository not found")
        if self.hub.takes("busy"):
            return self.limit()
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self.refuse(401, "", "Invalid credentials in Authorization header")
        if path.startswith(stored):
            return self.content(path.removeprefix(stored))
        return (
            self.api(path.removeprefix(api), query) if path.startswith(api) else self.resolve(path.removeprefix(file))
        )

    # -- answers -------------------------------------------------------------------------------------------------------

    def send(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        """An answer; underscores in header names stand for hyphens."""
        self.headers_of(status, {"Content_Type": kind, "Content_Length": str(len(body)), **headers})
        if self.command != "HEAD":
            self.wfile.write(body)

    def headers_of(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def refuse(self, status: int, code: str, message: str) -> None:
        known = {"X_Error_Code": code} if code else {}
        self.send(status, json.dumps({"error": message}).encode(), X_Error_Message=message, **known)

    def limit(self) -> None:
        self.hub.limited.append(time.monotonic())
        seconds = str(self.hub.retry_after)
        self.send(429, b"{}", Retry_After=seconds, RateLimit=f'"api";r=0;t={seconds}')

    def silence(self) -> None:
        """Nothing, until the client has hung up."""
        self.connection.recv(1)
        self.close_connection = True

    # -- the API -------------------------------------------------------------------------------------------------------

    def api(self, path: str, query: dict[str, str]) -> None:
        verb, _, revision = path.partition("/")
        if verb == "xet-read-token":
            login = {
                "Cas_Url": f"http://{self.headers['Host']}/xet",
                "Access_Token": "t",
                "Token_Expiration": "9999999999",
            }
            return self.send(200, b"{}", **{f"X_Xet_{name}": value for name, value in login.items()})
        if revision not in ("main", self.hub.commit):
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if verb == "revision":
            return self.send(200, json.dumps(self.information("blobs" in query)).encode())
        return self.tree(query) if verb == "tree" else self.refuse(404, "", "Not found")

    def information(self, blobs: bool) -> dict[str, Any]:
        siblings: list[dict[str, Any]] = []
        for path in sorted(self.hub.files):
            file = self.hub.file(path)
            lfs = {"lfs": {"sha256": file.sha256, "size": len(file.data), "pointerSize": 134}} if file.large else {}
            known = {"size": len(file.data), "blobId": file.blob_id, **lfs} if blobs else {}
            siblings.append({"rfilename": path, **known})
        name = {"_id": "0" * 24, "id": self.hub.model, "modelId": self.hub.model, "sha": self.hub.commit}
        return {**name, "private": False, "gated": self.hub.gated, "tags": [], "siblings": siblings}

    def tree(self, query: dict[str, str]) -> None:
        folders = {path.rpartition("/")[0] for path in self.hub.files if "/" in path}
        rows: list[dict[str, Any]] = [
            {"type": "directory", "oid": "0" * 40, "size": 0, "path": name} for name in folders
        ]
        for path in sorted(self.hub.files):
            file = self.hub.file(path)
            lfs = {"oid": file.sha256, "size": len(file.data), "pointerSize": 134}
            more = {"lfs": lfs, **({"xetHash": file.sha256} if self.hub.xet else {})} if file.large else {}
            rows.append({"type": "file", "oid": file.blob_id, "size": len(file.data), "path": path, **more})
        first = int(query.get("cursor", 0))
        last = first + self.hub.page
        here = f"http://{self.headers['Host']}{urllib.parse.urlsplit(self.path).path}"
        further = {"Link": f'<{here}?recursive=true&cursor={last}>; rel="next"'} if last < len(rows) else {}
        self.send(200, json.dumps(rows[first:last]).encode(), **further)

    # -- files ---------------------------------------------------------------------------------------------------------

    def resolve(self, path: str) -> None:
        """Where a file is, and what it is known by; the content comes from there."""
        revision, _, name = path.partition("/")
        if revision not in ("main", self.hub.commit):
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if self.hub.gated:
            status = 403 if self.headers.get("Authorization") else 401
            message = f"Access to model {self.hub.model} is restricted and you are not in the authorized list."
            return self.refuse(status, "GatedRepo", message)
        if name not in self.hub.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        file, here = self.hub.file(name), f"http://{self.headers['Host']}"
        if not file.large:
            return self.send(307, b"", Location=f"/api/resolve-cache/{file.sha256}", **self.known(file))
        refresh = f"{here}/api/models/{self.hub.model}/xet-read-token/{self.hub.commit}"
        xet = {"X_Xet_Hash": file.sha256, "Link": f'<{refresh}>; rel="xet-auth"'} if self.hub.xet else {}
        # Large files come from another host, to which the client sends no token.
        there = here.replace("127.0.0.1", "localhost")
        return self.send(302, b"", Location=f"{there}/cdn/{file.sha256}", **self.known(file), **xet)

    def known(self, file: File) -> dict[str, str]:
        """What the client reads of a file before it asks for it."""
        etag, size = f'"{file.etag}"', str(len(file.data))
        return {"X_Repo_Commit": self.hub.commit, "X_Linked_Size": size, "X_Linked_ETag": etag, "ETag": etag}

    def content(self, sha256: str) -> None:
        """A file, or the range of it that was asked for; with the fault that is due."""
        (file,) = {file.sha256: file for file in map(self.hub.file, self.hub.files) if file.sha256 == sha256}.values()
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        size = len(file.data)
        part = {"Content_Range": f"bytes {first}-{size - 1}/{size}"} if asked else {}
        headers = {**self.known(file), "Accept_Ranges": "bytes", "Content_Length": str(size - first), **part}
        self.headers_of(206 if asked else 200, headers)
        if self.command != "HEAD":
            self.body(file, first)

    def body(self, file: File, first: int) -> None:
        cut = file.large and self.hub.takes("cut")
        stalled = file.large and not cut and self.hub.takes("stalled")
        if not (cut or stalled):
            garbled = file.large and self.hub.takes("garbled")
            self.wfile.write(file.data[first:-1] + b"?" if garbled else file.data[first:])
            return
        self.wfile.write(file.data[first : first + len(file.data) // 3])
        self.wfile.flush()
        self.close_connection = True
        if stalled:
            self.silence()


@contextmanager
def serving(hub: Hub, host: str = "127.0.0.1") -> Iterator[str]:
    """The address of the hub, on a free port of an interface: the loopback one unless another is named."""
    pages: Any = type("Pages", (Pages,), {"hub": hub})
    server = ThreadingHTTPServer((host, 0), pages)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
