"""Sizing against starts of real servers on H200, and against other estimators on the same starts."""

from __future__ import annotations

from typing import Any

import pytest

from tandem.sizing.serving import Gpu
from tandem.sizing.units import GIB, MIB
from tests.sizing.rows import ENCODERS, H200, HANDED_OUT, PEERS, ROWS, STARTS, sized, started

OLD = [name for name, row in ROWS.items() if row["vllm"] == "0.25.1"]
NEW = [name for name, row in ROWS.items() if row["vllm"] == "0.32.0"]


def error(figure: float, measured: float) -> float:
    return figure / measured - 1


@pytest.mark.parametrize("name", HANDED_OUT)
def test_kv_tokens_of_an_api_server_within_the_bars(name: str) -> None:
    row = ROWS[name]
    assert -0.05 <= error(sized(row).kv_cache_tokens, row["kv_cache_tokens"]) <= 0.02
    assert abs(error(sized(row).parts.weights / GIB, row["weights_gib"])) <= 0.01


@pytest.mark.parametrize("name", OLD)
def test_kv_tokens_of_0_25_are_near_exact(name: str) -> None:
    """All with p-, and o-t4-L4, o-moe8-e-2k, o-gemma12, o-q3t-L8-t2-8k, were predicted before they were measured.

    Where the old model runner guesses its CUDA graphs, the guess itself moves by 80 MiB.
    """
    row = ROWS[name]
    bar = 0.0006 if row.get("graphs_in_budget_gib") else 0.0002
    assert abs(error(sized(row).kv_cache_tokens, row["kv_cache_tokens"])) <= bar


@pytest.mark.parametrize("name", NEW)
def test_kv_cache_of_0_32_within_an_eighth_of_a_gib(name: str) -> None:
    """vLLM's own estimate of CUDA graphs, which it takes out of the budget, moves by 0.1 GiB."""
    row = ROWS[name]
    if row["pp"] > 1:  # measured on the first stage; what counts is the one with the fewest tokens
        assert abs(error(sized(row).kv_cache_tokens, row["kv_cache_tokens"])) <= 0.002
        return
    assert abs(sized(row).parts.kv_cache / GIB - row["kv_cache_gib"]) <= 0.125
    assert abs(error(sized(row).kv_cache_tokens, row["kv_cache_tokens"])) <= 0.002


@pytest.mark.parametrize("row", STARTS, ids=lambda row: row["what"])
def test_the_cache_of_servers_under_load_within_a_fifth_of_a_percent(row: dict[str, Any]) -> None:
    """Whole models, with guesses, adapters, and two that embed; of the 70B within 1 %.

    Adapters' graphs and those of what embeds were fitted to these rows; all else was not.
    """
    bar = 0.01 if "70B" in row["what"] else 0.002
    assert abs(error(started(row).kv_cache_tokens, row["kv_cache_tokens"])) <= bar


@pytest.mark.parametrize("row", [row for row in STARTS if "kv_cache_gib" in row], ids=lambda row: row["what"])
def test_parts_of_servers_with_guesses_adapters_and_vectors(row: dict[str, Any]) -> None:
    """As near as of servers without; an adapter's profiling takes up to 83 MiB more, for a reason that is not known."""
    parts = started(row).parts
    assert abs(parts.kv_cache / GIB - row["kv_cache_gib"]) <= 0.125
    assert abs(error((parts.weights + parts.adapters) / GIB, row["weights_gib"])) <= 0.01
    assert abs(parts.activation - row["activation_peak_gib"] * GIB) <= (24 if not parts.adapters else 83) * MIB
    assert row["used_at_ready_mib"] * MIB <= parts.budget + parts.context


@pytest.mark.parametrize("row", ENCODERS, ids=lambda row: row["model"])
def test_all_that_an_encoder_takes_within_five_percent(row: dict[str, Any]) -> None:
    """vLLM gives it no budget: it takes what it needs."""
    parts = started(row).parts
    assert 0 <= error(parts.weights + parts.overhead + parts.context, row["used_at_ready_mib"] * MIB) <= 0.05


@pytest.mark.parametrize("name", ROWS)
def test_weights_within_one_percent(name: str) -> None:
    row = ROWS[name]
    assert abs(error(sized(row).parts.weights / GIB, row["weights_gib"])) <= 0.01


@pytest.mark.parametrize("name", ROWS)
def test_profiling_peak_within_24_mib(name: str) -> None:
    row = ROWS[name]
    assert abs(sized(row).parts.activation - row["activation_peak_gib"] * GIB) <= 24 * MIB


@pytest.mark.parametrize("name", [name for name in HANDED_OUT if ROWS[name]["emulated_gpu_mib"]])
def test_a_server_never_needs_more_than_is_said(name: str) -> None:
    """What the server needed once it was ready, of the card that its budget stands for."""
    row = ROWS[name]
    parts = sized(row).parts
    assert parts.budget + parts.context + parts.outside >= row["needed_at_ready_mib"] * MIB


@pytest.mark.parametrize(("name", "fits"), [("C1", False), ("C2", True), ("C6", True), ("C12", False)])
def test_the_default_utilization_overflows_24_gb_cards_with_0_25(name: str, fits: bool) -> None:
    row = ROWS[name]
    card = Gpu(mib=row["emulated_gpu_mib"], compute_capability=9.0)
    sizing = sized(row, card, 0.92)
    assert (sizing.parts.budget + sizing.parts.context + sizing.parts.outside <= card.total_bytes) is fits
    assert sizing.stays_on_card is fits
    assert sizing.kv_cache_tokens == pytest.approx(row["kv_cache_tokens"], rel=0.001)


@pytest.mark.parametrize("name", [name for name in NEW if "used_at_ready_mib" in ROWS[name]])
def test_a_ready_server_of_0_32_stays_within_its_budget_and_context(name: str) -> None:
    row = ROWS[name]
    parts = sized(row).parts
    assert row["used_at_ready_mib"] * MIB <= parts.budget + parts.context


@pytest.mark.parametrize("name", PEERS["rows"])
def test_no_other_estimator_is_closer(name: str) -> None:
    row = ROWS[name]
    ours = abs(error(sized(row, H200).kv_cache_tokens, row["kv_cache_tokens"]))
    for peer, tokens in PEERS["rows"][name].items():
        assert ours < abs(error(tokens, row["kv_cache_tokens"])), peer


def test_peers_cover_all_rows_of_the_api_server() -> None:
    assert set(HANDED_OUT) <= set(PEERS["rows"])
    assert all(len(figures) == 3 for figures in PEERS["rows"].values())
