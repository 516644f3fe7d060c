"""The agent beside an edge: what it takes over, and what stays while the store is away."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import basics
import keysync
import pytest
import telemetry
import traffic

OWN = {"clients": {"tandem-probe": {"keys": [{"sha256": "0" * 64}]}}}
A, B = "a" * 64, "b" * 64


def text(**digests: str) -> str:
    return json.dumps({"clients": {name: {"keys": [{"sha256": digest}]} for name, digest in digests.items()}})


@pytest.fixture
def found(tmp_path: Path) -> SimpleNamespace:
    """An edge, its store, and what was done."""
    store: dict[str, Any] = {"issued": text(alice=A), "declared": None}
    done = SimpleNamespace(store=store, said=[], keys=tmp_path / "keys")

    def read(arn: str) -> str | None:
        if isinstance(store[arn], Exception):
            raise store[arn]
        return store[arn]

    def made() -> keysync.Edge:
        return keysync.Edge(
            ["issued", "declared"], ["m"], OWN, done.keys, tmp_path / "kept.json", read, done.said.append
        )

    done.made, done.edge, done.kept = made, made(), tmp_path / "kept.json"
    return done


def known(found: SimpleNamespace) -> set[str]:
    return {file.name for file in found.keys.iterdir()}


def test_the_first_look_knows_the_documents_and_its_own(found: SimpleNamespace) -> None:
    found.edge.look()
    assert {file.name: file.read_text() for file in found.keys.iterdir()} == {
        "0" * 64: "tandem-probe 1 - -",
        A: "alice 1 - -",
    }


def test_what_did_not_change_is_not_written_again(found: SimpleNamespace) -> None:
    found.edge.look()
    before = {file.name: file.stat().st_ino for file in found.keys.iterdir()}
    found.store["declared"] = text(bob=B)
    found.edge.look()
    after = {file.name: file.stat().st_ino for file in found.keys.iterdir()}
    assert after.keys() - before.keys() == {B}
    assert after.items() >= before.items()


def test_a_revoked_key_is_gone_and_may_come_back(found: SimpleNamespace) -> None:
    found.edge.look()
    found.store["issued"] = text(alice=B)
    found.edge.look()
    assert known(found) == {"0" * 64, B}
    found.store["issued"] = text(alice=A)
    found.edge.look()
    assert known(found) == {"0" * 64, A}


def test_a_key_ends_at_its_moment_while_the_store_is_away(
    found: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found.store["issued"] = json.dumps(
        {"clients": {"alice": {"keys": [{"sha256": A, "until": "2100-01-01T00:00:00Z"}]}}}
    )
    found.edge.look()
    found.store["issued"] = OSError("away")
    monkeypatch.setattr(keysync, "datetime", SimpleNamespace(UTC=UTC, datetime=Later))
    found.edge.look()
    assert known(found) == {"0" * 64}


class Later(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime(2100, 1, 1, tzinfo=tz)


AWAY = [RuntimeError("curl: exit 28: timed out"), OSError("no route"), "no document", '{"clients": {"alice": {}}}']


@pytest.mark.parametrize("trouble", AWAY)
def test_what_was_known_stays_while_the_store_is_away_or_holds_no_document(
    found: SimpleNamespace, trouble: Any
) -> None:
    found.edge.look()
    found.store["issued"] = trouble
    for _ in range(5):
        found.edge.look()
    assert known(found) == {"0" * 64, A}
    (said,) = found.said
    assert said.endswith(": those that were known stay")
    found.store["issued"] = text(alice=B)
    found.edge.look()
    assert (found.said[1:], known(found)) == (["keys are read again"], {"0" * 64, B})


def test_one_document_that_cannot_be_read_holds_up_no_change_of_the_other(found: SimpleNamespace) -> None:
    found.store["declared"] = text(bob=B)
    found.edge.look()
    found.store["declared"] = OSError("away")
    found.store["issued"] = text()
    found.edge.look()
    assert known(found) == {"0" * 64, B}


def test_a_key_of_two_documents_holds_up_nothing(found: SimpleNamespace) -> None:
    found.edge.look()
    found.store["declared"] = text(bob=A)
    found.edge.look()
    assert (found.keys / A).read_text() == "bob 1 - -"
    found.store["issued"] = text(carol=B)
    found.edge.look()
    assert known(found) == {"0" * 64, A, B}


def test_a_directory_among_the_keys_is_left_alone(found: SimpleNamespace) -> None:
    (found.keys / "odd").mkdir(parents=True)
    found.edge.look()
    assert known(found) == {"0" * 64, A, "odd"}


def test_without_room_for_a_new_key_a_revoked_one_goes_all_the_same(
    found: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found.edge.look()

    def full(path: Path, text: str) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(keysync, "write", full)
    found.store["issued"] = text(bob=B)
    with pytest.raises(OSError, match="No space"):
        found.edge.look()
    assert known(found) == {"0" * 64}


def test_a_kept_file_that_is_torn_is_none(found: SimpleNamespace) -> None:
    found.edge.look()
    for torn in (b'{"issued": {"clie', b"\xff\xfe", b"", b"[]", b'{"issued": {"clients": 7}}'):
        found.kept.write_bytes(torn)
        found.made().look()
    assert known(found) == {"0" * 64, A}
    found.kept.write_text('{"issued": {"clie')
    found.store["issued"] = OSError("away")
    with pytest.raises(RuntimeError, match="OSError: away"):
        found.made().look()
    assert known(found) == {"0" * 64, A}, "nginx goes on with what it has"


def test_a_full_disk_holds_up_no_key(found: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    found.edge.look()

    def full(path: Path, text: str) -> None:
        if path == found.kept:
            raise OSError("No space left on device")
        basics.write(path, text)

    monkeypatch.setattr(keysync, "write", full)
    found.store["issued"] = text(alice=B)
    found.edge.look()
    assert known(found) == {"0" * 64, B}


def test_a_restart_while_the_store_is_away_finds_who_was_known(found: SimpleNamespace) -> None:
    found.edge.look()
    shutil.rmtree(found.keys)  # as a reboot does
    found.store["issued"] = OSError("away")
    found.made().look()
    assert known(found) == {"0" * 64, A}


def test_a_first_start_without_a_store_is_an_error_that_says_why(found: SimpleNamespace) -> None:
    found.store["issued"] = OSError("away")
    with pytest.raises(RuntimeError, match="OSError: away"):
        found.edge.look()
    assert not found.keys.exists()


def test_a_secret_that_nothing_was_written_into_is_nobody(found: SimpleNamespace) -> None:
    found.store["issued"] = None
    found.edge.look()
    assert known(found) == {"0" * 64}


def test_it_follows_until_its_end_through_what_fails(found: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([RuntimeError("away"), OSError("full"), None])

    def look(_: keysync.Edge) -> None:
        if error := next(looks):
            raise error

    monkeypatch.setattr(keysync.Edge, "look", look)
    monkeypatch.setattr(keysync, "wait", lambda seconds: seconds == keysync.EVERY and next(left, False))
    left = iter([True] * 3)
    found.edge.follow()
    assert next(looks, "over") == "over"
    assert found.said == ["away", "full"]


class Dripping(BaseHTTPRequestHandler):
    """Stands for: a way to Secrets Manager on which an answer never ends: headers, or a body, byte by byte.

    Held by: nothing, it is what must not hold up an agent whoever does it.
    """

    what: ClassVar[str] = "headers"

    def do_GET(self) -> None:
        if self.what == "body":
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x")
                time.sleep(0.05)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("what", ["headers", "body"])
def test_a_store_that_drips_holds_up_no_look_and_not_the_other_document(
    found: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    found.edge.look()
    monkeypatch.setattr(keysync, "READ", 2)
    monkeypatch.setattr(Dripping, "what", what)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def read(arn: str) -> str | None:
        if arn == "issued":
            return urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}", timeout=5).read().decode()
        return text(bob=B)

    found.edge.read = read
    start = time.monotonic()
    found.edge.look()
    assert time.monotonic() - start < 2
    assert known(found) == {"0" * 64, A, B}, "what was known stays, and the other document counts"
    assert "TimeoutError: no end within 1 s" in found.said[-1]
    server.shutdown()
    server.server_close()


def age(found: SimpleNamespace) -> float:
    return float(found.edge.age().split()[-1])


def test_the_age_of_what_is_known_is_told_and_grows_while_one_document_cannot_be_read(found: SimpleNamespace) -> None:
    assert found.edge.age() == ""
    found.edge.look()
    assert 0 <= age(found) < 10
    os.utime(found.kept.with_suffix(".good"), (time.time() - 500,) * 2)
    found.store["declared"] = RuntimeError("away")
    found.store["issued"] = text(carol=B)
    found.edge.look()
    assert 500 <= age(found) < 510, "the other one was read, and kept"
    assert "# TYPE tandem_keys_age_seconds gauge" in found.edge.age()
    found.edge = found.made()
    assert age(found) >= 500, "also of an agent that has just come"
    found.store["declared"] = None
    found.edge.look()
    assert age(found) < 10


def test_a_file_is_on_the_disk_before_it_is_in_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = tmp_path / "kept.json", []
    basics.write(file, "old")

    def fsync(number: int) -> None:
        seen.append((file.read_text(), Path(f"/proc/self/fd/{number}").read_text()))

    monkeypatch.setattr(basics.os, "fsync", fsync)
    basics.write(file, "new", 0o400)
    assert seen == [("old", "new")]
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o400)


def test_a_look_and_the_pause_before_it_are_less_than_a_minute() -> None:
    assert keysync.EVERY + keysync.READ <= 40
    assert basics.left() > 60


def test_an_edge_tells_when_a_client_will_have_no_key_and_nothing_while_none_ends(
    found: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found.edge.figures() == {}
    found.edge.look()
    assert found.edge.figures() == {}
    soon = datetime.now(UTC) + timedelta(days=5)
    found.store["issued"] = json.dumps({"clients": {"alice": {"keys": [{"sha256": A, "until": soon.isoformat()}]}}})
    found.edge.look()
    assert found.edge.figures() == {"KeyDays": pytest.approx(5, abs=0.01)}
    told: list[str] = []
    monkeypatch.setattr(traffic, "listen", lambda _port, _log, more, _also: told.append(more()))
    monkeypatch.setattr(found.edge, "follow", lambda: None)
    keysync.attend(found.edge, 0, None, None)
    assert re.search(r"(?m)^tandem_key_days (5\.00|4\.99)$", told[0])


def test_who_reports_has_what_an_edge_tells(found: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, str] = {}

    def report(counts: Any, keys: Callable[[], dict[str, float]]) -> telemetry.Telemetry:
        return telemetry.Telemetry([], counts.statuses, keys, lambda **parameters: told.update(parameters), {}, print)

    monkeypatch.setattr(telemetry.Telemetry, "start", telemetry.Telemetry.report)
    monkeypatch.setattr(traffic, "listen", lambda *_: traffic.Counts())
    monkeypatch.setattr(found.edge, "follow", lambda: None)
    monkeypatch.setattr(found.edge, "figures", lambda: {"KeyDays": 5.0})
    keysync.attend(found.edge, 0, None, report)
    assert "KeyDays" in {value for name, value in told.items() if name.endswith(".MetricName")}
