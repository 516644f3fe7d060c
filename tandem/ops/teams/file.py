"""The file of teams: what it may say, and every mistake in it at once. Pure but for reading it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from tandem.errors import Problem, UserError
from tandem.settings import Settings, engine_yaml
from tandem.settings.parsing import HIDDEN, describe, innermost, resolve
from tandem.settings.section import Section
from tandem.settings.types import Allowed, Instant


def _named(name: str) -> str:
    if not re.fullmatch(rf"(?!{_KEYS})[a-z0-9]([a-z0-9-]{{0,38}}[a-z0-9])?", name):
        raise ValueError("is no name")
    return name


_KEYS = "sk-"
"""How keys begin, wherever somebody typed one."""
Name = Annotated[
    str,
    AfterValidator(_named),
    Allowed(f"lower case a to z, digits and -, up to 40 characters; no - at an end, no {_KEYS} at the beginning"),
]
Model = Annotated[str, Field(max_length=300), Allowed("the name of a model, as clients send it")]
"""Held against those that the gateway has: a provider's have a colon, which no served name has."""
_SHOWN = 200
"""Characters of a wrong value, which may be a whole file."""
EXAMPLE = "docs/gateway.md#teams-as-code has an example"


class BudgetSection(Section):
    """US dollars; after them requests are refused until the period is over."""

    usd: float = Field(gt=0, le=1_000_000, allow_inf_nan=False)
    per: Literal["day", "week", "month"] | None = None


class LimitsSection(Section):
    """What a team and a key have alike; unset: no limit, and all models.

    Attributes:
        models: by the names that clients send.
        requests_per_minute, tokens_per_minute: above these 429.
    """

    models: tuple[Model, ...] | None = Field(default=None, min_length=1, max_length=100)
    budget: BudgetSection | None = None
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    tokens_per_minute: int | None = Field(default=None, ge=1, le=1_000_000_000)


class KeySection(LimitsSection):
    """A key of a team, within what that has. From `until` on it is refused."""

    until: Instant | None = None


class TeamSection(LimitsSection):
    """A team, with its keys by name."""

    keys: dict[Name, KeySection] = Field(default_factory=dict, max_length=500)


class Teams(Section):
    """All teams that are made by the file."""

    teams: dict[Name, TeamSection] = Field(max_length=1000)


def read(path: Path, settings: Settings) -> Teams:
    """The teams of a file, held against the models of a stack.

    Raises:
        UserError: with every mistake found; what begins as a key does is not shown.
    """
    try:
        document = engine_yaml.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        why = getattr(error, "strerror", None) or (
            "it is no UTF-8" if isinstance(error, UnicodeError) else _line(error)
        )
        raise _no_file(path, f"cannot be read: {why}") from None
    if not isinstance(document, dict):
        found = "it is empty" if document is None else f"a {type(document).__name__} is where a mapping belongs"
        raise _no_file(path, f"is no file of teams: {found}")
    try:
        made = Teams.model_validate(document)
    except ValidationError as error:
        raise UserError(*innermost([_problem(entry) for entry in error.errors(include_url=False)])) from None
    if problems := [*_of_models(made, gateway_models(settings))]:
        raise UserError(*problems)
    return made


def gateway_models(settings: Settings) -> tuple[str, ...]:
    """All that a client may ask the gateway for, by name."""
    assert settings.gateway
    fallback = settings.gateway.fallback
    cloud = [fallback.model] if fallback and "failing" in fallback.when else []
    return tuple(dict.fromkeys([*settings.names_served, *settings.gateway.models, *cloud]))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _no_file(path: Path, wrong: str) -> UserError:
    allowed = "YAML with a `teams:` mapping; `teams: {}` for none"
    return UserError.of(key=path.name, wrong=wrong, allowed=allowed, fix=EXAMPLE)


def _problem(entry: Any) -> Problem:
    of_name = entry["loc"][-1:] == ("[key]",)
    path, parents, field = resolve([str(part) for part in entry["loc"] if part != "[key]"], Teams)
    key, value = ".".join(path), entry["input"]
    if _KEYS in str(value) or (of_name and _KEYS in key):
        key, value = (HIDDEN if of_name else key), HIDDEN
    if entry["type"] == "too_long" and isinstance(value, dict):
        value = f"{len(value)} of them"
    if len(text := value if isinstance(value, str) else repr(value)) > _SHOWN:
        value = f"{text[:_SHOWN]}... ({len(text):,} characters)"
    if value is None and entry["type"] != "missing":
        return Problem(key=key, wrong="is empty", allowed=_allowed(field), fix="`{}` for a mapping, or take it out")
    if entry["type"] == "missing":
        return Problem(key=key, wrong="must be set", allowed=_allowed(field), fix=EXAMPLE)
    if entry["type"] == "extra_forbidden":
        names = _names(parents)
        nearest = get_close_matches(path[-1], names, n=1, cutoff=0.7)
        fix = f"did you mean {nearest[0]}?" if nearest else "take it out; keys' values are never in the file"
        return Problem(key=key, wrong="there is no such field", value=value, allowed=", ".join(names), fix=fix)
    if of_name:
        fix = "name it otherwise" if isinstance(value, str) else "put it in quotes, or name it otherwise"
        return Problem(key=key, wrong="is no name", value=value, allowed=describe(Name), fix=fix)
    return Problem(key=key, wrong="is not a valid value", value=value, allowed=_allowed(field), fix="correct it")


def _names(section: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _allowed(field: Any) -> str:
    return "a mapping" if field is None else describe(field.annotation, tuple(field.metadata))


def _of_models(made: Teams, known: Sequence[str]) -> Iterator[Problem]:
    for name, team in made.teams.items():
        yield from _unknown(f"teams.{name}.models", team.models, known, "names that this stack's gateway has")
        for key, one in team.keys.items():
            allowed = known if team.models is None else team.models
            yield from _unknown(f"teams.{name}.keys.{key}.models", one.models, allowed, "models of its team")


def _unknown(key: str, models: Sequence[str] | None, allowed: Sequence[str], what: str) -> Iterator[Problem]:
    for model in models or ():
        if model not in allowed:
            yield Problem(
                key=key,
                wrong="there is no such model" if what.startswith("names") else "is no model of the key's team",
                value=model,
                allowed=f"{what}: {', '.join(allowed)}",
                fix="the name that clients send as `model`",
            )
