"""One server of two GPUs or two of one: where it turns, against the loads that were measured both ways."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import MEASUREMENTS
from tandem.sizing.known import catalog_shape
from tandem.sizing.measured import modelled, of_model
from tandem.sizing.serving import Serving
from tandem.sizing.throughput import Load
from tandem.sizing.turning import turning_point

Q8 = "Qwen/Qwen3-8B"
BOTH_WAYS = {1: (243, 185), 8: (1676, 1368), 32: (4546, 4286), 128: (8427, 8995), 256: (7212, 10610)}
"""Tokens a second of two H200 by requests at once: of one server with TP=2, and of two with TP=1."""
USUAL = Serving(gpu_memory_utilization=None, max_model_len=4096)
H200 = INSTANCE_TYPES["p5en.48xlarge"]
RUN = [row for row in MEASUREMENTS if row.run == "2026-11-30, longer" and row.model == Q8 and row.rate is None]
RUN = [row for row in RUN if (row.prompt_tokens, row.answer_tokens) == (1024, 256)]


def test_these_loads_are_the_ones_that_were_measured() -> None:
    pair = {row.at_once: row.tokens_per_second for row in RUN if row.tp == 2}
    alone = {row.at_once: row.tokens_per_second for row in RUN if row.tp == 1}
    for at_once, (together, apart) in BOTH_WAYS.items():
        assert round(pair[at_once] or 0) == together
        # A single request runs on one server, half of what two do with one each.
        assert round((alone[max(2, at_once)] or 0) / (1 if at_once > 1 else 2)) == apart


def test_it_turns_where_it_was_measured_to_turn() -> None:
    as_then = replace(USUAL, max_num_batched_tokens=8192)
    found = turning_point(catalog_shape(Q8), as_then, H200, Load(), of_model(MEASUREMENTS, Q8, None))
    assert found is not None
    assert found.measured
    assert found.at_once is not None
    ahead = {at_once for at_once, (together, apart) in BOTH_WAYS.items() if together > apart}
    behind = set(BOTH_WAYS) - ahead
    assert max(ahead) < found.at_once <= min(behind)


def test_without_measurements_it_is_known_within_a_factor_of_three() -> None:
    """The model has both ways within 2 % of each other from 128 to 256 at once; as measured it turns at some 80."""
    found = turning_point(catalog_shape(Q8), USUAL, H200, Load())
    assert found is not None
    assert not found.measured
    assert found.at_once is not None
    assert 32 < found.at_once <= 256


def test_the_gain_is_modelled_as_it_was_measured_below_the_turning_point() -> None:
    """At 256 the pair was measured in one wave that began all at once, and fell back by a seventh."""
    of = {(row.tp, row.at_once_each): modelled(row) for row in RUN}
    for at_once in (8, 32, 128):
        together, apart = BOTH_WAYS[at_once]
        gain = of[2, at_once] / (2 * of[1, at_once / 2])
        assert gain == pytest.approx(together / apart, rel=0.1)


def test_what_one_gpu_cannot_serve_has_no_turning_point() -> None:
    large = turning_point(catalog_shape("Qwen/Qwen3-32B"), USUAL, INSTANCE_TYPES["g6e.12xlarge"], Load())
    assert large is None
    assert turning_point(catalog_shape(Q8), USUAL, INSTANCE_TYPES["p5.4xlarge"], Load()) is None


def test_over_pcie_two_servers_are_ahead_sooner_than_over_nvlink() -> None:
    over = {
        name: turning_point(catalog_shape(Q8), USUAL, INSTANCE_TYPES[name], Load())
        for name in ("g6e.12xlarge", "p5.48xlarge")
    }
    points = {name: one.at_once for name, one in over.items() if one and one.at_once}
    assert points["g6e.12xlarge"] < points["p5.48xlarge"]
