"""Who takes which part of a batch, what a part costs that ends servers, and when nothing is left; S3 by moto."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import batch as machine
import bucket as buckets
import job
import pytest
from begun import ID, RUNNER, begin, done
from begun import bucket as bucket
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def work(
    bucket: buckets.Bucket,
    directory: Path,
    name: str = "one",
    said: list[str] | None = None,
    together: threading.Barrier | None = None,
) -> str:
    path = directory / f"{name}.sock"
    own = buckets.Bucket(bucket.url, bucket.region, bucket.credentials)
    worker = machine.Worker(own, name, name, 64, (said if said is not None else []).append)

    def runner() -> Any:
        started = machine.Runner(path, 60, [*RUNNER, str(path)])
        if together:
            together.wait(60)
        return started

    return machine.run(worker, runner)


def test_two_machines_share_it(bucket: buckets.Bucket, tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(950)]
    begin(bucket, names)
    why, together = list[str](), threading.Barrier(2)

    def one(name: str) -> None:
        why.append(work(bucket, tmp_path, name, together=together))

    threads = [threading.Thread(target=one, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert why == ["the batch is done"] * 2
    found = done(bucket)
    assert [line["custom_id"] for line in found] == names
    assert [line["response"]["body"]["asked"] for line in found] == [{"of": name} for name in names]
    by = Counter(line["response"]["body"]["process"] for line in found)
    assert len(by) == 2, "each had its share"
    assert set(bucket.list(job.place(ID, "machines"))) == {
        job.place(ID, "machines", one, ".json") for one in ("one", "two")
    }


def test_a_part_that_another_took_since_the_look_is_theirs(bucket: buckets.Bucket) -> None:
    begin(bucket, [f"r{number}" for number in range(500)])
    one, two = (machine.Worker(bucket, name, name, 64, lambda _: None) for name in ("one", "two"))
    assert [one.over(), two.over()] == ["", ""]
    found = [worker._take() for worker in (one, two, one, two)]
    assert [part and part.number for part in found] == [1, 2, 3, 4]
    assert all(worker._renew(part) for worker in (one, two) for part in [*worker.mine.values()])


def test_a_request_may_hold_what_python_takes_for_the_end_of_a_line(bucket: buckets.Bucket, tmp_path: Path) -> None:
    odd = "a\u2028b\u2029c\x85d"
    begin(bucket, [odd])
    raw = json.dumps({"custom_id": odd, "body": {"of": odd}}, ensure_ascii=False)
    bucket.replace(job.place(ID, "input", 1), raw + "\r\n")
    kept = json.dumps(job.unanswered("x", "y", odd), ensure_ascii=False)
    assert list(job.collected([kept])) == ["x"]
    assert work(bucket, tmp_path) == "the batch is done"
    assert [line["response"]["body"]["asked"] for line in done(bucket)] == [{"of": odd}]


def test_what_a_machine_left_is_taken_over_with_its_answers(
    bucket: buckets.Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(bucket, [f"r{number}" for number in range(100)])
    bucket.replace(job.place(ID, "claims", 1, ".json"), json.dumps({"by": "gone", "answered": 0, "ends": 0}))
    kept = [job.as_openai(f"r{number}", {"id": "earlier", "response": {"status_code": 200}}) for number in range(40)]
    bucket.replace(job.place(ID, "answers", 1, "/1-gone.jsonl"), job.written(kept))
    said: list[str] = []
    monkeypatch.setattr(job, "LEASE_SECONDS", 2)
    assert work(bucket, tmp_path, said=said) == "the batch is done"
    assert said == ["part 1: 60 of 100 to answer"]
    assert Counter(line["id"] for line in done(bucket)) == {"earlier": 40, "vllm-1": 60}


def test_nobody_takes_what_another_works_at(bucket: buckets.Bucket, tmp_path: Path) -> None:
    begin(bucket, ["r1"])
    worker = machine.Worker(bucket, "two", "two", 64, print)
    assert not worker.over()
    bucket.replace(job.place(ID, "claims", 1, ".json"), json.dumps({"by": "one", "answered": 0, "ends": 0}))
    assert worker._take() is None
    one = machine.Worker(bucket, "one", "one", 64, print)
    assert not one.over()
    assert one._take() is not None, "begun anew, it goes on with its own"


def test_a_part_that_was_lost_is_not_written(bucket: buckets.Bucket) -> None:
    begin(bucket, ["r1", "r2"])
    said: list[str] = []
    worker = machine.Worker(bucket, "one", "one", 64, said.append)
    assert not worker.over()
    part = worker._take()
    assert part
    part.answer("r1", job.unanswered("r1", "x", "late"))
    bucket.replace(job.place(ID, "claims", 1, ".json"), json.dumps({"by": "two", "answered": 0, "ends": 0}))
    worker.keep()
    assert said[-1] == "part 1: another has taken it over"
    assert not bucket.list(job.place(ID, "answers"))
    bucket.replace(job.place(ID, "done", 1), "theirs")
    part.answer("r2", job.unanswered("r2", "x", "late"))
    worker.mine[1] = part
    worker._finish(part)
    assert bucket.get(job.place(ID, "done", 1))[0] == "theirs"


def test_a_request_that_ends_servers_is_given_up_and_no_other(bucket: buckets.Bucket, tmp_path: Path) -> None:
    names = [*(f"r{number}" for number in range(30)), "poison", *(f"r{number}" for number in range(30, 250))]
    begin(bucket, names)
    why = ""
    for _ in range(3 * machine.TRIES):  # as systemd starts it again
        with contextlib.suppress(RuntimeError):
            why = why or work(bucket, tmp_path)
    assert why == "the batch is done"
    found = done(bucket)
    assert [line["custom_id"] for line in found] == names
    (wrong,) = [line for line in found if not job.answered(line)]
    assert wrong["custom_id"] == "poison"
    assert wrong["error"] == {"code": "gave_up", "message": "the server ended at it 5 times"}


def test_machines_that_are_taken_away_are_no_fault_of_a_request(bucket: buckets.Bucket, tmp_path: Path) -> None:
    """However often: each claims the part, and says nothing more."""
    begin(bucket, ["r1", "r2"])
    for _ in range(2 * machine.TRIES):
        worker = machine.Worker(bucket, "one", "one", 64, print)
        assert not worker.over()
        part = worker._take()
        assert part
        assert not part.alone
        worker.keep()
    assert work(bucket, tmp_path) == "the batch is done"
    assert all(job.answered(line) for line in done(bucket))


def test_a_log_has_nothing_of_a_request(bucket: buckets.Bucket) -> None:
    begin(bucket, ["a name", "poison"])
    bucket.replace(job.place(ID, "claims", 1, ".json"), json.dumps({"by": "one", "answered": 1, "ends": machine.TRIES}))
    bucket.replace(job.place(ID, "answers", 1, "/1-one.jsonl"), job.written([job.unanswered("a name", "x", "y")]))
    said: list[str] = []
    worker = machine.Worker(bucket, "one", "one", 64, said.append)
    assert not worker.over()
    worker._begin(SimpleNamespace(ask=None))
    assert said == ["part 1: 1 of 2 to answer", "part 1: line 2 ends the server, and is given up"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda bucket: bucket.replace(f"jobs/{ID}/stop.json", "{}"), "the batch is cancelled"),
        (lambda bucket: begin(bucket, ["r1"], ends=time.time() - 1), "the batch has spent its time"),
        (lambda bucket: bucket.replace(job.CURRENT, '{"id": "batch-2"}'), "there is no batch"),
    ],
)
def test_it_ends(bucket: buckets.Bucket, tmp_path: Path, change: Callable[[buckets.Bucket], None], why: str) -> None:
    begin(bucket, ["r1"])
    change(bucket)
    assert work(bucket, tmp_path) == why
    assert not done(bucket)


def test_a_batch_that_goes_on_or_follows_keeps_its_machines(bucket: buckets.Bucket) -> None:
    begin(bucket, ["r1"], hosts=3)
    worker = machine.Worker(bucket, "one", "one", 8, print)
    assert worker.wanted() == 3, "it goes on, as after a cancel that was taken back"
    bucket.replace(f"jobs/{ID}/stop.json", "{}")
    assert worker.over() == "the batch is cancelled"
    assert worker.wanted() == 0
    job_json = bucket.get(f"jobs/{ID}/job.json")
    assert job_json
    bucket.replace("jobs/batch-2/job.json", job_json[0])
    bucket.replace(job.CURRENT, '{"id": "batch-2"}')
    assert worker.wanted() == 3, "another was begun"


def test_a_runner_that_answers_nothing_hangs(
    bucket: buckets.Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SILENT_SECONDS", 1)
    begin(bucket, ["r1"])
    path = tmp_path / "silent.sock"
    silent = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); time.sleep(60)"
    worker = machine.Worker(bucket, "one", "one", 8, print)
    with pytest.raises(machine.Hangs):
        machine.run(worker, lambda: machine.Runner(path, 60, [sys.executable, "-c", silent, str(path)]))
    claim = bucket.get(job.place(ID, "claims", 1, ".json"))
    assert claim
    assert json.loads(claim[0])["ends"] == 1, "it may be the request"


def test_nothing_is_started_for_no_batch(bucket: buckets.Bucket) -> None:
    def never() -> machine.Runner:
        raise AssertionError

    worker = machine.Worker(bucket, "one", "one", 8, print)
    assert machine.run(worker, never) == "there is no batch"


def test_many_objects_are_listed_page_by_page(bucket: buckets.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    once = buckets.Bucket._once

    def few(self: buckets.Bucket, method: str, url: str, *rest: Any) -> Any:
        return once(self, method, url.replace("?", "?max-keys=2&", 1) if "list-type" in url else url, *rest)

    monkeypatch.setattr(buckets.Bucket, "_once", few)
    for number in range(5):
        bucket.replace(f"a/{number}.json", "x")
    assert list(bucket.list("a/")) == [f"a/{number}.json" for number in range(5)]


def test_requests_are_signed_as_botocore_signs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Answer:
        status, headers = 200, {"Date": "Mon, 30 Nov 2026 12:00:00 GMT"}

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *_: object) -> None: ...

        def read(self) -> bytes:
            return b""

    monkeypatch.setattr(buckets.urllib.request, "urlopen", lambda request, timeout: seen.append(request) or Answer())
    bucket = buckets.Bucket("https://b.s3.us-east-1.amazonaws.com", "us-east-1", lambda: ["KEY", "SECRET", "TOKEN"])
    bucket.list("jobs/a b+c/")
    bucket.put("jobs/1.json", "ü", '"etag"')
    assert bucket.now == 1796040000
    for request in seen:
        headers = {name.lower(): value for name, value in request.header_items()}
        signature = headers.pop("authorization")
        names = signature.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        assert "content-type" in names or request.data is None
        ours = AWSRequest(
            request.method, request.full_url, {name: headers[name] for name in names if name != "host"}, request.data
        )
        ours.context["timestamp"] = headers["x-amz-date"]
        auth = S3SigV4Auth(Credentials("KEY", "SECRET", "TOKEN"), "s3", "us-east-1")
        canonical = auth.canonical_request(ours)
        expected = auth.signature(auth.string_to_sign(ours, canonical), ours)
        assert signature.endswith(f"Signature={expected}")
