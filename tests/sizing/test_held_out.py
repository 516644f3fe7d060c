"""How near the answers are to measurements: of the load itself, with that left out, and of the model alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tandem.catalog.measurements import MEASUREMENTS, Measurement
from tandem.sizing.held_out import accuracies, interpolated_tokens, repeated, spread, tokens
from tandem.sizing.measured import comparable, latency_as_measured, modelled_latency, of_model, server_of

TOKENS, FIRST, BETWEEN = accuracies(MEASUREMENTS)
TIMED = [row for row in MEASUREMENTS if row.rate and row.first_token_p99 and modelled_latency(row)]


def test_a_load_that_is_left_out_is_found_from_its_neighbours() -> None:
    """A quarter of the loads between four times fewer and four times more at once; two in 53 are over 15 % off."""
    assert TOKENS.interpolated.loads == 53
    assert TOKENS.interpolated.median < 0.05
    assert TOKENS.interpolated.within >= 0.95
    assert BETWEEN.interpolated.median < 0.07
    assert FIRST.interpolated.median < 0.16


def test_the_model_alone_is_within_15_percent_of_four_in_five_loads() -> None:
    assert TOKENS.model.loads == len([row for row in MEASUREMENTS if comparable(row)])
    assert TOKENS.model.median < 0.07
    assert TOKENS.model.within >= 0.8
    assert abs(TOKENS.model.worst) < 0.34


def test_first_tokens_are_as_uncertain_as_their_measurements() -> None:
    """The same load again gave up to 1.9 times their mean, so 15 % of each row is more than any answer can have."""
    assert FIRST.repeated.worst > 0.8
    assert FIRST.repeated.within < 0.8
    assert FIRST.model.median < 0.25


@pytest.mark.parametrize("row", TIMED, ids=lambda row: f"{row.run} {row.model} TP={row.tp} {row.rate:g}")
def test_times_that_were_measured_are_stated_as_they_were(row: Measurement) -> None:
    """Of several measurements of one load: their geometric mean, between the least and the most."""
    sizing, gpu, load = server_of(row)
    at = (row.rate or 0) / row.replicas
    modelled = modelled_latency(row)
    assert modelled is not None
    rows = of_model(MEASUREMENTS, row.model, row.quantization)
    found = latency_as_measured(modelled, rows, sizing, gpu, load, at)
    alike = [one for one in rows if one.rate == row.rate and (one.tp, one.max_num_batched_tokens) == _steps(row)]
    for value, values in (
        (found.first_token, [one.first_token_p99 or 0 for one in alike]),
        (found.between_tokens, [one.between_tokens_p99 or 0 for one in alike]),
    ):
        assert min(values) * 0.999 <= value <= max(values) * 1.001
    assert found.measured


def _steps(row: Measurement) -> tuple[int, int]:
    return row.tp, row.max_num_batched_tokens


def test_between_two_rates_both_are_of_one_run_the_newest_that_has_them() -> None:
    """One client sent token ids and one text: at 20 requests a second it is as text was at 16 and 26."""
    row = next(one for one in TIMED if one.model == "Qwen/Qwen3-8B" and one.rate == 21.5)
    sizing, gpu, load = server_of(row)
    rows = [one for one in of_model(MEASUREMENTS, row.model, None) if one.tp == 2]
    text = [one for one in rows if one.run == "2026-11-30"]
    ids = [one for one in rows if one.run == "2026-11-28"]
    modelled = modelled_latency(replace(row, rate=20.0))
    assert modelled is not None
    said = latency_as_measured(modelled, rows, sizing, gpu, load, 20.0)
    assert said == latency_as_measured(modelled, text, sizing, gpu, load, 20.0)
    assert said.first_token > 1.2 * latency_as_measured(modelled, ids, sizing, gpu, load, 20.0).first_token
    assert latency_as_measured(modelled, rows, sizing, gpu, load, 12.0).measured


def test_what_is_held_out_is_not_looked_at() -> None:
    """Doubling what one load is said to have made changes what is said of it not at all, and so its error by half."""
    row = next(one for one in MEASUREMENTS if comparable(one) and (one.tp, one.at_once_each) == (1, 16))
    alone = [one for one in MEASUREMENTS if one.model == row.model and one.tp == 1 and comparable(one)]
    others = [one for one in alone if one.at_once_each != 16]
    twice = replace(row, tokens_per_second=2 * (row.tokens_per_second or 0))
    before, after = interpolated_tokens([*others, row])[-1], interpolated_tokens([*others, twice])[-1]
    assert 1 + after == pytest.approx((1 + before) / 2)


def test_repeats_are_about_their_mean() -> None:
    row = next(one for one in MEASUREMENTS if comparable(one))
    again = replace(row, tokens_per_second=4 * (row.tokens_per_second or 0))
    assert repeated([row, again, replace(row, tp=8)], tokens) == pytest.approx([-0.5, 1.0])
    found = spread([-0.5, 0.1, 0.2])
    assert (found.loads, found.median, found.worst, found.within) == (3, 0.2, -0.5, pytest.approx(1 / 3))
