"""Measured throughput: every row is whole, of things that the catalogs know, and says how it was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tandem.catalog.gpus import GPU_MODELS
from tandem.catalog.measurements import FILE, MEASUREMENTS, NAMES, Measurement, read
from tandem.catalog.models import MODELS

SAID = json.loads(FILE.read_text())
CLOSED = [row for row in MEASUREMENTS if row.rate is None]


@pytest.mark.parametrize("row", MEASUREMENTS, ids=lambda row: f"{row.run} {row.model} TP={row.tp} {row.at_once}")
def test_a_row_is_of_what_the_catalogs_know(row: Measurement) -> None:
    assert row.model in MODELS
    assert row.card in {name for name, _ in GPU_MODELS}
    assert row.run in SAID["runs"]
    assert row.flags in SAID["flags"]
    assert row.requests >= row.failed >= 0
    assert (row.first_token_p99 or 0) > (row.between_tokens_p50 or 0)


def test_every_load_without_a_rate_has_its_throughput() -> None:
    assert all(row.tokens_per_second and row.at_once for row in CLOSED)
    assert {row.at_once_each for row in CLOSED} >= {1, 4, 8, 16, 32, 64, 128, 256}


def test_what_a_client_waits_agrees_with_the_throughput() -> None:
    """A request takes its first token's time and the times between the others: so many at once give so many tokens."""
    for row in CLOSED:
        if row.first_token_mean and row.between_tokens_mean and row.model != "Qwen/Qwen3-8B":
            seconds = row.first_token_mean + (row.answer_tokens - 1) * row.between_tokens_mean
            assert row.tokens_per_second == pytest.approx((row.at_once or 0) * row.answer_tokens / seconds, rel=0.02)


def test_servers_with_more_than_the_flags_are_no_rows_of_sizing() -> None:
    """What guesses or adapts is beside `rows`, whose servers do neither."""
    for row in SAID["others"]:
        known = {name: value for name, value in row.items() if name not in {"right", "asked"}}
        test_a_row_is_of_what_the_catalogs_know(Measurement(**known))
        assert (row["right"] is None) or 0 <= row["right"] <= 1
    assert {row.flags for row in MEASUREMENTS} <= {"defaults", "tandem", "tandem, queue 256"}
    assert all(one["run"] in SAID["runs"] for one in (*SAID["vectors"], *SAID["starts"], *SAID["encoders"]))


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    assert read(tmp_path / "none.json") == ()
    other = tmp_path / "other.json"
    for text in ("[]", '{"rows": [{}]}', "{", '{"rows": [{"model": 1}]}'):
        other.write_text(text)
        with pytest.raises(ValueError, match="holds no measurements"):
            read(other)
    assert set(NAMES) == set(SAID["rows"][0])
