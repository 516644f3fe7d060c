"""What `vllm serve` of the pinned release takes, and which of it a stack may add (inference.extraArguments)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_OF_VLLM, _GROUPS = (Path(__file__).with_suffix(ending) for ending in (".json", ".toml"))

Kind = str | tuple[str, ...]
"""`switch` takes no value; `int`, `float`, `json` and `text` one of that kind; else one of these choices."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Of the pinned release.

    Attributes:
        kinds: by name with its dashes; switches in both forms, `--x` and `--no-x`.
        bounds: of numbers, by name with its dashes: ge, gt, le, lt, multiple.
        structured: fields of `--structured-outputs-config`, with what each takes where there is a list.
        tool_parsers: what `--tool-call-parser` takes.
        reasoning_parsers: what `--reasoning-parser` takes.
        free: names, as `base` has them, which a stack may add.
        of_tokens: of these what says something of tokens that are made, or of the cache for them.
        settings: the setting that stands for an argument, by its name.
        closed: names that stay tandem's, by the reason.
    """

    kinds: Mapping[str, Kind]
    bounds: Mapping[str, Mapping[str, float]]
    structured: Mapping[str, list[str] | None]
    tool_parsers: tuple[str, ...]
    reasoning_parsers: tuple[str, ...]
    free: frozenset[str]
    of_tokens: frozenset[str]
    settings: Mapping[str, str]
    closed: Mapping[str, frozenset[str]]

    def base(self, name: str) -> str:
        """An argument without its dashes, and without the `no-` of a switch that is turned off."""
        bare = name.removeprefix("--")
        turned = bare.removeprefix("no-")
        return turned if f"--{turned}" in self.kinds else bare


@cache
def arguments() -> Arguments:
    """What vLLM's own parser said, and who decides about it."""
    read, groups = json.loads(_OF_VLLM.read_text()), tomllib.loads(_GROUPS.read_text())
    return Arguments(
        kinds={name: tuple(kind) if isinstance(kind, list) else kind for name, kind in read["arguments"].items()},
        bounds=read["bounds"]
        | {f"--{name}": read["bounds"].get(f"--{name}", {}) | more for name, more in groups["bounds"].items()},
        structured=read["structured"],
        tool_parsers=tuple(read["tool_parsers"]),
        reasoning_parsers=tuple(read["reasoning_parsers"]),
        free=frozenset(groups["free"]),
        of_tokens=frozenset(groups["of_tokens"]),
        settings=groups["settings"],
        closed={reason: frozenset(names) for reason, names in groups["closed"].items()},
    )
