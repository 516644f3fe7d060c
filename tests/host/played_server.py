"""A vLLM server whose engine moves by the clock: full, hung, or reading a long prompt, as it is told."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REFUSAL_SECONDS = 0.01


class PlayedServer:
    """What a host and a pod ask of vLLM, on a free port of 127.0.0.1.

    Stands for: a vLLM server's /metrics and completions, while it is idle, full, hung, or reads a long prompt.
    Held by: tests/real/test_full.py::test_a_full_server_is_as_the_played_one,
        tests/real/test_pooling.py::test_the_probe_passes_and_what_it_moves_is_prompts

    Attributes:
        step: seconds of one engine step; 0 while the engine stands still.
        refuses: answers 503 after 10 ms, as a full server does.
        hangs: answers no request.
        reads_prompt: steps fill the cache and make no token.
        embeds: steps read prompts, make no token and keep nothing.
        says: its answers.
    """

    def __init__(self) -> None:
        self.step, self.refuses, self.hangs, self.reads_prompt = 0.0, False, False, False
        self.embeds, self.says = False, '{"choices": [{"text": "1"}]}'
        self.started, self.released = time.monotonic(), threading.Event()
        played = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200, played.metrics())

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                if played.refuses:
                    time.sleep(REFUSAL_SECONDS)
                    self.answer(503, '{"error":{"message":"The engine is currently busy","code":503}}')
                elif played.hangs:
                    played.released.wait(60)
                else:
                    self.answer(200, played.says)

            def answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def metrics(self) -> str:
        """A batch of 256 tokens a step, by the clock; being asked changes nothing."""
        steps = int((time.monotonic() - self.started) / self.step) if self.step else 0
        tokens, cache = (0, steps * 0.001) if self.reads_prompt else (steps * 256, 0.5)
        read, tokens, cache = (tokens, 0, 0.0) if self.embeds else (0, tokens, cache)
        labels = 'model_name="m",engine="0"'
        return (
            "# HELP vllm:generation_tokens_total Number of generation tokens processed.\n"
            f"vllm:generation_tokens_total{{{labels}}} {tokens}.0\n"
            f"vllm:prompt_tokens_total{{{labels}}} {read}.0\n"
            f"vllm:generation_tokens_created{{{labels}}} 1.7e+09\n"
            f"vllm:kv_cache_usage_perc{{{labels}}} {cache}\n"
            f"vllm:num_requests_running{{{labels}}} 2.0\nvllm:num_requests_waiting{{{labels}}} 1.0\n"
        )

    def close(self) -> None:
        """Nothing listens any more."""
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def played_server() -> Iterator[PlayedServer]:
    """Runs one; it may have been closed meanwhile."""
    server = PlayedServer()
    try:
        yield server
    finally:
        server.close()
