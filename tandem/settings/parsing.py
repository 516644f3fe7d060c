"""Turns Pulumi's configuration, or a stack file, into Settings; every mistake is a Problem, all reported at once.

Each value for itself: what must hold between them is in tandem/rules/.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from tandem.errors import Problem, UserError
from tandem.settings import engine_yaml
from tandem.settings.commands import NAMESPACE, below
from tandem.settings.schema import Settings
from tandem.settings.section import Section
from tandem.settings.types import Allowed, NotThere

SECRET_KEYS = ("huggingFaceToken",)
FORMER = {
    "apiKeys": "`pulumi config rm tandem:apiKeys`; `tandem keys add STACK NAME` makes keys now, and one that a client "
    "has stays good once its digest (`tandem keys digest`) is in clients.NAME.sha256"
}
"""Settings of former versions, and what takes their place. Their values are not shown: they were keys."""
KEYS_BEGIN = ("tdm_", "hf_")
"""Those of `tandem keys add` and the hub's, wherever somebody typed one."""
HIDDEN = "[secret]"
_STRUCTURED = {
    field.alias
    for field in Settings.model_fields.values()
    if typing.get_origin(field.annotation) is dict
    or any(
        isinstance(part, type) and issubclass(part, BaseModel)
        for part in (field.annotation, *typing.get_args(field.annotation))
    )
}


def parse(config: Mapping[str, str], secret_keys: Collection[str] = ()) -> Settings:
    """Settings from Pulumi's configuration.

    Args:
        config: what the engine passes: full keys (`tandem:fleet`) to text, JSON for structured values.
        secret_keys: the full keys whose values are secret.

    Raises:
        UserError: with every problem found, before anything is created.
    """
    values: dict[str, Any] = {}
    found: list[Problem] = []
    for full_key, text in config.items():
        namespace, _, key = full_key.partition(":")
        if namespace == "aws":
            found.append(
                Problem(
                    key=full_key,
                    wrong="tandem makes its own AWS provider and does not read this",
                    allowed="keys that begin with tandem:",
                    fix=f"`pulumi config rm {full_key}`; the region is tandem:region, credentials come from the shell",
                )
            )
        elif namespace == NAMESPACE:
            secret = full_key in secret_keys
            if key in SECRET_KEYS and not secret:
                found.append(_plain_text_secret(key))
                continue
            value, problem = _decode(key, text, hidden=secret)
            found.extend([problem] if problem else [])
            if problem is None:
                values[key] = value
    if found:
        raise UserError(*found)
    return _validate(values, secret_keys)


def parse_stack_file(path: Path) -> Settings:
    """Settings from a Pulumi.STACK.yaml, without an engine; encrypted values stay out of reach and count as set.

    Raises:
        UserError: when the file is missing, is not YAML, or its settings are wrong.
    """
    try:
        document = engine_yaml.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = sorted(p.name for p in path.parent.glob("Pulumi.*.yaml"))
        raise UserError.of(
            key=path.name,
            wrong="there is no such stack file",
            allowed=", ".join(known) or "Pulumi.STACK.yaml",
            fix="name a stack that has a file, or make one with `pulumi stack init`",
        ) from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _no_stack_file(path, " ".join(str(error).split())) from None
    entries = document.get("config") if isinstance(document, dict) else document
    if not isinstance(entries or {}, dict):
        raise _no_stack_file(path, f"a {type(entries).__name__} is where a mapping belongs")
    config, secret_keys = {}, set()
    for key, value in (entries or {}).items():
        if _holds_secret(value):
            secret_keys.add(key)
        config[str(key)] = value if isinstance(value, str) else json.dumps(_reveal(value), default=str)
    return parse(config, secret_keys)


def _no_stack_file(path: Path, why: str) -> UserError:
    return UserError.of(
        key=path.name,
        wrong=f"is not a stack file: {why}",
        allowed="YAML with a `config:` mapping",
        fix="correct it there; Pulumi.dev.yaml is an example",
    )


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return "secure" in value or any(_holds_secret(item) for item in value.values())
    return isinstance(value, list) and any(_holds_secret(item) for item in value)


def _reveal(value: Any) -> Any:
    """Stands in for what only the engine can decrypt; long enough to pass as a key."""
    if isinstance(value, dict):
        return HIDDEN * 3 if "secure" in value else {key: _reveal(item) for key, item in value.items()}
    return [_reveal(item) for item in value] if isinstance(value, list) else value


def _plain_text_secret(key: str) -> Problem:
    return Problem(
        key=key,
        wrong="is in plain text in the stack file",
        code="secret_in_plain_text",
        value=HIDDEN,
        allowed="an encrypted value",
        fix=f"`pulumi config set --secret {NAMESPACE}:{key}`, then give it a new value where it came from",
    )


def _decode(key: str, text: Any, *, hidden: bool) -> tuple[Any, Problem | None]:
    if key not in _STRUCTURED or not isinstance(text, str):
        return text, None
    try:
        return json.loads(text), None
    except json.JSONDecodeError:
        return None, Problem(
            key=key,
            wrong="is one value where a group of settings belongs",
            value=HIDDEN if hidden else text,
            allowed="a mapping",
            fix=f"set one key of it: `pulumi config set --path '{NAMESPACE}:{key}.NAME' VALUE`",
            code="no_group",
        )


def _validate(values: dict[str, Any], secret_keys: Collection[str]) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        hidden = {key.partition(":")[2] for key in secret_keys}
        found = [_problem(entry, hidden) for entry in error.errors(include_url=False)]
        raise UserError(*innermost(found)) from None


def _problem(entry: Any, hidden: Collection[str]) -> Problem:
    """With the code that pydantic has for it."""
    location = [str(part) for part in entry["loc"] if part != "[key]"]
    path, parents, field = resolve(location)
    key = ".".join(path)
    secret = path[0] in {*hidden, *SECRET_KEYS, *FORMER} or "sha256" in path  # where a key may be instead of its digest
    is_key = any(mark in str(entry["input"]) for mark in KEYS_BEGIN)
    value = HIDDEN if secret or is_key else entry["input"]
    if entry["type"] == "too_long" and isinstance(value, dict):
        value = f"{len(value)} of them"
    place = _property_path(path, field)
    setting = f"`pulumi config set {'--type string ' * (entry['type'] == 'string_type')}--path '{place}' VALUE`"
    if entry["type"] == "missing":
        return Problem(key=key, wrong="must be set", allowed=_allowed(field), fix=setting, code="missing")
    if entry["type"] == "extra_forbidden":
        names = [known.alias or name for name, known in parents.model_fields.items()]
        known_now = "; a key that stood in a file or a log is no secret any more: end it where it was made" * is_key
        fix = (FORMER.get(key) or _instead(path, names, place)) + known_now
        allowed, code = ", ".join(names), entry["type"]
        return Problem(key=key, wrong="there is no such setting", value=value, allowed=allowed, fix=fix, code=code)
    if entry["loc"][-1] == "[key]":
        setting = f"`pulumi config rm --path '{place}'`, and another name"
    if path[0] in SECRET_KEYS:
        setting = setting.replace("config set", "config set --secret")
    wrong, allowed = _wrong(field, value), _allowed(field)
    return Problem(key=key, wrong=wrong, value=value, allowed=allowed, fix=setting, code=entry["type"])


def _wrong(field: FieldInfo | None, value: object) -> str:
    """With the reason, where somebody may look for this value."""
    reasons = (mark.reasons for mark in (field.metadata if field else ()) if isinstance(mark, NotThere))
    known = next(reasons, {})
    return known[value] if isinstance(value, str) and value in known else "is not a valid value"


def _property_path(path: list[str], field: FieldInfo | None) -> str:
    """As `--path` of `pulumi config` reads it: entries of lists by number, names with a dot in quotes."""
    of_list = field is not None and not is_mapping(field)
    key = path[0]
    for part in path[1:]:
        key = f"{key}[{part}]" if of_list and part.isdigit() else below(key, part)
    return f"{NAMESPACE}:{key}"


def _instead(path: list[str], names: list[str], place: str) -> str:
    """What to do about a setting that there is not. Without --path, `rm` takes the key itself, dots and all."""
    if len(path) == 1 and path[0].partition(".")[0] in names:
        return f"`pulumi config rm '{place}'`, then `pulumi config set --path '{place}' VALUE`"
    if nearest := get_close_matches(path[-1], names, n=1, cutoff=0.75):
        return f"did you mean {nearest[0]}?"
    return f"`pulumi config rm {'--path ' * (len(path) > 1)}'{place}'`"


def innermost(found: list[Problem]) -> list[Problem]:
    """Drops what only repeats that one of its entries is wrong."""
    keys = [problem.key for problem in found]
    return [problem for problem in found if not any(key.startswith(f"{problem.key}.") for key in keys)]


def resolve(
    location: Sequence[str], root: type[Section] = Settings
) -> tuple[list[str], type[BaseModel], FieldInfo | None]:
    """The path in the user's words, the section that holds its last key, and that key's field if there is one.

    Args:
        location: as pydantic tells it.
        root: what was validated.
    """
    section: type[BaseModel] = root
    path: list[str] = []
    field: FieldInfo | None = None
    names_an_entry = False
    for part in location:
        if names_an_entry:
            # Of a mapping of sections: the next part is in the section again.
            path.append(part)
            names_an_entry = False
            continue
        inner = section_of(field) if field is not None else root
        if inner is None:
            # Below a leaf: an entry of a list or a mapping is the user's word, a branch of a union is pydantic's.
            if part not in ("function-before", "none"):
                path.append(part)
            continue
        section = inner
        path.append(part)
        field = {info.alias or name: info for name, info in section.model_fields.items()}.get(part)
        names_an_entry = field is not None and is_mapping(field)
    return path, section, field


def is_mapping(field: FieldInfo) -> bool:
    """Whether its keys are the user's own."""
    return typing.get_origin(field.annotation) is dict


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a field holds, None for a plain value."""
    for candidate in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def _allowed(field: FieldInfo | None) -> str:
    if field is None:
        return "see docs/settings.md"
    return describe(field.annotation, tuple(field.metadata))


def describe(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """What a field allows, in words: from its annotation and its bounds."""
    for mark in metadata:
        if isinstance(mark, Allowed):
            return str(mark)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return describe(arguments[0], arguments[1:])
    if origin is typing.Literal:
        return ", ".join(str(value) for value in arguments)
    if origin in (typing.Union, types.UnionType):
        words = [describe(item, metadata) for item in arguments if item is not type(None)]
        return " or ".join([*words, "unset"])
    if origin is tuple:
        bounds = _bounds(metadata, ("min_length", "max_length"))
        return f"a list{f' of {bounds}' if bounds else ''}, each: {describe(arguments[0])}"
    if origin is dict:
        bounds = _bounds(metadata, ("min_length", "max_length"))
        names, values = map(describe, arguments)
        return f"a mapping{f' of {bounds}' if bounds else ''}; names: {names}; values: {values}"
    return _describe_scalar(annotation, metadata)


def _describe_scalar(annotation: Any, metadata: tuple[Any, ...]) -> str:
    if annotation is bool:
        return "true or false"
    if annotation in (int, float):
        number = "a whole number" if annotation is int else "a number"
        bounds = _bounds(metadata, ("ge", "le"))
        above = next((mark.gt for mark in metadata if hasattr(mark, "gt")), None)
        if above is not None:
            bounds = f"above {above} and up to {_bounds(metadata, ('ge', 'le')).removeprefix('up to ')}"
        return f"{number} {bounds}".strip()
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "a mapping with " + ", ".join(info.alias or name for name, info in annotation.model_fields.items())
    return "a secret" if annotation is SecretStr else "text"


def _bounds(metadata: tuple[Any, ...], names: tuple[str, str]) -> str:
    low, high = (next((getattr(mark, name) for mark in metadata if hasattr(mark, name)), None) for name in names)
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"from {low}" if low is not None else f"up to {high}" if high is not None else ""
