"""Suites: files that are read, mistakes that are told, and what machines are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tandem import canary
from tandem.errors import UserError
from tandem.files import ROOT
from tandem.scripts import shared
from tandem.settings.inference import InferenceSettings
from tandem.settings.observing import CanarySettings

ECHO = {"name": "echo", "messages": [{"role": "user", "content": "Say blue."}], "expect": {"exact": "blue"}}
SHIPPED = canary.read(canary.SHIPPED)


def suite(*cases: Any, **more: Any) -> canary.Suite:
    return canary.Suite.model_validate({"cases": cases, **more})


def test_the_shipped_suite_has_each_kind_of_question() -> None:
    names = [case.name for case in SHIPPED.cases]
    assert names == ["echo", "arithmetic", "roles", "json", "tool", "needle", "chat tokens", "text tokens"]
    assert jsonschema.validate(yaml.safe_load(canary.SHIPPED.read_text()), json.loads(canary.schema())) is None


def test_a_line_and_a_list_are_the_same_suite(tmp_path: Path) -> None:
    lines, listed = tmp_path / "suite.jsonl", tmp_path / "suite.yaml"
    lines.write_text(f"{json.dumps(ECHO)}\n\n")
    listed.write_text(yaml.safe_dump({"cases": [ECHO]}))
    assert canary.read(lines) == canary.read(listed) == suite(ECHO)


WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("", "valid dictionary"),
    "no YAML": ("cases: [", "cannot be read"),
    "no case": ("cases: []", "cases: Tuple should have at least 1 item"),
    "an unknown word": (json.dumps({"cases": [{**ECHO, "expects": {}}]}), "cases.0.expects: Extra inputs"),
    "two of a name": (json.dumps({"cases": [ECHO, ECHO]}), "two cases are called echo"),
    "chat and text": (json.dumps({"cases": [{**ECHO, "prompt": "a"}]}), "either messages or prompt"),
    "nothing is expected": (json.dumps({"cases": [{**ECHO, "expect": {}}]}), "expect is empty"),
    "a bad pattern": (json.dumps({"cases": [{**ECHO, "expect": {"regex": "("}}]}), "no regular expression"),
    "a schema's word that no machine knows": (
        json.dumps({"cases": [{**ECHO, "expect": {"jsonSchema": {"properties": {"a": {"oneOf": []}}}}}]}),
        "not oneOf",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_suite_is_told(what: str, tmp_path: Path) -> None:
    text, said = WRONG[what]
    (tmp_path / "suite.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        canary.read(tmp_path / "suite.yaml")
    (problem,) = error.value.problems
    assert said in problem.wrong
    assert problem.key == "canary.suite"
    assert "docs/canary.md" in problem.fix


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        canary.read(tmp_path / "suite.yaml")
    with pytest.raises(UserError, match="No such file"):
        canary.read_run(tmp_path / "run.json")


@pytest.mark.parametrize("text", ["[]", "{}", '{"cases": {"echo": {}}}', '{"cases": {"echo": {"promptTokens": "3"}}}'])
def test_what_is_no_stored_run_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match="is no stored run"):
        canary.read_run(tmp_path / "run.json")


def test_machines_know_each_word_of_a_schema_that_is_allowed() -> None:
    assert shared("canary").KEYWORDS == canary.KEYWORDS


def test_machines_know_each_check() -> None:
    words = {field.alias for field in canary.Expect.model_fields.values()}
    assert words == {*shared("canary").CHECKS, "judge", "drift"} - {"promptTokens"}
    default = canary.DriftSettings()
    assert (default.gap, default.mean) == (shared("canary").GAP, shared("canary").MEAN)


def test_a_request_is_greedy_and_has_what_its_check_needs() -> None:
    (text,) = suite({"name": "t", "prompt": "Once", "expect": {"drift": {"gap": 1}}}).cases
    assert text.request({"reasoning_effort": "none"}) == {
        "name": "t",
        "path": "/v1/completions",
        "body": {
            "temperature": 0,
            "seed": 0,
            "max_tokens": 64,
            "ignore_eos": True,
            "return_tokens_as_token_ids": True,
            "logprobs": 5,
            "prompt": "Once",
        },
        "expect": {"drift": {"gap": 1, "mean": 0.15}},
    }
    (form,) = suite({**ECHO, "expect": {"jsonSchema": {"type": "object"}}}).cases
    asked = form.request({"reasoning_effort": "none"})["body"]
    assert asked["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert asked["reasoning_effort"] == "none"


def test_a_cases_own_words_come_before_the_suites() -> None:
    (own,) = suite({**ECHO, "body": {"reasoning_effort": "low", "max_tokens": 7}}).cases
    body = own.request({"reasoning_effort": "none"})["body"]
    assert (body["reasoning_effort"], body["max_tokens"]) == ("low", 7)


@pytest.mark.parametrize(
    ("settings", "out"),
    [
        ({}, ["tool"]),
        ({"toolCallParser": "hermes"}, []),
        ({"toolCallParser": "hermes", "maxModelLen": 4096}, []),
        ({"maxModelLen": 2048}, ["tool", "needle"]),
    ],
)
def test_what_a_model_cannot_be_asked_is_left_out(settings: dict[str, Any], out: list[str]) -> None:
    requests, left_out = canary.asked(SHIPPED, InferenceSettings.model_validate(settings))
    assert left_out == out
    assert len(requests) == len(SHIPPED.cases) - len(out)


def document(**settings: Any) -> dict[str, Any]:
    return json.loads(canary.document(CanarySettings.model_validate(settings), InferenceSettings()))


def test_machines_are_given_what_was_set() -> None:
    assert (document()["gate"], document()["every"], document()["stored"]) == (True, 3600, None)


def test_what_has_no_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "ROOM", 100)
    with pytest.raises(UserError, match="too large for machines"):
        document()


def test_the_schema_for_editors_is_of_this_tree() -> None:
    assert (ROOT / "docs/canary.schema.json").read_text() == canary.schema()
