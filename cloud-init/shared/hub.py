"""The model hub: what a revision has, and a download by the server image's own client."""

from __future__ import annotations

import contextlib
import glob
import http.client
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import manifest
from basics import GiveUp, left, wait
from cache import Cache

# The hub counts requests in windows of five minutes, and a client that is over the limit waits for the next one.
STALL_SECONDS = 360
# No bars, no look for a newer client, each file under its own hash instead of a link into a store of all models.
QUIET = {f"HF_HUB_DISABLE_{what}": "1" for what in ("PROGRESS_BARS", "UPDATE_CHECK", "SHARED_BLOBS")}
# Every other attempt goes without Xet, which is known to stall, but alone has files above 50 GB.
_ways = itertools.cycle(({}, {"HF_HUB_DISABLE_XET": "1"}))


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows a model that was renamed, but no file to where it is stored: the hub has let it go, that is enough."""

    def redirect_request(self, req: Any, *rest: Any, **more: Any) -> Any:
        if req.get_method() != "GET":
            return None
        new = super().redirect_request(req, *rest, **more)
        if new and (new.type, new.host) != (req.type, req.host):
            new.remove_header("Authorization")  # the token is the hub's, and urllib takes it along to any host
        return new


def ask(url: str, token: str, method: str = "GET") -> bytes:
    """The hub's answer, once it is not over its limit; GiveUp where it never will be, or not in time."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, None, headers, method=method)  # noqa: S310
    while True:
        try:
            return urllib.request.build_opener(_Redirect).open(request, timeout=30).read()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.headers
            if status < 400:
                return b""
            if status in (401, 403, 404):
                fix = "mend the pin" if status == 404 else "accept the licence, set tandem:huggingFaceToken"
                raise GiveUp(f"{url}: {status} {said['X-Error-Message']}: check the name, {fix}") from None
            if status != 429:
                raise
            seconds = 1 + int((re.findall(r"\d+$", said["Retry-After"] or said["RateLimit"] or "") or [30])[0])
            if seconds > left():
                raise GiveUp(f"{url}: over its limit for {seconds} s, {left():.0f} s are left") from None
            wait(seconds)
        except http.client.HTTPException as error:  # no OSError, unlike all else that breaks on the way
            raise RuntimeError(f"{url}: {error!r}") from None


def listing(wanted: dict[str, Any], url: str, token: str) -> tuple[str, list[manifest.Row]]:
    """The commit and the manifest of what is wanted; GiveUp where it is not ours to have, or not what was pinned."""
    model, revision = wanted["model"], wanted["revision"] or "main"
    config = manifest.ADAPTER[0] if "name" in wanted else "config.json"
    ask(f"{url}/{model}/resolve/{revision}/{config}", token, "HEAD")
    address = f"{url}/api/models/{model}/revision/{revision}?blobs=true"
    try:
        said = json.loads(ask(address, token))
        commit, rows = said["sha"], manifest.of_hub(said["siblings"])
    except (json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError) as error:  # a proxy's page
        raise RuntimeError(f"{address}: not a model hub's answer: {error!r}") from None
    except ValueError as error:
        raise GiveUp(f"{model}: {error}") from None
    if wanted["manifest"] not in (None, manifest.digest(rows)):
        raise GiveUp(f"{model}: the hub has other files than the pinned ones: tandem pin --model {model} --update")
    return commit, rows


def run(command: list[str], directory: Path) -> None:
    """Runs a client until it ends; stops it at the deadline, and when nothing came into a directory for too long."""

    def seen() -> object:
        with contextlib.suppress(FileNotFoundError):  # renamed between listing and looking
            return [path.lstat() for path in directory.glob("*")]

    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        last, since = None, time.monotonic()
        while process.poll() is None:
            if (now := seen()) != last:
                last, since = now, time.monotonic()
            if not left() or time.monotonic() - since > STALL_SECONDS:
                process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(min(2, left()))
        if process.returncode:
            said.seek(0)
            lines = " | ".join(said.read().strip().splitlines()[-3:])[-400:]
            raise RuntimeError(f"hf: exit {process.returncode} {time.monotonic() - since:.0f} s after a byte: {lines}")


def download(cache: Cache, url: str, token: str, client: Callable[[dict[str, str]], list[str]]) -> None:
    """Fetches a revision, in one attempt, and compares every file. The caller has the turn.

    An attempt that ends early leaves the files that were whole, and nothing of the others.

    Args:
        client: makes the command that runs `hf` with an environment.
    """
    commit, rows = listing(cache.wanted, url, token)
    cache.settle(commit)
    command = client({"HF_ENDPOINT": url, **QUIET, **next(_ways)})
    blobs = cache.repository / "blobs"
    for leftover in blobs.glob("*.incomplete"):
        leftover.unlink()
    names = (glob.escape(path) for *_, path in rows)  # to the client they are patterns
    run([*command, "download", cache.wanted["model"], "--revision", commit, "--", *names], blobs)
    # The client's list of the whole repository: by it, vLLM's client calls a snapshot without the rest incomplete.
    shutil.rmtree(cache.repository / "trees", ignore_errors=True)
    cache.prune(rows)
    cache.check_all(rows)
    cache.finish(rows)
