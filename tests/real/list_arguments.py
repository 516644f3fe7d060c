"""What `vllm serve` takes, by its own parser, and which parsers of answers it has. Runs in vLLM's environment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, get_args

PROBES = {"text": "x", "json": "{}", "float": "0.5", "int": "1"}


def kind(action: Any) -> str | list[str]:
    """`switch`, a list of choices, or the widest kind of text that the argument's own type takes."""
    if action.nargs == 0:
        return "switch"
    if action.choices is not None:
        return [str(choice) for choice in action.choices if choice is not None]
    for name, text in PROBES.items():
        try:
            if action.type is not None:
                action.type(text)
        except Exception:  # any error of any argument's own type means that it is no such text
            continue
        return name
    raise AssertionError(action.option_strings)


def of_the_engine() -> dict[str, str | list[str]]:
    """What the engine takes where the parser takes any text: a folder is on no host, and a function is no text."""
    from vllm.config.model import ModelImpl, TokenizerMode
    from vllm.config.vllm import OptimizationLevel
    from vllm.transformers_utils.config import ConfigFormat
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    named = {"--model-impl": ModelImpl, "--tokenizer-mode": TokenizerMode, "--config-format": ConfigFormat}
    return {
        **{name: list(get_args(literal)) for name, literal in named.items()},
        "--attention-backend": [*AttentionBackendEnum.__members__],
        "--optimization-level": [str(level.value) for level in OptimizationLevel],
        "--generation-config": ["auto", "vllm"],
        "--hf-overrides": "json",
    }


def bounds(names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Of numbers, as the configurations that the arguments become have them."""
    import vllm.config

    found: dict[str, dict[str, float]] = {}
    for config in (getattr(vllm.config, name) for name in dir(vllm.config) if name.endswith("Config")):
        for field, info in getattr(config, "__pydantic_fields__", {}).items():
            name, marks = f"--{field.replace('_', '-')}", {type(one).__name__.lower(): one for one in info.metadata}
            limits = {mark: getattr(one, mark) for mark, one in marks.items() if mark in ("ge", "gt", "le", "lt")}
            if limits and name in names:
                found[name] = found.get(name, {}) | limits
    return dict(sorted(found.items()))


def structured() -> dict[str, list[str] | None]:
    """Fields of `--structured-outputs-config`, with what each takes where it has a list."""
    from vllm.config import StructuredOutputsConfig

    fields = StructuredOutputsConfig.__pydantic_fields__
    return {name: [*map(str, get_args(info.annotation))] or None for name, info in sorted(fields.items())}


def main() -> None:
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.reasoning import ReasoningParserManager
    from vllm.tool_parsers import ToolParserManager
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    serve = ServeSubcommand().subparser_init(FlexibleArgumentParser().add_subparsers())
    arguments = {name: kind(one) for one in serve._actions for name in one.option_strings if name.startswith("--")}
    arguments |= of_the_engine()
    found = {
        "arguments": dict(sorted(arguments.items())),
        "bounds": bounds(arguments),
        "structured": structured(),
        "tool_parsers": sorted(ToolParserManager.list_registered()),
        "reasoning_parsers": sorted(ReasoningParserManager.list_registered()),
    }
    print("ANSWERS" + json.dumps(found))


if __name__ == "__main__":
    main()
