"""How `tandem size` answers: tables on the screen, objects for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from tandem.catalog.models import MODELS
from tandem.ops.options import print_json, write_file
from tandem.ops.screen import Screen
from tandem.ops.size_plot import candidates_svg
from tandem.ops.sizing import CLOSE_ENOUGH, Live, candidate_json, prices_source, reasons, sizing_json
from tandem.sizing.choice import Candidate, fitting
from tandem.sizing.cpu import CpuCache
from tandem.sizing.effects import effects
from tandem.sizing.fits import Verdict
from tandem.sizing.measured import Errors
from tandem.sizing.memory import Sizing
from tandem.sizing.throughput import Load

WITHOUT_KERNELS = (
    "FP8 with weight blocks was measured without DeepGEMM, which the image has and what is modelled counts with: "
    "servers make more than was measured, so it is no less than other cards' figures say."
)
"""measurements.json, `lacks`."""


@dataclass(frozen=True)
class Known:
    """How the table knows its tokens per second.

    Attributes:
        load: the requests that they are of, in words.
        errors: of what is modelled, on all measured loads.
    """

    load: str
    errors: Errors


def how_it_knows(load: Load, found: Errors) -> Known:
    """In words, for people and programs."""
    return Known(f"prompts of {load.prompt_tokens:,} tokens, answers of {load.answer_tokens:,}", found)


def one_json(sizing: Sizing, verdict: Verdict) -> dict[str, Any]:
    """The sizing, and what each setting costs."""
    return {**sizing_json(sizing, verdict), "kv_cache_tokens_by_setting": effects(sizing)}


def print_one(name: str, sizing: Sizing, verdict: Verdict) -> None:
    """The memory of one GPU, part by part, and the verdict."""
    console = Screen(wrap=True)
    answer = sizing_json(sizing, verdict)
    table = Table("on each GPU", "GiB", title=f"{name}, vLLM {sizing.release.version}", title_justify="left")
    table.add_row("budget", f"{answer['budget_gib_per_gpu']:.2f}")
    table.add_row("weights", f"{answer['weights_gib_per_gpu']:.2f}")
    if sizing.serving.adapter_slots:
        table.add_row("adapters", f"{answer['adapters_gib_per_gpu']:.2f}")
    for part, amount in answer["overhead_parts_gib"].items():
        table.add_row(part.replace("_", " "), f"{amount:.2f}")
    table.add_row("KV cache", f"{answer['kv_cache_gib_per_gpu']:.2f}")
    table.add_row("beyond the budget", f"{answer['beyond_budget_gib_per_gpu']:.2f}")
    console.print(table)
    cache = (
        f"{answer['kv_cache_tokens']:,} KV-cache tokens: {answer['max_concurrency']} requests of "
        f"{answer['max_model_len']:,} tokens at once"
    )
    console.print(
        f"{cache if sizing.layout else 'it keeps no KV cache'}; longest request {answer['longest_max_model_len']:,}; "
        f"--gpu-memory-utilization {answer['gpu_memory_utilization']:g}, highest "
        f"{answer['highest_gpu_memory_utilization']:g}",
        highlight=False,
    )
    for setting, tokens in effects(sizing).items():
        console.print(f"{setting.replace('_', ' ')}: {tokens:+,} KV-cache tokens", highlight=False)
    _print_verdict(console, verdict)


def print_cpu(cache: CpuCache, *, as_json: bool) -> None:
    """The KV cache of a CPU server."""
    if as_json:
        print_json(asdict(cache))
        return
    Screen(wrap=True).print(
        f"{cache.kv_cache_tokens:,} KV-cache tokens on a CPU server: {cache.max_concurrency:g} requests of "
        f"{cache.max_model_len:,} tokens at once",
        highlight=False,
    )


def _print_verdict(console: Screen, verdict: Verdict) -> None:
    console.print("fits" if verdict.fits else "does not fit", style="green" if verdict.fits else "red")
    for problem in verdict.problems:
        console.print(str(problem))
    for warning in verdict.warnings:
        console.marked("tight:", "yellow", f" {warning}")


def print_comparison(planned: int, live: Live, *, as_json: bool) -> None:
    """Planned KV-cache tokens against a live server's."""
    difference = live.difference(planned)
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
    Screen(wrap=True).print(
        f"planned {planned:,} KV-cache tokens, the server has {live.kv_cache_tokens:,}: {difference:+.1%}, "
        f"{'as planned' if as_planned else 'not as planned'}",
        highlight=False,
    )


def print_rows(
    name: str,
    model: str | None,
    rows: list[Candidate],
    concurrency: int,
    says: Known,
    *,
    region: str,
    every: bool,
    as_json: bool,
    plot: Path | None,
) -> None:
    """The instance types that fit, the cheapest per token first.

    Args:
        concurrency: requests of the longest length that a host must hold at once.
        says: where tokens per second come from.
        region: whose prices the rows carry.
        every: show what does not fit too, with the reason.
        plot: where to draw the candidates.
    """
    good = fitting(rows, concurrency)
    if plot:
        bars = [(row.name, row.sizing.kv_cache_tokens, row.usd_per_million_tokens) for row in good]
        write_file(plot, candidates_svg(f"{name}: KV cache and price", bars), "--plot")
    known = MODELS.get(model or "")
    if as_json:
        about = {"licence": known.licence, "gated": known.gated, "source": known.source} if known else {}
        shown = rows if every else good
        answer = {"model": name, **about, "candidates": [candidate_json(row) for row in shown]}
        print_json({**answer, "tokens_per_second": asdict(says), "prices": prices_source(region)})
        return
    console = Screen(wrap=True)
    if known:
        gate = ", gated" if known.gated else ""
        console.print(f"{name}: {known.licence}{gate}{'; ' + known.note if known.note else ''}", highlight=False)
    console.print(_table(good) if good else "nothing in the catalog fits; --all says why")
    if good:
        console.print("x: replicas on a host; KV tokens and requests at once are one replica's", style="dim")
    if every:
        for row in (row for row in rows if row not in good):
            why = reasons(row.verdict) or [
                f"holds {row.sizing.max_concurrency * row.replicas:.1f} such requests at once"
            ]
            console.print(f"{row.name}: {why[0]}")
    for warning in dict.fromkeys(text for row in good for text in row.verdict.warnings if "image encoder" in text):
        console.marked("note:", "yellow", f" {warning}")
    if any(row.throughput.measured and in_blocks(row.sizing) for row in good):
        console.marked("note:", "yellow", f" {WITHOUT_KERNELS}")
    console.print(f"{_in_words(good, says)}Prices: {prices_source(region)}.", style="dim")


def in_blocks(sizing: Sizing) -> bool:
    """Whether its products have weight blocks, by kernels of their own."""
    quantization = sizing.shape.quantization
    return quantization is not None and quantization.main_scheme.block is not None


def _in_words(rows: list[Candidate], says: Known) -> str:
    """What the tokens per second of the table are worth; nothing of an empty one."""
    if not rows:
        return ""
    if not rows[0].sizing.shape.makes_tokens:
        return "It makes no tokens, so none are counted: the cheapest by the hour first. "
    least, most = (pick(row.throughput.requests for row in rows) for pick in (min, max))
    at_once = f"{least}" if least == most else f"{least} to {most}"
    many = sum(row.throughput.measured for row in rows)
    return (
        f"tokens/s of a host: {says.load}, {at_once} requests at once on a replica. {many} of {len(rows)} measured on "
        f"such servers; ~ modelled (docs/sizing.md). Over {says.errors.loads} measured loads that was "
        f"{says.errors.median:.0%} off in the median, {says.errors.worst:+.0%} at worst. "
    )


def _speed(row: Candidate) -> tuple[str, str]:
    mark = "" if row.throughput.measured else "~"
    return f"{mark}{row.tokens_per_second:,.0f}", f"{row.usd_per_million_tokens:.2f}"


def _table(rows: list[Candidate]) -> Table:
    """Narrow enough for 80 columns, so that nothing is cut."""
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("type", no_wrap=True)
    table.add_column("GPU", no_wrap=True)
    for heading in ("TP", "x", "KV tokens", "at once", "$/h", "tokens/s", "$/M tok"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.instance_type.name,
            row.instance_type.gpu,
            str(row.tensor_parallel_size),
            str(row.replicas),
            f"{row.sizing.kv_cache_tokens / 1000:,.0f}k",
            f"{row.sizing.max_concurrency:,.1f}",
            f"{row.instance_type.usd_per_hour:.2f}",
            *(_speed(row) if row.sizing.shape.makes_tokens else ("-", "-")),
        )
    return table
