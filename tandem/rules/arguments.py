"""What vLLM's own parser would refuse, or would do beside what the settings say, before a GPU is paid for it."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.vllm_arguments import Kind, arguments
from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import Settings

MEDIA: Mapping[str, Sequence[str]] = {
    "image": ("count", "width", "height"),
    "video": ("count", "num_frames", "width", "height"),
    "audio": ("count", "length"),
    "vision_chunk": ("count",),
}
"""What a prompt may have beside text, and what a limit may say of it: vLLM 0.32.0, vllm/config/multimodal.py and the
models' get_supported_mm_limits."""
_PARTS = "parts (image: count, width, height; video: num_frames, too; audio: count, length)"


def parsers_are_vllms(settings: Settings) -> Iterator[Problem]:
    """A name that the pinned release lacks ends every start."""
    known = arguments()
    for prefix, inference, _ in models(settings):
        for field, name, names in (
            ("toolCallParser", inference.tool_call_parser, known.tool_parsers),
            ("reasoningParser", inference.reasoning_parser, known.reasoning_parsers),
        ):
            if name is not None and name not in names:
                key = f"{prefix}inference.{field}"
                yield Problem(
                    key=key,
                    wrong="the pinned vLLM has no such parser, and would refuse to start",
                    value=name,
                    allowed=", ".join(names),
                    fix=set_to(key, (get_close_matches(name, names, n=1) or ["NAME"])[0]),
                )


def arguments_are_free(settings: Settings) -> Iterator[Problem]:
    """Each of inference.extraArguments is vLLM's, of the right kind, said once, and no setting's nor tandem's."""
    for prefix, inference, _ in models(settings):
        said: dict[str, str] = {}
        for number, argument in enumerate(inference.extra_arguments):
            key = f"{prefix}inference.extraArguments[{number}]"
            name, _, value = argument.partition("=")
            problem = _unknown(key, name) or _taken(key, name) or _unfit(key, name, value) or _within(key, name, value)
            problem = (
                problem
                or _bounded(key, name, value)
                or _structured(key, name, value)
                or _media(key, name, value)
                or _of_the_types(key, name, value, settings)
            )
            if problem is None and (before := said.setdefault(arguments().base(name), argument)) is not argument:
                problem = Problem(
                    key=key,
                    wrong=f"{before} is in the list already",
                    value=argument,
                    allowed="each argument once",
                    fix=removed(key),
                )
            if problem is not None:
                yield problem


def _unknown(key: str, name: str) -> Problem | None:
    known = arguments()
    if name in known.kinds:
        return None
    similar = get_close_matches(name, [one for one in known.kinds if known.base(one) in known.free], n=3)
    return Problem(
        key=key,
        wrong="the pinned vLLM has no such argument; beginnings of names and `--config.part` are not taken here",
        value=name,
        allowed=f"such as {', '.join(similar)}" if similar else "an argument that `vllm serve --help=all` lists",
        fix=set_to(key, similar[0]) if similar else removed(key),
    )


def _taken(key: str, name: str) -> Problem | None:
    known = arguments()
    bare = known.base(name)
    if (setting := known.settings.get(bare)) is not None:
        return Problem(
            key=key, wrong=f"is what {setting} says", value=name, allowed="what no setting covers", fix=removed(key)
        )
    for reason, closed in known.closed.items():
        if bare in closed:
            return Problem(
                key=key, wrong=reason, value=name, allowed="what a model computes and answers", fix=removed(key)
            )
    return None


def _of_the_types(key: str, name: str, value: str, settings: Settings) -> Problem | None:
    """T4 computes in half precision whatever is said, as hosts and pods tell vLLM after it."""
    types = settings.fleet.instance_types
    old = [one for one in types if one in INSTANCE_TYPES and not INSTANCE_TYPES[one].has_bfloat16]
    if name != "--dtype" or not old or value in ("auto", "half", "float16"):
        return None
    return Problem(
        key=key,
        wrong=f"{old[0]} has no bfloat16, and its servers are told half",
        value=value,
        allowed="auto, half, float16",
        fix=f"{removed(key)}, or another type in fleet.instanceTypes",
    )


def _within(key: str, name: str, value: str) -> Problem | None:
    """What one of vLLM's configurations says in place of an argument; objects of other arguments have a model's own
    names."""
    if not name.endswith("-config") or arguments().kinds[name] != "json":
        return None
    parts = (f"--{part.replace('_', '-')}" for part in json.loads(value))
    return next((problem for part in parts if (problem := _taken(key, part))), None)


_SAID = {
    "ge": ("from {:g}", operator.ge),
    "gt": ("more than {:g}", operator.gt),
    "le": ("up to {:.10g}", operator.le),
    "lt": ("less than {:g}", operator.lt),
    "multiple": ("a multiple of {:g}", lambda value, limit: value % limit == 0),
}


def _bounded(key: str, name: str, value: str) -> Problem | None:
    limits = arguments().bounds.get(name, {})
    if all(_SAID[mark][1](float(value), limit) for mark, limit in limits.items()):
        return None
    return Problem(
        key=key,
        wrong="the pinned vLLM would refuse to start with it",
        value=value,
        allowed=f"{name}= " + ", ".join(_SAID[mark][0].format(limit) for mark, limit in limits.items()),
        fix=removed(key),
    )


def _structured(key: str, name: str, value: str) -> Problem | None:
    """vLLM takes an object of any names, and ends when it makes a configuration of it."""
    if name != "--structured-outputs-config":
        return None
    fields = arguments().structured
    for part, said in json.loads(value).items():
        if part not in fields or (isinstance(taken := fields[part], list) and said not in taken):
            return Problem(
                key=key,
                wrong="the pinned vLLM would refuse to start with it",
                value={part: said},
                allowed=f"{part}: {', '.join(fields[part] or ())}" if part in fields else ", ".join(fields),
                fix=removed(key),
            )
    return None


def media_limits_hold(limits: Mapping[str, Any]) -> bool:
    """Whether vLLM reads them, and they limit something: of a kind that it does not know, it takes any number and
    limits nothing."""
    return all(
        kind in MEDIA
        and all(
            part in MEDIA[kind] and type(number) is int and number >= (part != "count")
            for part, number in (limit if isinstance(limit, dict) else {"count": limit}).items()
        )
        for kind, limit in limits.items()
    )


def _media(key: str, name: str, value: str) -> Problem | None:
    if name != "--limit-mm-per-prompt" or media_limits_hold(json.loads(value)):
        return None
    return Problem(
        key=key,
        wrong="is no limit that the pinned vLLM reads",
        value=value,
        allowed=f"{', '.join(MEDIA)}: a number of them, or an object of {_PARTS}",
        fix=set_to(key, f'{name}={{"image": 4, "video": 1}}'),
    )


def _unfit(key: str, name: str, value: str) -> Problem | None:
    kind = arguments().kinds[name]
    if _fits(kind, value):
        return None
    if kind == "switch":
        wrong, allowed, fix = "takes no value", name, set_to(key, name)
    else:
        wrong = f"takes {_WORDS.get(kind, 'another value') if isinstance(kind, str) else 'another value'}"
        allowed = f"{name}=VALUE" if isinstance(kind, str) else f"{name}= {', '.join(kind)}"
        fix = set_to(key, f"{name}=VALUE")
    return Problem(key=key, wrong=wrong, value=value, allowed=allowed, fix=fix)


_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "json": "an object in JSON",
    "text": "a value behind =",
}


def _fits(kind: Kind, value: str) -> bool:
    """Whether vLLM's parser takes this text; what an object in JSON may hold, only a start tells."""
    if isinstance(kind, tuple):
        return value in kind
    if kind == "switch":
        return not value
    try:
        if kind == "json":
            return isinstance(json.loads(value), dict)
        if kind in ("int", "float"):
            return math.isfinite(int(value) if kind == "int" else float(value))
    except ValueError:
        return False
    return bool(value)
