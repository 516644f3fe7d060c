"""The runner: ledger, retries with backoff, deadlines, the last line on the console."""

from __future__ import annotations

import json

import pytest
from scripts import Load


def ledger(root) -> list[dict]:
    return [json.loads(line) for line in (root / "var/lib/tandem/ledger.jsonl").read_text().splitlines()]


def test_a_stage_that_works_leaves_one_line(load: Load) -> None:
    scripts = load()
    scripts.host.attempt("driver", lambda: "580 was there", 60)
    (entry,) = ledger(scripts.root)
    assert entry | {"start": "", "seconds": 0} == {
        "stage": "driver", "start": "", "seconds": 0, "outcome": "done", "attempts": 1, "detail": "580 was there",
    }  # fmt: skip
    assert len(entry["start"]) == len("2026-11-21T00:00:00Z")


def test_pauses_double_and_the_deadline_ends_them(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    clock, pauses = [1000.0], []
    monkeypatch.setattr(scripts.host.time, "monotonic", lambda: clock[0])

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(scripts.host.time, "sleep", sleep)

    def fail() -> str:
        raise RuntimeError("mirror is down")

    with pytest.raises(SystemExit):
        scripts.host.attempt("toolkit", fail, 100)
    assert pauses == [2, 4, 8, 16, 30, 30, 10]
    (entry,) = ledger(scripts.root)
    assert (entry["outcome"], entry["attempts"], entry["detail"]) == ("gave up", 7, "RuntimeError: mirror is down")
    assert (scripts.root / "dev/console").read_text().startswith("tandem: toolkit: gave up after 7 attempts in ")


def test_what_cannot_be_mended_is_not_tried_again(load: Load) -> None:
    scripts = load()

    def refuse() -> str:
        raise scripts.host.GiveUp("the key is not the pinned one")

    with pytest.raises(SystemExit):
        scripts.host.attempt("driver", refuse, 100)
    assert ledger(scripts.root)[0]["attempts"] == 1


def test_a_command_ends_at_the_deadline(load: Load) -> None:
    scripts = load()
    with scripts.host.deadline(0.2), pytest.raises(RuntimeError, match="sleep 30: no end before the deadline"):
        scripts.host.sh("sleep", "30")


def test_a_failed_command_says_its_last_lines(load: Load) -> None:
    scripts = load()
    with pytest.raises(RuntimeError, match=r"sh -c .*: exit 3: b \| c \| d$"):
        scripts.host.sh("sh", "-c", "printf 'a\\nb\\nc\\nd\\n' >&2; exit 3")


def test_nested_deadlines_keep_the_sooner_one(load: Load) -> None:
    scripts = load()
    with scripts.host.deadline(10), scripts.host.deadline(1000):
        assert 9 < scripts.host.left() <= 10
    assert scripts.host.left() == 86400


def test_a_file_is_replaced_whole_with_its_mode(load: Load) -> None:
    scripts = load()
    path = scripts.root / "run/tandem/secrets/vllm.yaml"
    scripts.host.write(path, "one", 0o440)
    scripts.host.write(path, "two", 0o440)
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o440


def test_another_key_than_the_pinned_one_is_refused(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.packages, "fetch", lambda url: "a key")
    monkeypatch.setattr(scripts.packages, "sh", lambda *command, **_: f"fpr:::::::::{'A' * 40}:\n")
    with pytest.raises(scripts.host.GiveUp, match="EB693B3035CD5710E231E123A4B469963BF863CC"):
        scripts.packages.add_repositories()
    assert not list((scripts.root / "etc").glob("apt/**/*.list"))


def test_what_works_at_the_third_attempt_says_so(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.host.time, "sleep", lambda seconds: None)
    answers = iter([RuntimeError("busy"), RuntimeError("busy"), "580 is there"])

    def install() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    scripts.host.attempt("driver", install, 60)
    (entry,) = ledger(scripts.root)
    assert (entry["outcome"], entry["attempts"], entry["detail"]) == ("done", 3, "580 is there")
