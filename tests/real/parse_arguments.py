"""Parses `vllm serve` arguments with vLLM's own parser. Runs in its environment: lists of arguments in, values out."""

from __future__ import annotations

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
                "values": {name: plain(value) for name, value in vars(args).items()},
                "abbreviated": [
                    item for item in arguments if item.startswith("--") and item.partition("=")[0] not in exact
                ],
            }
        )
    print("ANSWERS" + json.dumps(answers))


if __name__ == "__main__":
    main()
