"""Whether the time in which an edge refuses a key tells how much of it was right."""

from __future__ import annotations

import itertools
import math
import random
import socket
import statistics
import time

ROUNDS = 4000
BAR_ERRORS = 4
"""Standard errors that medians may be apart: of noise alone one run in 5,000 has more."""


def wrong(key: str, right: int) -> list[str]:
    """Eight keys as long as this one, whose first characters, so many, are the same."""
    return [key[:right] + letter * (len(key) - right) for letter in "STUVWXYZ"]


def times(port: int, key: str) -> dict[int, list[float]]:
    """Seconds of refusals by how many characters were right, in turn on one connection and in no order."""
    kinds = {right: itertools.cycle(wrong(key, right)) for right in (0, len(key) // 2, len(key) - 1)}
    found: dict[int, list[float]] = {right: [] for right in kinds}
    draw = random.Random(17)  # noqa: S311  (an order, no secret)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for _ in range(ROUNDS):
            for right in draw.sample([*kinds], len(kinds)):
                head = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {next(kinds[right])}\r\n\r\n"
                started = time.perf_counter()
                connection.sendall(head.encode())
                answer = connection.recv(65536)
                found[right].append(time.perf_counter() - started)
                if not answer.startswith(b"HTTP/1.1 401"):
                    raise SystemExit(f"a refusal expected, this came: {answer[:80]!r}")
    return found


def error(seconds: list[float]) -> float:
    """Standard error of the median, by the quartiles: single slow answers do not count."""
    first, _, third = statistics.quantiles(seconds, n=4)
    return 1.2533 * (third - first) / 1.349 / math.sqrt(len(seconds))


def report(found: dict[int, list[float]]) -> bool:
    """Prints medians; whether none tells itself from the others."""
    medians = {right: statistics.median(seconds) for right, seconds in found.items()}
    apart = max(medians.values()) - min(medians.values())
    noise = math.hypot(*sorted(map(error, found.values()))[-2:])
    told = ", ".join(f"{right} right {median * 1e6:.1f} us" for right, median in medians.items())
    print(f"a key's refusal, {ROUNDS} times each: {told}")
    print(f"medians are apart {apart * 1e6:10.2f} us, {apart / noise:.1f} standard errors (bar: {BAR_ERRORS})")
    return apart < BAR_ERRORS * noise
