"""A pod of a batch: the worker whose vLLM another container has, which is begun anew whatever ends it; S3 by moto."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import batch as machine
import bucket as buckets
import in_pod
import job
import pytest
from begun import ID, RUNNER, begin, done
from begun import bucket as bucket


@pytest.fixture
def pod(bucket: buckets.Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """And what a kubelet does: it starts the runner each time that it ends, and ends it when the worker has."""
    told = {"url": bucket.url, "region": bucket.region, "at_once": 64}
    monkeypatch.setenv("TANDEM_BATCH", json.dumps(told))
    monkeypatch.setenv("TANDEM_POD", json.dumps({"launch_seconds": 60}))
    monkeypatch.setenv("HOSTNAME", "batch-1-1-abcde")
    monkeypatch.setattr(in_pod, "PLACE", tmp_path)
    monkeypatch.setattr(in_pod, "LOCAL", tmp_path)
    monkeypatch.setattr(in_pod.role, "_credentials", bucket.credentials)
    monkeypatch.setattr(in_pod.signal, "signal", lambda *_: None)
    over, ran = threading.Event(), []

    def kubelet() -> None:
        while not over.is_set():
            (tmp_path / "opened").unlink(missing_ok=True)
            with subprocess.Popen([*RUNNER, str(tmp_path / machine.SOCKET)], stderr=subprocess.DEVNULL) as runner:
                ran.append(runner)
                while runner.poll() is None and not over.wait(0.02):
                    pass
                runner.kill()

    thread = threading.Thread(target=kubelet)
    yield SimpleNamespace(start=thread.start, ran=ran)
    over.set()
    if thread.ident:
        thread.join(60)


def test_what_ends_vllm_is_found_beside_one_worker(
    bucket: buckets.Bucket, pod: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "starts").write_text("[1, 0]")
    begin(bucket, ["r1", "poison", "r2"])
    pod.start()
    assert in_pod.main() == 0
    codes = {line["custom_id"]: (line["error"] or {}).get("code") for line in done(bucket)}
    assert codes == {"r1": None, "poison": "gave_up", "r2": None}
    said = capsys.readouterr().err
    assert said.count("vLLM ended") == machine.TRIES
    assert "the batch is done" in said
    assert [*bucket.list(job.place(ID, "machines"))] == [job.place(ID, "machines", "batch-1-1-abcde", ".json")]
    assert (tmp_path / "opened").exists(), "what looks at vLLM's start sees it"
    assert not (tmp_path / "starts").exists()


def test_where_no_batch_is_it_ends_at_once(bucket: buckets.Bucket, pod: SimpleNamespace) -> None:
    assert in_pod.main() == 0
    assert pod.ran == []


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (machine.Hangs("vLLM gave no answer for 1800 s"), "no answer"),
        (machine.NotStarted("vLLM did not start"), "did not start"),
        (in_pod.GiveUp("part 1 is not there"), "part 1"),
    ],
)
def test_what_another_pod_may_mend_ends_it_with_an_error(
    bucket: buckets.Bucket,
    pod: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raised: Exception,
    said: str,
) -> None:
    def run(*_: Any) -> str:
        raise raised

    monkeypatch.setattr(machine, "run", run)
    assert in_pod.main() == 1
    assert said in capsys.readouterr().err


def test_without_a_role_it_says_so(pod: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> Callable[..., Any]:
        raise KeyError("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")

    monkeypatch.setattr(in_pod.role, "_credentials", nothing)
    with pytest.raises(RuntimeError, match="this container has no role"):
        in_pod.credentials()


def test_a_sigterm_keeps_what_is_answered(bucket: buckets.Bucket, pod: SimpleNamespace) -> None:
    """As a kubelet ends a pod on a node that goes: the worker first. It begins a third part once it has 72 answers."""
    begin(bucket, [f"r{number}" for number in range(90)] + ["mute"] + [f"r{number}" for number in range(90, 300)])
    program = f"import sys; sys.path[:0] = {sys.path!r}; import role; role._credentials = lambda: ['k', 's', 't']; "
    program += f"import in_pod, pathlib; in_pod.PLACE = in_pod.LOCAL = pathlib.Path({str(in_pod.PLACE)!r}); "
    program += "raise SystemExit(in_pod.main())"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as worker:
        pod.start()
        while len(bucket.list(job.place(ID, "claims"))) < 3:
            assert worker.poll() is None
        worker.terminate()
        assert worker.wait(60) == 1
    kept = [line for key in bucket.list(job.place(ID, "answers")) for line in job.lines((bucket.get(key) or ("",))[0])]
    assert 72 <= len(kept) <= 90
    assert done(bucket) == []
