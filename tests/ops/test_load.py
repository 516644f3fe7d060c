"""`tandem load` without its generator: traffic, the sweep, what a recording of aiperf says, files, questions, ends."""

from __future__ import annotations

import itertools
import json
import math
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner, Result

from tandem import checks, loads, pins
from tandem.catalog import measurements
from tandem.errors import Problem, UserError
from tandem.objectives import Objectives
from tandem.ops.cli import app
from tandem.ops.commands import load as command
from tandem.ops.commands import loaded
from tandem.ops.load import generator, report, traffic
from tandem.ops.load.measuring import Server, measurement, server_of
from tandem.ops.load.results import Measured, proposals
from tandem.ops.load.sweep import Request, Step, best, most_requests, next_rate, step
from tandem.ops.load.traffic import SHAPES, Model
from tandem.ops.screen import Screen
from tandem.ops.smoke import Target
from tandem.settings import Settings
from tandem.sizing.measured import of_model
from tests.ops import api_stand_in
from tests.ops.api_stand_in import KEY, running
from tests.ops.test_status import NOW
from tests.ops.test_top import ANSWERED, PROD, cloudwatch

RECORDED = Path(__file__).parent / "recorded/aiperf-0.13.0.jsonl"
"""Of aiperf 0.13.0 against vLLM 0.32.0, some held by tests/real/test_load.py."""
PROMISED = Objectives(first_token_seconds=2.5, between_tokens_seconds=0.1, availability=0.99)
FINE = Request(first_token=0.5, gaps=(0.02,) * 9, seconds=0.7, prompt_tokens=100, output_tokens=10)
MODEL = Model(name="m", context=8192, tokens_a_word=1.25)


def at(rate: float, kept: bool) -> Step:
    requests = [FINE if kept else replace(FINE, first_token=9.0)] * 10
    return step(rate, 10, requests, PROMISED)


# -- traffic -----------------------------------------------------------------------------------------------------------


def test_each_shape_can_be_asked_for() -> None:
    assert get_args(loaded.Shape) == tuple(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_lengths_are_those_of_the_shape(name: str) -> None:
    shape, made = SHAPES[name], [*itertools.islice(traffic.requests(SHAPES[name], MODEL, 1), 400)]
    words = [len(one["messages"][0]["content"].split()) for one in made]
    expected = shape.shared + shape.prompt.median
    assert statistics.median(words) * MODEL.tokens_a_word == pytest.approx(expected, rel=0.15)
    assert statistics.median(one["max_completion_tokens"] for one in made) == pytest.approx(
        shape.answer.median, rel=0.15
    )
    assert len({one["messages"][0]["content"] for one in made}) == 400
    assert all(one["stream"] and one["stream_options"] == {"include_usage": True} for one in made)


def test_a_shared_beginning_is_the_same_in_every_step_and_the_rest_is_not() -> None:
    one, other = (next(traffic.requests(SHAPES["rag"], MODEL, seed))["messages"][0]["content"] for seed in (1, 2))
    words = round(SHAPES["rag"].shared / MODEL.tokens_a_word)
    assert one.split()[:words] == other.split()[:words]
    assert one != other


@pytest.mark.parametrize("context", [512, 2048])
def test_a_small_model_gets_what_it_holds(context: int) -> None:
    small = Model(name="m", context=context)
    for shape in SHAPES.values():
        for one in itertools.islice(traffic.requests(shape, small, 1), 200):
            words = len(one["messages"][0]["content"].split())
            assert words + one["max_completion_tokens"] + traffic.TEMPLATE_TOKENS <= context + 2


def test_a_files_requests_go_out_as_they_are_but_streamed_to_the_model(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"messages": [], "n": 1, "model": "x"}\n\n{"messages": [1]}\n')
    sent = traffic.repeated(traffic.from_file(file), MODEL, 3, first=1)
    assert [one["messages"] for one in sent] == [[1], [], [1]]
    assert sent[1] == {
        "messages": [], "n": 1, "model": "m", "stream": True, "stream_options": {"include_usage": True}
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"prompt": "a"}'])
def test_a_file_without_requests_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match="holds no requests"):
        traffic.from_file(file)


# -- the sweep ---------------------------------------------------------------------------------------------------------

LATE = {
    "first tokens": (replace(FINE, first_token=2.6), 1),
    "gaps": (replace(FINE, gaps=(0.02,) * 8 + (0.5,)), 9),
    "failures": (replace(FINE, failed="HTTP 503"), 1),
}
"""A request that is not as promised, and how many such there may be among a hundred."""


@pytest.mark.parametrize("what", LATE)
def test_each_promise_is_kept_or_not(what: str) -> None:
    bad, allowed = LATE[what]
    assert step(1, 100, [*[FINE] * (100 - allowed), *[bad] * allowed], PROMISED).kept
    assert not step(1, 100, [*[FINE] * (99 - allowed), *[bad] * (allowed + 1)], PROMISED).kept


def test_a_step_of_failures_alone_is_not_kept() -> None:
    found = step(1, 10, [replace(FINE, failed="HTTP 401", first_token=None)] * 3, PROMISED)
    assert (found.kept, found.first_token_p99, found.failed) == (False, None, {"HTTP 401": 3})


@pytest.mark.parametrize("limit", [0.3, 1, 5, 12.4, 63])
@pytest.mark.parametrize("first", [1, 4])
def test_the_sweep_finds_the_limit(limit: float, first: float) -> None:
    found: list[Step] = []
    while (rate := next_rate(found, first)) is not None:
        found.append(at(rate, kept=rate <= limit))
        assert len(found) < 14
    held = best(found)
    assert held
    assert limit / 1.16 <= held.rate <= limit


def test_a_rate_above_one_that_was_late_is_not_the_best() -> None:
    """A lucky one."""
    assert best([at(1, True), at(2, False), at(4, True)]) == at(1, True)


def test_what_it_may_send_is_no_less_than_what_it_sends() -> None:
    found: list[Step] = []
    for _ in range(6):
        rate = next_rate(found, 0.7)
        assert rate
        found.append(at(rate, kept=True))
    assert most_requests(0.7, 10, 6) == sum(math.ceil(one.rate * 10) for one in found)


# -- the generator -----------------------------------------------------------------------------------------------------


def test_the_recording_is_read() -> None:
    found, lasted = generator.read(RECORDED.read_text().splitlines(), 11)
    kinds = Counter(one.failed for one in found)
    assert kinds[None] == 3
    assert set(kinds) <= {None, "HTTP 503", generator.EMPTY, generator.UNANSWERED}
    assert kinds[generator.UNANSWERED] == 11 - len(RECORDED.read_text().splitlines())
    answered = [one for one in found if one.failed is None]
    assert all(
        one.output_tokens == 12 and len(one.gaps) == 11 and 0 < (one.first_token or 0) < one.seconds for one in answered
    )
    assert 0 < max(one.seconds for one in found) <= lasted


def test_an_answer_without_its_count_was_cut_short() -> None:
    record = json.loads(RECORDED.read_text().splitlines()[-1])
    assert "error" not in record
    del record["metrics"]["usage_completion_tokens"]
    assert generator.read([json.dumps(record)], 1)[0][0].failed == generator.CUT
    record["metadata"]["was_cancelled"] = True
    assert generator.read([json.dumps(record)], 1)[0][0].failed == generator.UNANSWERED


PLAYED = """#!/bin/sh
out=$(dirname "$3")/out; mkdir -p "$out"
echo "$@" > "{seen}/arguments"; env > "{seen}/environment"; cp "$3" "$(dirname "$3")/requests.jsonl" "{seen}/"
{does}
"""


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A program in aiperf's place, and where it puts what it saw.

    Stands for: aiperf as a program: its arguments, the files that it reads and writes.
    Held by: tests/real/test_load.py
    """

    def play(does: str) -> Path:
        program = tmp_path / "aiperf"
        program.write_text(PLAYED.format(seen=tmp_path, does=does.format(seen=tmp_path)))
        program.chmod(0o755)
        monkeypatch.setattr(generator, "environment", lambda: tmp_path)
        return tmp_path

    return play


TARGET = Target("http://127.0.0.1:1", "tdm_secret", ca_pem="-----BEGIN")


def test_the_key_is_in_no_argument_and_no_file(played: Callable[[str], Path]) -> None:
    seen = played(f'cp {RECORDED} "$out/profile_export.jsonl"')
    found, _ = generator.send(TARGET, "m", 2, [{"messages": []}] * 9, 5)
    assert len(found) == 9
    texts = {path.name: path.read_text() for path in seen.iterdir()}
    assert "TANDEM_API_KEY=tdm_secret" in texts.pop("environment")
    assert [name for name, text in texts.items() if "tdm_secret" in text] == []
    phase = json.loads(texts["config.yaml"])["benchmark"]["phases"][0]
    assert (phase["rate"], phase["requests"], phase["duration"], phase["gracePeriod"]) == (2, 9, 9, 60)


def test_a_generator_that_measured_nothing_says_why_without_the_key(played: Callable[[str], Path]) -> None:
    played("echo 'no way to $TANDEM_API_KEY' tdm_secret; exit 1")
    with pytest.raises(UserError, match="no way to") as caught:
        generator.send(TARGET, "m", 2, [{"messages": []}], 5)
    assert "tdm_secret" not in str(caught.value)


def test_a_server_that_answers_nobody_in_time_is_measured(played: Callable[[str], Path]) -> None:
    played(f"echo 04:04 ERROR {generator.NOT_ONE}; exit 1")
    found, _ = generator.send(TARGET, "m", 2, [{"messages": []}] * 3, 5)
    assert [one.failed for one in found] == [generator.UNANSWERED] * 3


def test_interrupted_nothing_of_the_generator_is_left(played: Callable[[str], Path]) -> None:
    seen = played('sleep 300 & echo $! > "$out.child"; mv "$out.child" {seen}/child; wait')

    def waiting() -> None:
        if (seen / "child").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generator.send(TARGET, "m", 2, [{"messages": []}], 5, waiting)
    child, deadline = int((seen / "child").read_text()), time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(pid: int) -> bool:
    """A dead process that nobody has waited for is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("uv", ["/bin/uv", None])
def test_it_is_installed_by_its_hashes_into_its_own_environment(
    uv: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setattr(generator.shutil, "which", lambda _: uv)
    made, installed = generator._install(Path("/home"))
    assert "/home" in made
    assert "--require-hashes" in installed
    assert "/home/bin/python" in installed


def test_every_requirement_has_its_hash() -> None:
    text = generator.REQUIREMENTS.read_text()
    blocks = text.replace("\\\n", " ").splitlines()
    pinned = [line for line in blocks if line and not line.startswith("#")]
    assert [line for line in pinned if "==" not in line or "--hash=sha256:" not in line] == []
    assert generator.version() == RECORDED.stem.removeprefix("aiperf-")
    assert "index-url" not in text


# -- what follows ------------------------------------------------------------------------------------------------------


def test_settings_follow_from_what_was_measured() -> None:
    held = replace(at(8, True), seconds=10, output_tokens=20_000, at_once=50, first_token_p50=0.5)
    measured = Measured(servers=4, usd_per_server_hour=3.6, servers_per_host=2)
    assert dict(proposals(held, measured, 2.5, peak=21)) == {
        "runningRequestsPerReplica": 12,
        "waitingRequestsPerReplica": 4,
        "usdPerMillionTokens": 2.0,
        "replicasForPeak": 12,
        "hostsForPeak": 7,
    }
    assert dict(proposals(held, replace(measured, servers=None), 2.5, peak=21)) == {}


def test_the_page_has_each_rate_and_nothing_that_a_browser_obeys() -> None:
    text = report.page(
        "<script>", "said", report.by_rate([at(2, False), at(1, True)]), PROMISED, {"model": "<script>", "steps": []}
    )
    assert text.count("<svg") == 4
    assert text.count("<tr") == 3
    assert text.count('class="late"') == 1
    assert "<script>" not in text


def test_a_file_keeps_the_last_ones(tmp_path: Path) -> None:
    path = loads.path_of(tmp_path, "dev")
    path.parent.mkdir()
    assert loads.newest(tmp_path, "dev") is None
    for number in range(loads.KEPT + 2):
        one = {"at": f"2026-11-30T00:00:{number:02}+00:00", "kept": number % 2 == 0, "rate": None}
        path.write_text(loads.added(path, one))
    found = loads.newest(tmp_path, "dev")
    assert found
    assert (found.at, found.kept) == (datetime(2026, 11, 30, 0, 0, loads.KEPT + 1, tzinfo=UTC), False)
    assert len(loads.read(path)) == loads.KEPT
    path.write_text("{}")
    with pytest.raises(ValueError, match="holds no load tests"):
        loads.read(path)


# -- the command -------------------------------------------------------------------------------------------------------

Played = Callable[..., Result]


@pytest.fixture
def tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """The command against a URL that keeps what it promises up to 3 requests a second."""
    monkeypatch.setenv("TANDEM_API_KEY", "tdm_secret")
    monkeypatch.setattr(generator, "environment", lambda: tmp_path)
    monkeypatch.setattr(command, "ask", lambda *_: MODEL)

    def run(*words: str, ends: int | None = None, error: BaseException | None = None) -> Result:
        calls: list[float] = []

        def send(_target: Target, _model: str, rate: float, bodies: Sequence[Mapping[str, Any]], *_: object) -> object:
            calls.append(rate)
            if error and len(calls) == ends:
                raise error
            return [FINE if rate <= 3 else replace(FINE, first_token=9.0)] * len(bodies), 5.0

        monkeypatch.setattr(generator, "send", send)
        url = ["load", "--url", "http://127.0.0.1:1", "--into", str(tmp_path / "loads"), "--seconds", "5", *words]
        return CliRunner().invoke(app, url)

    return run


def test_it_keeps_what_it_found_and_exits_0(tested: Played, tmp_path: Path) -> None:
    done = tested("--yes", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert 2.6 < found["rate"] <= 3
    assert found["line"].startswith("`tandem load 127.0.0.1`: m, chat: 2.8")
    kept = loads.newest(tmp_path, "127.0.0.1")
    assert kept
    assert kept.document == found
    assert "tdm_secret" not in (tmp_path / "loads/127.0.0.1.json").read_text() + done.output
    assert (tmp_path / "loads/127.0.0.1.html").read_text().count("<svg") == 4


@pytest.mark.parametrize(("rate", "status"), [("2", 0), ("6", 1)])
def test_the_wanted_rate_decides(tested: Played, rate: str, status: int) -> None:
    assert tested("--yes", "--rate", rate, "--steps", "1").exit_code == status
    assert tested("--yes", "--rate", rate).exit_code == status


def test_without_a_yes_it_says_what_it_would_take_and_sends_nothing(tested: Played, tmp_path: Path) -> None:
    done = tested("--steps", "2", error=AssertionError("sent"), ends=1)
    assert isinstance(done.exception, UserError)
    assert "--yes" in str(done.exception)
    assert "at most: 2 rates, 6 minutes, 15 requests, about" in done.output
    assert not (tmp_path / "loads").exists()


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(128 + signal.SIGTERM), UserError(Problem(key="a", wrong="b"))]
)
def test_interrupted_it_keeps_whole_steps(tested: Played, tmp_path: Path, error: BaseException) -> None:
    first = tested("--yes", error=error, ends=1)
    assert first.exception is error if isinstance(error, UserError) else first.exit_code == 130
    assert not (tmp_path / "loads").exists()
    assert tested("--yes", error=error, ends=2).exit_code == 130
    kept = loads.newest(tmp_path, "127.0.0.1")
    assert kept
    assert (kept.document["whole"], len(kept.document["steps"])) == (False, 1)


# -- measuring ---------------------------------------------------------------------------------------------------------

ON_H200 = Settings.model_validate(
    {"region": "us-east-1", "fleet": {"instanceTypes": ["p5en.48xlarge"]}, "inference": {"model": "Qwen/Qwen3-8B"}}
)


def server(settings: Settings) -> Server | None:
    return server_of(settings, settings.inference, checks.size(settings), pins.load())


def test_a_server_is_known_by_model_card_step_and_release() -> None:
    expected = Server(
        model="Qwen/Qwen3-8B", quantization=None, card="H200", tp=2, max_num_batched_tokens=8192, vllm="0.32.0"
    )
    assert server(ON_H200) == expected
    alone = ON_H200.inference.model_copy(update={"tensor_parallel_size": 1})
    assert server(ON_H200.model_copy(update={"inference": alone})) == replace(
        expected, tp=1, max_num_batched_tokens=2048
    )
    fleet = ON_H200.fleet.model_copy(update={"instance_types": ("p5en.48xlarge", "g6.12xlarge")})
    assert server(ON_H200.model_copy(update={"fleet": fleet})) is None


def test_a_measurement_is_requests_at_once_over_their_time() -> None:
    """Eight at once, ten tokens in 0.7 s each."""
    known = server(ON_H200)
    assert known
    row = measurement(known, "2026-11-30", 4, 8, [FINE] * 40)
    assert row
    assert (row.tokens_per_second, row.tokens_per_second_each, row.at_once_each) == (114.3, 114.3 / 4, 2)
    assert (row.first_token_p99, row.between_tokens_mean, row.prompt_tokens, row.answer_tokens) == (0.5, 0.02, 100, 10)
    lost = replace(FINE, failed="HTTP 503")
    assert measurement(known, "r", 4, 8, [*[FINE] * 95, *[lost] * 5])
    assert measurement(known, "r", 4, 8, [*[FINE] * 94, *[lost] * 6]) is None
    assert measurement(known, "r", 4, 8, []) is None


@pytest.mark.parametrize(("fails_at", "status", "rows"), [(None, 0, 5), (64, 1, 2)])
def test_what_is_measured_is_added_to_what_size_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int | None, status: int, rows: int
) -> None:
    about = loaded.Stack(
        name="prod",
        promised=PROMISED,
        measured=Measured(servers=2, usd_per_server_hour=None),
        facts={},
        server=server(ON_H200),
    )
    seen: list[int] = []

    def keep(_target: Target, _model: str, at_once: int, bodies: Sequence[Mapping[str, Any]], _seconds: int) -> object:
        seen.append(at_once)
        assert len(bodies) >= 4 * at_once
        assert len({str(one["messages"]) for one in bodies}) == len(bodies)
        return [
            replace(FINE, failed="HTTP 429" if at_once == fails_at else None, prompt_tokens=1024, output_tokens=256)
        ] * 9

    monkeypatch.setattr(generator, "environment", lambda: tmp_path)
    monkeypatch.setattr(generator, "keep", keep)
    for _ in range(2):
        with pytest.raises(typer.Exit) as ended:
            command._measure(Screen(), about, TARGET, MODEL, 5, tmp_path, yes=True, as_json=False)
        assert ended.value.exit_code == status
    found = measurements.read(tmp_path / loads.MEASUREMENTS)
    assert seen[: rows + status] == [2, 16, 64, 256, 512][: rows + status]
    assert [row.at_once_each for row in found] == 2 * [1, 8, 32, 128, 256][:rows]
    assert of_model(found, "Qwen/Qwen3-8B", None) == found


def test_what_serves_behind_a_url_is_no_measurement(tested: Played) -> None:
    done = tested("--measure", "--yes")
    assert isinstance(done.exception, UserError)
    assert "what serves is not known" in str(done.exception)


def test_kept_running_no_request_is_lost_that_was_cut_off(played: Callable[[str], Path]) -> None:
    seen = played(f'cp {RECORDED} "$out/profile_export.jsonl"')
    found = generator.keep(TARGET, "m", 120, [{"messages": []}] * 300, 7)
    assert len(found) == len(RECORDED.read_text().splitlines())
    benchmark = json.loads((seen / "config.yaml").read_text())["benchmark"]
    phase = benchmark["phases"][0]
    assert (phase["type"], phase["concurrency"], phase["requests"]) == ("concurrency", 120, 300)
    assert (phase["duration"], phase["gracePeriod"], benchmark["runtime"]["workers"]) == (7, 0, 3)


@pytest.mark.clock
def test_the_model_is_asked_how_long_and_how_many_tokens_a_word(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        target = Target(api.url, KEY, api.ca_pem, 5)
        found = loaded.ask(target, None)
        assert (found.name, found.context) == (api_stand_in.MODEL, 2048)
        assert found.tokens_a_word >= 1
        with pytest.raises(UserError, match="has no such model"):
            loaded.ask(target, "another")
        with pytest.raises(UserError, match="does not answer"):
            loaded.ask(replace(target, api_key="wrong"), None)


def test_a_stack_says_what_it_promises_costs_and_whom_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "aws_clients", lambda *_: cloudwatch(ANSWERED))
    monkeypatch.setattr(loaded, "datetime", SimpleNamespace(now=lambda _: NOW))
    found = loaded.look("prod", PROD, None, None, {"first_token_seconds": 7.5, "between_tokens_seconds": None})
    assert (found.promised.first_token_seconds, found.promised.between_tokens_seconds) == (7.5, 0.1)
    assert found.measured.servers == ANSWERED["servers"][0]
    assert "IT SERVES OTHERS: 200 requests a minute" in found.warnings[0]
    assert "20 requests/s, 64 at once" in found.warnings[1]
    assert found.usd_per_hour
    assert json.loads(json.dumps(found.facts))["vllm"] == "v0.32.0"


@pytest.mark.parametrize(("name", "key"), [(None, "inference.task"), ("ranker", "models.rank.inference.task")])
def test_what_makes_no_tokens_is_not_loaded(name: str | None, key: str) -> None:
    """Nobody is asked for anything."""
    rank = {"hostName": "rank.example.com", "inference": {"servedModelName": "ranker", "task": "score"}}
    asked = {"region": "us-east-1", "inference": {"task": "embed"}, "models": {"rank": rank}}
    with pytest.raises(UserError) as refused:
        loaded.look("prod", Settings.model_validate(asked), None, name, {})
    (problem,) = refused.value.problems
    assert (problem.key, problem.allowed) == (key, "generate")


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, "not known"),
        ({"requests_a_minute": 0, "load": 0}, "nobody else"),
        ({"requests_a_minute": 812}, "IT SERVES OTHERS: 812"),
        ({"requests_a_minute": 0, "load": 3}, "IT SERVES OTHERS"),
    ],
)
def test_it_says_whom_else_the_stack_serves(now: dict[str, float], said: str) -> None:
    assert said in loaded._others(now)
