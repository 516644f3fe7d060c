"""Suites of a canary: what their files may hold, and what machines are given of them. Pure but for reading files.

cloud-init/shared/canary.py asks the questions, on machines and for `tandem canary` alike.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from tandem.errors import Problem, UserError
from tandem.files import PROJECT
from tandem.settings.inference import InferenceSettings
from tandem.settings.observing import CanarySettings
from tandem.settings.section import Section

SHIPPED = Path(__file__).with_name("canary.yaml")
"""The suite of who has none."""
KEYWORDS = {
    *("type", "enum", "const", "properties", "required", "additionalProperties", "items"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "pattern", "title", "description"),
}
"""Of JSON Schema, which a machine without a library for it knows."""
CHAT, COMPLETION = "/v1/chat/completions", "/v1/completions"
LIKELIEST = 5
"""Tokens in each place that are told: where two runs part, each other's token is looked for among them."""
ROOM = 512 << 10
"""Bytes: a ConfigMap, which pods read it from, takes 1 MiB."""

JsonSchema = dict[str, Any]


class ToolSettings(Section):
    """A tool that must be called."""

    name: str = Field(description="Of the function.")
    arguments: JsonSchema = Field(default_factory=dict, description="JSON Schema of its arguments.")

    _known = field_validator("arguments")(lambda schema: _checked(schema))


class DriftSettings(Section):
    """How far greedy tokens may be from those of the stored run."""

    gap: float = Field(
        default=0.5,
        gt=0,
        le=10,
        description="Nats by which either run may prefer its token where they first part: a tie, not another opinion.",
    )
    mean: float = Field(
        default=0.15, gt=0, le=10, description="Nats by which the tokens before are more or less likely, on average."
    )


class Expect(Section):
    """What an answer must be; all that is named. What a model thought aloud (`</think>`) is not part of it."""

    exact: str | None = Field(default=None, description="The whole answer, but for space around it.")
    contains: tuple[str, ...] = Field(default=(), max_length=20, description="Each of these is in it.")
    regex: str | None = Field(default=None, description="Python's regular expression that is found in it.")
    json_schema: JsonSchema | None = Field(
        default=None, description="It is JSON of this schema, which the request asks for unless it has response_format."
    )
    tool: ToolSettings | None = Field(default=None, description="The first tool that it calls.")
    finish: Literal["stop", "length", "tool_calls"] | None = Field(default=None, description="Why it ended.")
    judge: str | None = Field(default=None, description="What the judge of the settings must find true of it.")
    drift: DriftSettings | None = Field(
        default=None, description="Greedy tokens are those of the stored run, within these bounds; {} for the default."
    )

    _known = field_validator("json_schema")(lambda schema: _checked(schema) if schema else schema)

    @field_validator("regex")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return pattern


class Needs(Section):
    """Without which a case is left out."""

    tools: bool = Field(default=False, description="inference.toolCallParser is set.")
    context: int = Field(default=0, ge=0, description="inference.maxModelLen is unset, or so many tokens.")


class Case(Section):
    """A request, and what is expected of its answer."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9 -]{0,39}$", description="Its own in the suite.")
    messages: tuple[dict[str, Any], ...] = Field(default=(), description="A chat, as the API takes it.")
    prompt: str | None = Field(default=None, description="Or a text to go on with, without a chat template.")
    filler: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="Words in the place of {filler} in the messages; the prompt must then have as many tokens.",
    )
    body: dict[str, Any] = Field(default_factory=dict, description="More of the request, such as tools.")
    needs: Needs = Field(default_factory=Needs, description="Without which it is left out.")
    expect: Expect = Field(description="Of the answer.")

    @model_validator(mode="after")
    def _asks_and_expects(self) -> Case:
        if bool(self.messages) == (self.prompt is not None):
            raise ValueError("either messages or prompt")
        if not self.expect.model_dump(exclude_defaults=True):
            raise ValueError("expect is empty")
        return self

    def request(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """As machines are given it: greedy, and with the tokens of an answer that is compared.

        Args:
            more: of each chat.
        """
        wanted = self.expect.model_dump(by_alias=True, exclude_defaults=True)
        body: dict[str, Any] = {"temperature": 0, "seed": 0, "max_tokens": 1024}
        if self.expect.drift is not None:
            logprobs = {"logprobs": True, "top_logprobs": LIKELIEST} if self.messages else {"logprobs": LIKELIEST}
            wanted["drift"] = self.expect.drift.model_dump()
            # Tokens by number: two may read alike. To the end: an answer that stops sooner has fewer to compare.
            body |= {"max_tokens": 64, "ignore_eos": True, "return_tokens_as_token_ids": True, **logprobs}
        if schema := self.expect.json_schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        if self.filler:
            wanted["promptTokens"] = self.filler
        asked = {"messages": [*self.messages], **more} if self.messages else {"prompt": self.prompt}
        return {
            "name": self.name,
            "path": CHAT if self.messages else COMPLETION,
            "body": {**body, **asked, **self.body},
            "expect": wanted,
            **({"filler": self.filler} if self.filler else {}),
        }


class Suite(Section):
    """A canary's questions."""

    body: dict[str, Any] = Field(default_factory=dict, description="More of each chat, unless its case says otherwise.")
    cases: tuple[Case, ...] = Field(min_length=1, max_length=200, description="Asked one after the other.")

    @model_validator(mode="after")
    def _names_differ(self) -> Suite:
        names = [case.name for case in self.cases]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two cases are called {double[0]}")
        return self


def _checked(schema: JsonSchema) -> JsonSchema:
    """Raises ValueError for what a machine would take no notice of."""
    if unknown := sorted(set(_words(schema)) - KEYWORDS):
        raise ValueError(f"of JSON Schema a canary knows {', '.join(sorted(KEYWORDS))}, not {unknown[0]}")
    return schema


def _words(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from schema
    inner = [schema.get("items"), schema.get("additionalProperties"), *(schema.get("properties") or {}).values()]
    for one in inner:
        if isinstance(one, dict):
            yield from _words(one)


def read(path: Path, key: str = "canary.suite") -> Suite:
    """A suite of a file: YAML with `cases`, or JSONL with a case a line.

    Raises:
        UserError: it is none; with what is wrong, and where.
    """
    allowed = "`cases:` in YAML, or a case a line in JSONL, as docs/canary.schema.json says"
    fix = f"see docs/canary.md; {SHIPPED.name} beside it is one"
    try:
        text = path.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.strip()] if path.suffix == ".jsonl" else []
        return Suite.model_validate({"cases": lines} if lines else yaml.load(text, yaml.CSafeLoader))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = Problem(key=key, wrong=f"{path.name}, {where}: {first['msg']}", allowed=allowed, fix=fix)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        problem = Problem(key=key, wrong=f"cannot be read: {reason}", value=str(path), allowed=allowed, fix=fix)
    raise UserError(problem)


def read_run(path: Path, key: str = "canary.run") -> dict[str, Any]:
    """A stored run, by case.

    Raises:
        UserError: it is none.
    """
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        if all(isinstance(one["promptTokens"], int) for one in cases.values()):
            return cases
        why = "no promptTokens"
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        why = getattr(error, "strerror", None) or str(error)
    allowed = "what `tandem canary --record FILE` writes"
    raise UserError.of(key=key, wrong=f"is no stored run: {why}", value=str(path), allowed=allowed)


def suite_of(settings: CanarySettings) -> Suite:
    """Raises UserError, as `read`."""
    return read(PROJECT / settings.suite if settings.suite else SHIPPED)


def run_of(settings: CanarySettings) -> dict[str, Any] | None:
    """Raises UserError, as `read_run`."""
    return read_run(PROJECT / settings.run) if settings.run else None


def asked(suite: Suite, inference: InferenceSettings | None) -> tuple[list[dict[str, Any]], list[str]]:
    """The requests, and the names of cases that are left out.

    Args:
        inference: of the model; None where nobody knows, and nothing is left out.
    """
    out = [case.name for case in suite.cases if inference and not _has(inference, case.needs)]
    return [case.request(suite.body) for case in suite.cases if case.name not in out], out


def _has(inference: InferenceSettings, needs: Needs) -> bool:
    context = inference.max_model_len
    return not (needs.tools and not inference.tool_call_parser) and (context is None or context >= needs.context)


def document(settings: CanarySettings, inference: InferenceSettings) -> str:
    """What a model's machines read.

    Raises:
        UserError: a file is missing or wrong, or both have no room.
    """
    suite, _ = asked(suite_of(settings), inference)
    found = {
        "suite": suite,
        "model": inference.served_name,
        "stored": run_of(settings),
        "judge": settings.judge.model_dump(by_alias=True) if settings.judge else None,
        "every": int(settings.every.total_seconds()),
        "gate": settings.gate,
    }
    text = json.dumps(found, separators=(",", ":"))
    if len(text) > ROOM:
        wrong, value = "suite and stored run are too large for machines", f"{len(text):,} bytes"
        raise UserError.of(key="canary", wrong=wrong, value=value, allowed=f"up to {ROOM:,} bytes")
    return text


def schema() -> str:
    """Of a suite's file, for editors."""
    made = Suite.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **made}, indent=2) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema(), encoding="utf-8")
