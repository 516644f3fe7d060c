"""Conversations of several turns, each of which repeats what was said: what clients wait for their first token, and how
much of each prompt a server had read before."""

from __future__ import annotations

import http.client
import json
import random
import re
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from queue import SimpleQueue

from edge import KEY
from served import NAME

SYSTEM = "You are a host that came out of pulumi up. Say what is so, in few words, and nothing else. " * 3


@dataclass
class Conversation:
    """Of one client, whose words nobody else says."""

    number: int
    said: list[dict[str, str]] = field(default_factory=lambda: [{"role": "system", "content": SYSTEM}])

    def asks(self, port: int, characters: int, tokens: int) -> float:
        """Seconds to the first token of the next answer."""
        rng = random.Random(f"{self.number} {len(self.said)}")
        long = 6 * characters if len(self.said) == 1 else characters
        word = "".join(rng.choice("abcdefghij ") for _ in range(long))
        self.said.append({"role": "user", "content": word})
        body = {"model": NAME, "messages": self.said, "max_tokens": tokens, "ignore_eos": True, "stream": True}
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        headers["X-Session-Id"] = str(self.number)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=300)) as connection:
            start = time.monotonic()
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            first, text = 0.0, ""
            for line in answer:
                if line.startswith(b"data: {"):
                    event = json.loads(line[6:])
                    assert "error" not in event, event
                    text += event["choices"][0]["delta"].get("content") or ""
                    # The first event has the role alone.
                    first = first or (time.monotonic() - start if text else 0.0)
        self.said.append({"role": "assistant", "content": text})
        return first or time.monotonic() - start


@dataclass(frozen=True)
class Outcome:
    """What a play of conversations came to.

    Attributes:
        first: seconds to the first token, of each turn but the first ones, which no cache can help.
        hit: share of all prompts' tokens that a server had in its cache.
        queries: prompts' tokens of each server.
    """

    first: list[float]
    hit: float
    queries: list[float]


def play(
    ways: Sequence[int],
    servers: Sequence[int],
    numbers: Sequence[int],
    turns: int,
    at_once: int,
    characters: int,
    tokens: int = 8,
) -> Outcome:
    """Conversations of these numbers, so many at once.

    Args:
        ways: ports by which they come in, each turn by another one, as a load balancer has it.
        servers: ports of the servers behind them.
        characters: that each turn adds, the first one six times; one is about a token.
    """
    before, waiting, first = [cache(server) for server in servers], SimpleQueue[Conversation](), list[float]()
    failed = list[BaseException]()
    for number in numbers:
        waiting.put(Conversation(number))

    def one() -> None:
        try:
            while True:
                talk = waiting.get_nowait()
                for turn in range(turns):
                    seconds = talk.asks(ways[(talk.number + turn) % len(ways)], characters, tokens)
                    if turn:
                        first.append(seconds)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(type(error).__name__ == "Empty" for error in failed), failed
    after = [cache(server) for server in servers]
    queries = [one[1] - other[1] for one, other in zip(after, before, strict=True)]
    hits = sum(one[0] - other[0] for one, other in zip(after, before, strict=True))
    return Outcome(sorted(first), hits / sum(queries), queries)


def cache(port: int) -> tuple[float, float]:
    """(tokens that a server found in its cache, tokens that it looked for) since its start."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    hits, queries = (
        sum(float(value) for value in re.findall(rf"(?m)^vllm:prefix_cache_{name}_total\{{.*\}} (\S+)$", text))
        for name in ("hits", "queries")
    )
    return hits, queries
