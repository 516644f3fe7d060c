"""aiperf, the load generator: installed on first use into an environment of its own, called once for each rate.

docs/decisions/0017-load-generator.md says why it. The key goes through the environment, not through an argument or
a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem.errors import UserError
from tandem.ops.endpoint import KEY_VARIABLE
from tandem.ops.load.sweep import Request
from tandem.ops.smoke import Target

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
GRACE_SECONDS = 60
"""So long after the last request was due may one still be answered; what is not by then counts as failed."""
STARTS_SECONDS = 120
"""aiperf's processes are there after five seconds; on a busy machine after so long at most, or it gives up."""
NOT_ONE = "No profile results to export"
"""In aiperf's log where it was well, and no request was answered in time."""
WORKER_RATE = 50
"""Requests a second of one of aiperf's processes; each takes two seconds of a processor to begin."""
UNANSWERED, CUT, EMPTY = "not answered in time", "cut short", "no token (refused inside the stream, or an empty answer)"
_TOKENIZER = {
    "config.json": {"model_type": "llama"},
    "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
    "tokenizer.json": {
        "version": "1.0",
        "added_tokens": [],
        "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
    },
}
"""aiperf wants one, also where the server counts; this asks no hub for the model's own."""


def version() -> str:
    """Of aiperf, as it is pinned."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("aiperf==").split()[0] for line in lines if line.startswith("aiperf=="))


def environment() -> Path:
    """aiperf's directory of programs; made on first use, a minute and 0.8 GB, and made anew when the pins change.

    Raises:
        UserError: it could not be installed.
    """
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tandem-load"
    home = base / f"aiperf-{version()}-{digest}"
    if not home.is_dir():
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=base) as scratch:
            made = Path(scratch, "made")
            for command in _install(made):
                _run(command)
            with contextlib.suppress(OSError):  # another process was first
                made.rename(home)
    return home / ("Scripts" if os.name == "nt" else "bin")


def _install(home: Path) -> list[list[str]]:
    python = str(home / "bin/python")
    wanted = ["--require-hashes", "-r", str(REQUIREMENTS)]
    if uv := os.environ.get("UV") or shutil.which("uv"):
        venv = [uv, "venv", "-q", "--relocatable", "--python", sys.executable, str(home)]
        return [venv, [uv, "pip", "install", "-q", "--no-deps", "--python", python, *wanted]]
    return [
        [sys.executable, "-m", "venv", str(home)],
        [python, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", *wanted],
    ]


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError.of(
            key="aiperf",
            wrong=f"`{' '.join(command[:3])} …` failed",
            value=done.stderr.strip()[-500:],
            allowed="Python 3.11 to 3.13 with uv, or with venv and pip, and a way to a package index",
            fix="mend what it says, or run the same command where packages can be installed",
        )


@dataclass(frozen=True)
class Pace:
    """How requests come.

    Attributes:
        phase: aiperf's words for it.
        workers: processes that send them.
    """

    phase: Mapping[str, Any]
    workers: int


def at_rate(rate: float, count: int, seconds: float) -> Pace:
    """At random moments (Poisson); it ends GRACE_SECONDS after so long, or after twice its requests' time."""
    phase = {"type": "poisson", "rate": rate, "gracePeriod": GRACE_SECONDS, "duration": max(seconds, 2 * count / rate)}
    return Pace({**phase, "requests": count}, math.ceil(rate / WORKER_RATE))


def kept_running(at_once: int, count: int, seconds: float) -> Pace:
    """So many at once, the next one when one ends; those that run when the time is up are cut off and not counted."""
    phase = {"type": "concurrency", "concurrency": at_once, "gracePeriod": 0, "duration": seconds}
    return Pace({**phase, "requests": count}, math.ceil(at_once / WORKER_RATE))


def configuration(target: Target, model: str, pace: Pace, directory: Path) -> dict[str, Any]:
    """What aiperf reads: requests word for word from a file."""
    return {
        "schemaVersion": "2.0",
        "benchmark": {
            "model": model,
            "endpoint": {
                "url": target.url,
                "type": "chat",
                "streaming": True,
                "apiKey": f"${{{KEY_VARIABLE}}}",
                "useServerTokenCount": True,
                "timeout": target.timeout_seconds,
            },
            "dataset": {"type": "file", "path": str(directory / "requests.jsonl"), "format": "raw_payload"},
            "phases": [{"name": "profiling", **pace.phase}],
            "artifacts": {"dir": str(directory / "out"), "summary": ["json"], "records": ["jsonl"]},
            "tokenizer": {"name": str(directory / "tokenizer")},
            "gpuTelemetry": {"enabled": False},
            "serverMetrics": {"enabled": False},
            "runtime": {"ui": "none", "workers": pace.workers, "recordProcessors": pace.workers},
        },
    }


def send(
    target: Target,
    model: str,
    rate: float,
    bodies: Sequence[Mapping[str, Any]],
    seconds: float,
    waiting: Callable[[], None] = lambda: None,
) -> tuple[list[Request], float]:
    """Sends them at a rate; what became of each, and the seconds from the first to the end of the last.

    Args:
        seconds: that the step is meant to take.
        waiting: called a few times a second meanwhile.

    Raises:
        UserError: aiperf could not be installed, or measured nothing.
    """
    return read(_records(target, model, at_rate(rate, len(bodies), seconds), bodies, waiting), len(bodies))


def keep(
    target: Target,
    model: str,
    at_once: int,
    bodies: Sequence[Mapping[str, Any]],
    seconds: float,
    waiting: Callable[[], None] = lambda: None,
) -> list[Request]:
    """Keeps so many running; what became of those that ended in time. Arguments and errors are those of `send`."""
    lines = _records(target, model, kept_running(at_once, len(bodies), seconds), bodies, waiting)
    return read(lines, len(lines))[0]


def _records(
    target: Target, model: str, pace: Pace, bodies: Sequence[Mapping[str, Any]], waiting: Callable[[], None]
) -> list[str]:
    programs = environment()
    with tempfile.TemporaryDirectory(prefix="tandem-load-") as scratch:
        directory = Path(scratch)
        _write(directory, target, configuration(target, model, pace, directory), bodies)
        command = [str(programs / "aiperf"), "profile", "--config", str(directory / "config.yaml")]
        with (directory / "log").open("wb") as log:
            _follow(command, _variables(target, directory), log, waiting)
        records = directory / "out" / "profile_export.jsonl"
        if records.exists():
            return records.read_text(encoding="utf-8").splitlines()
        said = (directory / "log").read_text(errors="replace")
        if NOT_ONE in said:
            return []
        raise _measured_nothing(target.redact(said))


def _write(directory: Path, target: Target, settings: Mapping[str, Any], bodies: Iterable[Mapping[str, Any]]) -> None:
    (directory / "tokenizer").mkdir()
    for name, document in _TOKENIZER.items():
        (directory / "tokenizer" / name).write_text(json.dumps(document), encoding="utf-8")
    (directory / "requests.jsonl").write_text("".join(f"{json.dumps(body)}\n" for body in bodies), encoding="utf-8")
    (directory / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
    if target.ca_pem:
        (directory / "ca.pem").write_text(target.ca_pem, encoding="utf-8")


def _variables(target: Target, directory: Path) -> dict[str, str]:
    """With the key and the authority; nothing is kept in the user's caches, no hub is asked, and a busy machine may
    take its time to begin."""
    trusted = {"SSL_CERT_FILE": str(directory / "ca.pem")} if target.ca_pem else {}
    patience = {f"AIPERF_SERVICE_{name}_TIMEOUT": str(STARTS_SECONDS) for name in ("REGISTRATION", "START")}
    own = {"HF_HOME": str(directory / "hub"), "TMPDIR": str(directory), KEY_VARIABLE: target.api_key}
    kept = {"AIPERF_DATASET_MMAP_CACHE_ENABLED": "false"}
    return {**os.environ, **patience, **kept, **own, **trusted}


def _follow(command: Sequence[str], variables: Mapping[str, str], log: Any, waiting: Callable[[], None]) -> None:
    """Until it ends; it and all that it started end with us."""
    process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
    try:
        while process.poll() is None:
            waiting()
            time.sleep(0.2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read(lines: Sequence[str], count: int) -> tuple[list[Request], float]:
    """aiperf's records of single requests; one of which there is no record was not answered in time."""
    records = [json.loads(line) for line in lines]
    times = [(one["metadata"]["request_start_ns"], one["metadata"]["request_end_ns"]) for one in records]
    lasted = (max(end for _, end in times) - min(start for start, _ in times)) / 1e9 if times else 0.0
    lost = Request(first_token=None, gaps=(), seconds=lasted, prompt_tokens=0, output_tokens=0, failed=UNANSWERED)
    return [*map(_request, records), *[lost] * (count - len(records))], lasted


def _request(record: Mapping[str, Any]) -> Request:
    told = {name: one["value"] for name, one in record["metrics"].items()}
    head = record["metadata"]
    return Request(
        first_token=told["time_to_first_token"] / 1000 if "time_to_first_token" in told else None,
        gaps=[gap / 1000 for gap in told.get("inter_chunk_latency", ())],
        seconds=(head["request_end_ns"] - head["request_start_ns"]) / 1e9,
        prompt_tokens=int(told.get("usage_prompt_tokens", 0)),
        output_tokens=int(told.get("usage_completion_tokens", 0)),
        failed=_failure(head, record.get("error"), "usage_completion_tokens" in told),
    )


def _failure(head: Mapping[str, Any], error: Mapping[str, Any] | None, counted: bool) -> str | None:
    """A stream that breaks off with an error event is an answer to aiperf; the server counts only at the end of one."""
    if head.get("was_cancelled"):
        return UNANSWERED
    if error:
        status = error.get("code")
        return (
            f"HTTP {status}" if status else EMPTY if error["type"] == "InvalidInferenceResultError" else error["type"]
        )
    return None if counted else CUT


def _measured_nothing(log: str) -> UserError:
    return UserError.of(
        key="aiperf",
        wrong="measured nothing",
        value=log.strip()[-800:],
        allowed="an API that answers, and Python 3.11 to 3.13",
        fix="`tandem smoke` says whether the API is well",
    )
