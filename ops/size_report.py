"""How `tandem size` answers: tables on the screen, objects for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.catalog.models import MODELS
from infra.sizing.choice import Candidate, advice, fitting
from infra.sizing.fits import Verdict
from infra.sizing.memory import Sizing, size
from infra.sizing.releases import PINNED
from ops.options import print_json
from ops.size_plot import candidates_svg
from ops.sizing import CLOSE_ENOUGH, PRICES_SOURCE, Live, candidate_json, reasons, sizing_json

FORMULA = (
    "Estimates are upper limits: requests / (max(bytes read / memory bandwidth, 2 x active weights x requests / tensor "
    "rate) + all-reduces); price per token is the price of an hour over them, so a lower limit."
)


def one_json(sizing: Sizing, verdict: Verdict) -> dict[str, Any]:
    """The sizing, and the tokens that the pinned release would report where the call is for another one."""
    answer = sizing_json(sizing, verdict)
    if sizing.release is not PINNED:
        pinned = size(sizing.shape, sizing.serving, sizing.gpu, PINNED)
        answer["pinned"] = {"vllm": PINNED.version, "kv_cache_tokens": pinned.kv_cache_tokens}
    return answer


def print_one(name: str, sizing: Sizing, verdict: Verdict) -> None:
    """The memory of one GPU, part by part, and the verdict."""
    console = Console()
    answer = sizing_json(sizing, verdict)
    table = Table("on each GPU", "GiB", title=f"{name}, vLLM {sizing.release.version}", title_justify="left")
    table.add_row("budget", f"{answer['budget_gib_per_gpu']:.2f}")
    table.add_row("weights", f"{answer['weights_gib_per_gpu']:.2f}")
    for part, amount in answer["overhead_parts_gib"].items():
        table.add_row(part.replace("_", " "), f"{amount:.2f}")
    table.add_row("KV cache", f"{answer['kv_cache_gib_per_gpu']:.2f}")
    table.add_row("beyond the budget", f"{answer['beyond_budget_gib_per_gpu']:.2f}")
    console.print(table)
    console.print(
        f"{answer['kv_cache_tokens']:,} KV-cache tokens: {answer['max_concurrency']} requests of "
        f"{answer['max_model_len']:,} tokens at once; longest request {answer['longest_max_model_len']:,}; "
        f"--gpu-memory-utilization {answer['gpu_memory_utilization']:g}, highest "
        f"{answer['highest_gpu_memory_utilization']:g}",
        highlight=False,
    )
    _print_verdict(console, verdict)


def _print_verdict(console: Console, verdict: Verdict) -> None:
    console.print("[green]fits[/]" if verdict.fits else "[red]does not fit[/]")
    for problem in verdict.problems:
        console.print(str(problem), markup=False, highlight=False)
    for warning in verdict.warnings:
        console.print(f"[yellow]tight:[/] {warning}", highlight=False)


def print_comparison(sizing: Sizing, live: Live, *, as_json: bool) -> None:
    """The plan against a live server."""
    planned, difference = sizing.kv_cache_tokens, live.difference(sizing.kv_cache_tokens)
    as_planned = abs(difference) <= CLOSE_ENOUGH
    if as_json:
        print_json(
            {
                "planned_kv_cache_tokens": planned,
                "kv_cache_tokens": live.kv_cache_tokens,
                "difference": round(difference, 4),
                "as_planned": as_planned,
                "gpu_memory_utilization": live.utilization,
            }
        )
        return
    Console().print(
        f"planned {planned:,} KV-cache tokens, the server has {live.kv_cache_tokens:,}: {difference:+.1%}, "
        f"{'as planned' if as_planned else 'not as planned'}",
        highlight=False,
    )


def print_rows(
    name: str,
    model: str | None,
    rows: list[Candidate],
    concurrency: int,
    *,
    every: bool,
    as_json: bool,
    plot: Path | None,
) -> None:
    """The instance types that fit, the cheapest per token first.

    Args:
        concurrency: requests of the longest length that a host must hold at once.
        every: show what does not fit too, with the reason.
        plot: where to draw the candidates.
    """
    good = fitting(rows, concurrency)
    hints = advice(good)
    if plot:
        bars = [(row.name, row.sizing.kv_cache_tokens, row.usd_per_million_tokens) for row in good]
        plot.write_text(candidates_svg(f"{name}: KV cache and price", bars))
    known = MODELS.get(model or "")
    if as_json:
        about = {"licence": known.licence, "gated": known.gated, "source": known.source} if known else {}
        shown = rows if every else good
        answer = {"model": name, **about, "candidates": [candidate_json(row) for row in shown], "advice": hints}
        print_json({**answer, "estimates": FORMULA, "prices": PRICES_SOURCE})
        return
    console = Console()
    if known:
        gate = ", gated" if known.gated else ""
        console.print(f"{name}: {known.licence}{gate}{'; ' + known.note if known.note else ''}", highlight=False)
    console.print(_table(good) if good else "nothing in the catalog fits; --all says why")
    if every:
        for row in (row for row in rows if row not in good):
            why = reasons(row.verdict) or [
                f"holds {row.sizing.max_concurrency * row.replicas:.1f} such requests at once"
            ]
            console.print(f"{row.name}: {why[0]}", markup=False, highlight=False)
    for hint in hints[:3]:
        console.print(hint, highlight=False)
    for warning in dict.fromkeys(text for row in good for text in row.verdict.warnings if "image encoder" in text):
        console.print(f"[yellow]note:[/] {warning}", highlight=False)
    console.print(f"[dim]{FORMULA} Prices: {PRICES_SOURCE}.[/]", highlight=False)


def _table(rows: list[Candidate]) -> Table:
    table = Table("type", "GPU", "TP", "replicas", "KV tokens", "at once", "util", "$/h", "tokens/s", "$/M tokens")
    for row in rows:
        table.add_row(
            row.instance_type.name,
            row.instance_type.gpu,
            str(row.tensor_parallel_size),
            str(row.replicas),
            f"{row.sizing.kv_cache_tokens:,}",
            f"{row.sizing.max_concurrency:,.1f}",
            f"{row.sizing.utilization:g}",
            f"{row.instance_type.usd_per_hour:.2f}",
            f"< {row.tokens_per_second:,.0f}",
            f"> {row.usd_per_million_tokens:.3f}",
        )
    return table
