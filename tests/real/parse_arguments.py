"""Parses `vllm serve` arguments with vLLM's own parser. Runs in its environment: lists of arguments in, values out."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any


def plain(value: Any) -> Any:
    """A parsed value as JSON can hold it."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value)


def guesses(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """What vLLM makes of `--speculative-config`: guesses for a request in a step of 1 to 8 requests."""
    from vllm.config.speculative import SpeculativeConfig, SpeculativeMethod
    from vllm.v1.spec_decode.dynamic.utils import build_dynamic_sd_schedule_lookup

    if told is None:
        return None
    if model := told.get("model"):
        # A start reads its config.json: test_drafts.py. What it takes at all is here.
        assert {*told} <= {field.name for field in dataclasses.fields(SpeculativeConfig)}, told
        assert told["method"] in str(SpeculativeMethod), told
        schedule = build_dynamic_sd_schedule_lookup(
            told["num_speculative_tokens_per_batch_size"], 8, told["num_speculative_tokens"]
        )
        tokens = told["num_speculative_tokens"]
        return {"method": told["method"], "model": model, "tokens": tokens, "by_requests": schedule[1:]}
    meant = SpeculativeConfig(**told)
    schedule = build_dynamic_sd_schedule_lookup(
        meant.num_speculative_tokens_per_batch_size, 8, meant.num_speculative_tokens
    )
    return {
        "method": meant.method,
        "tokens": meant.num_speculative_tokens,
        "span": [meant.prompt_lookup_min, meant.prompt_lookup_max],
        "by_requests": schedule[1:],
    }


def limits(told: dict[str, Any]) -> bool:
    """Whether vLLM's configuration of media takes them."""
    from vllm.config.multimodal import MultiModalConfig

    try:
        MultiModalConfig(limit_per_prompt=told)
    except (TypeError, ValueError):
        return False
    return True


def main() -> None:
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.entrypoints.launchers.cli_args import validate_parsed_serve_args
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(description="vLLM CLI")
    serve = ServeSubcommand().subparser_init(parser.add_subparsers(required=True, dest="subparser"))
    answers = []
    for arguments in json.load(sys.stdin):
        exact = set(serve._option_string_actions)
        args = parser.parse_args(["serve", *arguments])
        validate_parsed_serve_args(args)
        answers.append(
            {
                "values": {name: plain(value) for name, value in vars(args).items()}
                | {"guesses": guesses(args.speculative_config), "limits": limits(args.limit_mm_per_prompt)},
                "abbreviated": [
                    item for item in arguments if item.startswith("--") and item.partition("=")[0] not in exact
                ],
            }
        )
    print("ANSWERS" + json.dumps(answers))


if __name__ == "__main__":
    main()
