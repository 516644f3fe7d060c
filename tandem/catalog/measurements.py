"""Throughput that was measured on real GPUs. The data is measurements.json, where each run says how it was made.

`tandem load --measure` writes the same rows for a project, into its loads/measurements.json.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One load of one or more servers. Times are seconds, as a streaming client sees them; None was not kept.

    Attributes:
        run: key of what the file says about how it was measured.
        quantization: as `--quantization` says; None where the model's own config.json decides.
        card: name in the catalog of GPUs.
        tp: tensor parallel size.
        replicas: servers that shared the load.
        flags: key of what the servers were told.
        rate: requests a second at random moments; None where `at_once` were kept running.
        at_once: requests in all replicas together; on average where there is a rate.
        requests: that were sent.
        tokens_per_second: of answers, of all replicas together.
    """

    run: str
    model: str
    quantization: str | None
    card: str
    tp: int
    replicas: int
    flags: str
    max_num_batched_tokens: int
    vllm: str
    prompt_tokens: int
    answer_tokens: int
    rate: float | None
    at_once: float | None
    requests: int
    failed: int
    tokens_per_second: float | None
    first_token_mean: float | None
    first_token_p50: float | None
    first_token_p99: float | None
    between_tokens_mean: float | None
    between_tokens_p50: float | None
    between_tokens_p99: float | None

    @property
    def at_once_each(self) -> float:
        """Requests in one replica; 0 where that was not kept."""
        return (self.at_once or 0) / self.replicas

    @property
    def tokens_per_second_each(self) -> float:
        """Of one replica; 0 where that was not kept."""
        return (self.tokens_per_second or 0) / self.replicas


def read(path: Path) -> tuple[Measurement, ...]:
    """The rows of a file; none where there is no file.

    Raises:
        ValueError: it is no such file.
    """
    if not path.exists():
        return ()
    try:
        return tuple(Measurement(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no measurements: {error}") from None


def added(path: Path, rows: Iterable[Measurement]) -> str:
    """The text of a file with more rows, one a line.

    Raises:
        ValueError: what is there is no such file.
    """
    lines = [f"  {json.dumps(asdict(row))}" for row in (*read(path), *rows)]
    return '{\n "rows": [\n' + ",\n".join(lines) + "\n ]\n}\n"


NAMES = tuple(field.name for field in fields(Measurement))
MEASUREMENTS = read(FILE)
