"""vLLM's batch runner, asked line by line, in the server image's own Python: the model is loaded once for all parts.

    runner.py SOCKET ARGUMENTS ...   the arguments are those of `vllm serve`

`vllm run-batch` reads one file, loads the model for it, and writes all answers at the end. These are its own functions
(vllm/entrypoints/launchers/run_batch.py) in one process: an answer is told as soon as it is there. It asks AWS
for nothing but weights: whoever listens at the socket brings requests and keeps answers, a line of JSON each.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

# pyright: reportMissingImports=false
from vllm.entrypoints.launchers import run_batch
from vllm.entrypoints.launchers.api_server.entry import build_async_engine_client
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser

LINE_BYTES = 256 * 2**20  # of one request, which may carry pictures


class Runner:
    """Answers the lines of a socket.

    Args:
        engine: of vLLM.
        registry: vLLM's own, of what answers which URL.
    """

    def __init__(self, engine: Any, registry: dict[str, dict[str, Any]], writer: asyncio.StreamWriter) -> None:
        self.engine, self.registry, self.writer = engine, registry, writer
        self.tracker = run_batch.BatchProgressTracker()
        self.running: set[asyncio.Task[None]] = set()

    def begin(self, line: bytes) -> None:
        task = asyncio.create_task(self._answer(json.loads(line)))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _answer(self, asked: dict[str, Any]) -> None:
        answer = await self._result(asked["request"])
        if self.engine.errored:
            # What a dead engine says is no answer: whoever takes the part next asks again.
            print("tandem: the engine died", file=sys.stderr, flush=True)
            os._exit(1)
        self.writer.write(json.dumps({"name": asked["name"], "answer": answer}).encode() + b"\n")
        await self.writer.drain()

    async def _result(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            asked = run_batch.BatchRequestInput.model_validate(request)
        except ValueError as error:
            return {"error": {"error": {"message": str(error), "type": "invalid_request_error", "code": 400}}}
        known = self.registry.get(asked.url.rpartition("/")[2])
        if known and (answer := run_batch.handle_endpoint_request(asked, self.tracker, **known)):
            return (await answer).model_dump(mode="json")
        return run_batch.make_error_request_output(asked, f"{asked.url} is not served").model_dump(mode="json")


async def run(path: str, arguments: list[str]) -> None:
    args = make_arg_parser(FlexibleArgumentParser()).parse_args(arguments)
    args.model = args.model_tag or args.model
    async with build_async_engine_client(args, usage_context=UsageContext.OPENAI_BATCH_RUNNER) as engine:
        registry = await run_batch.build_endpoint_registry(engine, args)
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES)
        runner = Runner(engine, registry, writer)
        while line := await reader.readline():
            runner.begin(line)


if __name__ == "__main__":
    # The first process of a container ends on no signal that it does not ask for.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    asyncio.run(run(sys.argv[1], sys.argv[2:]))
