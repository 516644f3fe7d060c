"""A batch through the real vLLM's own runner, by machines that are killed: each request is answered, and none twice."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pod_identity
import pytest
from batch_pod import Pod
from buckets import made_empty
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import ThreadedMotoServer
from vllm_cpu import ON_CPUS, environment, model

from tandem.scripts import DIRECTORY, shared

pytestmark = pytest.mark.real

REQUESTS = 1000
BUCKET, ID = "batches", "batch-1"
SPAN = 4
"""Seconds of a claim."""
job = shared("job", "batch")


def tokens(number: int) -> int:
    """Answers of a part end one by one."""
    return 50 + 37 * number % 200


def request(number: int) -> dict[str, Any]:
    """Of these each hundredth is refused by vLLM."""
    body = {"model": "tiny", "messages": [{"role": "user", "content": f"host {number}"}], "ignore_eos": True}
    wrong = number % 100 == 99
    limit = {"max_tokens": 99_999 if wrong else tokens(number)}
    return {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body | limit}


class Account:
    """A bucket with a batch, as `tandem batch` makes it."""

    def __init__(self, url: str, requests: int) -> None:
        self.url = f"{url}/{BUCKET}"
        self.s3 = boto3.client(
            "s3", region_name="us-east-1", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="y"
        )
        made_empty(self.s3, BUCKET)
        parts = [*job.parts([json.dumps(request(number)) for number in range(requests)])]
        for number, lines in enumerate(parts, 1):
            self.put(job.place(ID, "input", number), "\n".join(lines))
        self.put(f"jobs/{ID}/job.json", json.dumps({"parts": len(parts), "ends": time.time() + 3600}))
        self.put(job.CURRENT, json.dumps({"id": ID}))
        self._one_at_a_time = threading.Lock()
        self._waits: tuple[Callable[[], bool], Callable[[], object], threading.Event] | None = None

    def put(self, key: str, text: str) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())

    def wait_for(self, log: Path, condition: Callable[[], bool], act: Callable[[], object]) -> None:
        """Does something once answers of a part are written, that is not done, and it holds; before their writer hears
        that they are. However fast vLLM is, there is something left then."""
        happened = threading.Event()
        self._waits = condition, act, happened
        assert happened.wait(600), log.read_text(errors="replace")[-3000:]

    def written(self, key: str) -> None:
        """By a machine."""
        if not key.startswith(job.place(ID, "answers")):
            return
        with self._one_at_a_time:
            if self._waits and self.between() and self._waits[0]():
                _, act, happened = self._waits
                self._waits = None
                act()
                happened.set()

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """Of all objects of a kind, in order."""
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=job.place(ID, kind)).get("Contents", [])
        texts = (self.s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read().decode() for one in listed)
        return [json.loads(line) for text in texts for line in text.splitlines()]

    def finished(self) -> int:
        return len(self.lines("done"))

    def between(self) -> int:
        """Answers that are kept, of parts that are not done."""
        done = {line["custom_id"] for line in self.lines("done")}
        return sum(line["custom_id"] not in done for line in self.lines("answers"))


@pytest.fixture(params=[REQUESTS])
def batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    account = Account(f"http://{host}:{port}", request.param)
    answer = DomainDispatcherApplication.__call__

    def told(self: DomainDispatcherApplication, environ: dict[str, Any], start_response: Any) -> Any:
        answered = answer(self, environ, start_response)
        if environ["REQUEST_METHOD"] == "PUT":
            account.written(environ["PATH_INFO"].removeprefix(f"/{BUCKET}/"))
        return answered

    monkeypatch.setattr(DomainDispatcherApplication, "__call__", told)
    yield account
    server.stop()


def kill_engine(session: int) -> None:
    """As when CUDA fails: the process that makes tokens is gone."""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found, _, rest = (directory / "stat").read_text().partition("(")[2].rpartition(")")
            if found.startswith("VLLM::EngineCor") and int(rest.split()[3]) == session:
                os.kill(int(directory.name), signal.SIGKILL)


class Machine:
    """Works at the batch until it is killed or nothing is left."""

    def __init__(self, batch: Account, name: str, log: Path) -> None:
        self.log = log
        runner = [str(environment()), str(DIRECTORY / "batch/runner.py")]
        arguments = [str(model()), "--served-model-name", "tiny", "--enforce-eager", "--max-model-len", "1024"]
        arguments += ["--max-num-seqs", "64", "--shutdown-timeout", "300", "--disable-uvicorn-access-log"]
        worker = [sys.executable, str(Path(__file__).with_name("batch_worker.py")), batch.url, name, str(SPAN)]
        variables = {**os.environ, **ON_CPUS, "VLLM_NO_USAGE_STATS": "1"}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*worker, *runner, *arguments],
                env=variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def said(self) -> list[str]:
        return [line for line in self.log.read_text(errors="replace").splitlines() if line.startswith("part ")]


def test_a_thousand_requests_killed_three_times(batch: Account, tmp_path: Path) -> None:
    log = tmp_path / "machines.log"
    machine = Machine(batch, "one", log)
    try:
        # The machine is taken away in the middle of its first parts.
        batch.wait_for(log, lambda: batch.between() >= 20, machine.end)

        # Another goes on; its engine dies, and the worker ends with it.
        machine = Machine(batch, "two", log)
        pid = machine.process.pid
        batch.wait_for(log, lambda: batch.finished() >= 300, lambda: kill_engine(pid))
        assert machine.process.wait(120) != 0

        # Begun anew on the same machine, the worker alone is killed: vLLM ends by itself.
        machine = Machine(batch, "two", log)
        batch.wait_for(log, lambda: batch.finished() >= 500, machine.process.kill)
        machine.process.wait(60)
        machine.end()

        machine = Machine(batch, "three", log)
        assert machine.process.wait(600) == 0
    finally:
        machine.end()
    print(*machine.said(), sep="\n")

    done = batch.lines("done")
    assert [line["custom_id"] for line in done] == [f"request-{number}" for number in range(REQUESTS)], "in order"
    wrong = [line for line in done if not job.answered(line)]
    assert [line["custom_id"] for line in wrong] == [f"request-{number}" for number in range(99, REQUESTS, 100)]
    assert {line["response"]["status_code"] for line in wrong} == {400}
    made = {
        number: line["response"]["body"]["usage"]["completion_tokens"]
        for number, line in enumerate(done)
        if line not in wrong
    }
    assert made == {number: tokens(number) for number in made}, "each is the answer to its own request"
    kept = Counter(line["custom_id"] for line in batch.lines("answers"))
    assert set(kept.values()) == {1}, "what was kept once is asked by nobody again"
    begun = [line.split() for line in machine.said()]
    assert len(begun) > 10
    assert 1000 < sum(int(words[2]) for words in begun) < 2000, "each went on with what others had left"


@pytest.mark.parametrize("batch", [600], indirect=True)
def test_a_pod_as_it_is_rendered(batch: Account, tmp_path: Path) -> None:
    """On a node that is lost, then beside an engine that dies: the next pod goes on, and so does the worker."""
    log, pods = tmp_path / "pods.log", list[Pod]()
    with pod_identity.serving(pod_identity.Store({}), "127.0.0.1") as lent_by:
        try:
            pods.append(Pod("batch-1-1-aaaaa", batch.url, lent_by, SPAN, tmp_path, log))
            batch.wait_for(log, lambda: batch.between() >= 20, pods[0].lose)
            pods.append(Pod("batch-1-1-bbbbb", batch.url, lent_by, SPAN, tmp_path, log))
            batch.wait_for(log, lambda: batch.finished() >= 100, lambda: kill_engine(pods[1].vllm))
            pods[1].worker.wait(600)
        finally:
            for pod in pods:
                pod.lose()
    said = log.read_text(errors="replace")
    assert pods[1].worker.returncode == 0, said[-3000:]
    assert pods[1].begun == 2
    assert "tandem: vLLM ended" in said
    done = batch.lines("done")
    assert [line["custom_id"] for line in done] == [f"request-{number}" for number in range(600)]
    assert sum(map(job.answered, done)) == 594
    kept = Counter(line["custom_id"] for line in batch.lines("answers"))
    assert set(kept.values()) == {1}, "what was kept once is asked by nobody again"
