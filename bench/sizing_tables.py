"""The tables of docs/sizing.md, made anew of the measured rows: `python -m bench.sizing_tables docs/sizing.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import FILE, MEASUREMENTS, Measurement
from tandem.sizing.held_out import Spread, accuracies
from tandem.sizing.known import catalog_shape
from tandem.sizing.measured import comparable, modelled
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving
from tandem.sizing.steps import step_tokens
from tandem.sizing.throughput import Load
from tandem.sizing.units import GIB
from tests.sizing.rows import OTHERS, PEERS, ROWS, STARTS, sized, started

PEER_NAMES = ("accelerate estimate-memory", "hf-mem", "parameters x bytes x 1.2")


def accuracy() -> Iterator[list[str]]:
    """Every measured start beside its prediction."""
    yield ["start", "vLLM", "what", "weights, GiB", "predicted", "KV-cache tokens", "predicted", "error"]
    for name, row in ROWS.items():
        sizing = sized(row)
        weights, tokens = sizing.parts.weights / GIB, sizing.kv_cache_tokens
        yield [
            name,
            row["vllm"],
            _what(row),
            f"{row['weights_gib']:.3f}",
            f"{weights:.3f} ({_percent(weights, row['weights_gib'])})",
            f"{row['kv_cache_tokens']:,}",
            f"{tokens:,}",
            _percent(tokens, row["kv_cache_tokens"]),
        ]


def peers() -> Iterator[list[str]]:
    """Errors of other estimators on the rows that plain attention covers."""
    yield ["start", "KV-cache tokens", "tandem", *PEER_NAMES]
    for name, figures in PEERS["rows"].items():
        row = ROWS[name]
        measured = row["kv_cache_tokens"]
        ours = _percent(sized(row).kv_cache_tokens, measured)
        yield [name, f"{measured:,}", ours, *(_percent(figures[peer], measured) for peer in PEER_NAMES)]


def throughput() -> Iterator[list[str]]:
    """Every load of requests that were kept running, beside the model."""
    yield ["model", "TP", "flags", "at once", "tokens/s", "modelled", "error", *LATENCIES]
    for row in filter(comparable, MEASUREMENTS):
        tokens, expected = row.tokens_per_second_each, modelled(row)
        compared = (f"{tokens:,.0f}", f"{expected:,.0f}", f"{expected / tokens - 1:+.0%}")
        yield [*_servers(row), f"{row.at_once_each:g}", *compared, *_latencies(row)]


def rates() -> Iterator[list[str]]:
    """Every load of requests at random moments."""
    yield ["model", "TP", "flags", "requests/s", *LATENCIES, "refused"]
    for row in sorted((row for row in MEASUREMENTS if row.rate), key=lambda row: (row.model, row.tp, row.rate or 0)):
        yield [*_servers(row), f"{row.rate:g}", *_latencies(row), f"{row.failed} of {row.requests}"]


def nearness() -> Iterator[list[str]]:
    """Errors of the model, of what is interpolated with the load left out, and of measurements among themselves."""
    yield ["", "loads", "median", "worst", "within 15 %"]
    for one in accuracies(MEASUREMENTS):
        for how in ("model", "interpolated", "repeated"):
            found: Spread = getattr(one, how)
            figures = (f"{found.median:.0%}", f"{found.worst:+.0%}", f"{found.within:.0%}")
            yield [f"{one.name}: {HOW[how]}", str(found.loads), *figures]


def ways() -> Iterator[list[str]]:
    """All tokens a second of two GPUs: one server of both, or one on each with half of the requests."""
    yield [
        "model",
        "at once",
        "TP=2",
        "two of TP=1",
        *(f"{one}, {way}" for one in LATENCIES for way in ("TP=2", "TP=1")),
    ]
    for model in dict.fromkeys(row.model for row in MEASUREMENTS):
        for at_once in (1, 8, 32, 128, 256):
            both = [_best(model, 2, at_once), _best(model, 1, at_once / 2 if at_once > 1 else 1)]
            if pair := [one for one in both if one]:
                tokens = [
                    2 * one.tokens_per_second_each if one.tp == 1 < at_once else one.tokens_per_second_each
                    for one in pair
                ]
                times = [one[which] for which in (0, 1) for one in map(_latencies, pair)]
                name = f"{model.partition('/')[2]} ({' and '.join(f'{one.max_num_batched_tokens:,}' for one in pair)})"
                yield [name, str(at_once), *(f"{one:,.0f}" for one in tokens), *times]


def _best(model: str, tp: int, at_once_each: float) -> Measurement | None:
    """With tandem's flags, the newest: in steps as it names them today, else in vLLM's own, else in any."""
    rows = [row for row in filter(comparable, MEASUREMENTS) if row.flags == "tandem" and _usual(row)]
    alike = [row for row in rows if (row.model, row.tp, row.at_once_each) == (model, tp, at_once_each)]
    return max(reversed(alike), key=_as_today, default=None)


def _usual(row: Measurement) -> bool:
    return (row.prompt_tokens, row.answer_tokens) == (Load().prompt_tokens, Load().answer_tokens)


def _as_today(row: Measurement) -> tuple[bool, bool]:
    shape = with_quantization(catalog_shape(row.model), row.quantization)
    how = Serving(tensor_parallel_size=row.tp, gpu_memory_utilization=None)
    named = step_tokens(shape, how, [INSTANCE_TYPES["p5en.48xlarge"]]) or VLLMS_STEP
    return row.max_num_batched_tokens == named, row.max_num_batched_tokens == VLLMS_STEP


def flags() -> Iterator[list[str]]:
    """tandem's flags beside vLLM's defaults, under each load that both had by one client, in runs that had both."""
    yield [
        "model",
        "TP",
        "steps",
        "load",
        "tokens/s",
        "defaults",
        *(f"{one}{of}" for one in LATENCIES for of in ("", ", defaults")),
    ]
    plain = {_load(row): row for row in MEASUREMENTS if row.flags == "defaults"}
    both = {row.run for row in plain.values()}
    ours = [row for row in MEASUREMENTS if row.flags == "tandem" and _load(row) in plain and _usual(row)]
    ours = [row for row in ours if row.run in both]
    for row in sorted(ours, key=lambda row: (row.model, row.tp, row.run, -row.max_num_batched_tokens)):
        other = plain[_load(row)]
        tokens = [f"{one.tokens_per_second_each:,.0f}" for one in (row, other)]
        times = [one[which] for which in (0, 1) for one in map(_latencies, (row, other))]
        load = f"{row.rate:g} a second" if row.rate else f"{row.at_once_each:g} at once"
        yield [row.model.partition("/")[2], str(row.tp), f"{row.max_num_batched_tokens:,}", load, *tokens, *times]


def _load(row: Measurement) -> tuple[object, ...]:
    """Runs by chat, in which a token came as a piece of a stream, are one client."""
    text = row.run != "2026-11-28"
    return row.model, row.tp, text, row.rate, None if row.rate else row.at_once_each


def others() -> Iterator[list[str]]:
    """Servers that guess tokens or have adapters, beside the same without."""
    yield ["server", "at once", "guesses right", "tokens/s", "without", "", "between, 50 %", "without"]
    plain = {(row.run, row.at_once): row for row in MEASUREMENTS if (row.model, row.max_num_batched_tokens) == BESIDE}
    for one in OTHERS:
        beside, right = plain[one["run"], one["at_once"]], one["right"]
        gain = one["tokens_per_second"] / (beside.tokens_per_second or 1) - 1
        asked = {"adapters": ", asked", "base": ", the model asked", None: ""}[one["asked"]]
        yield [
            one["flags"].removeprefix("tandem, ") + asked,
            f"{one['at_once']:g}",
            "" if asked else "none made" if right is None else f"{right:.0%}",
            f"{one['tokens_per_second']:,.0f}",
            f"{beside.tokens_per_second:,.0f}",
            f"{gain:+.0%}",
            *(f"{1000 * (gap or 0):.1f} ms" for gap in (one["between_tokens_p50"], beside.between_tokens_p50)),
        ]


def vectors() -> Iterator[list[str]]:
    """Servers that embed or score."""
    yield [
        *("model", "answer", "tokens a text", "texts a request", "requests at once"),
        *("texts/s", "tokens/s", "seconds"),
    ]
    for one in json.loads(FILE.read_text())["vectors"]:
        texts = one["texts_per_second"]
        tokens = f"{texts * one['prompt_tokens']:,.0f}"
        counts = (str(one[name]) for name in ("prompt_tokens", "texts", "at_once"))
        name = one["model"].partition("/")[2]
        yield [name, one["answer"], *counts, f"{texts:,.0f}", tokens, f"{one['seconds_mean']:.3f}"]


def starts() -> Iterator[list[str]]:
    """The KV cache of the servers of the newest loads."""
    yield ["server", "KV-cache tokens", "predicted", "error"]
    for row in STARTS:
        found = started(row).kv_cache_tokens
        yield [row["what"], f"{row['kv_cache_tokens']:,}", f"{found:,}", _percent(found, row["kv_cache_tokens"])]


HOW = {
    "model": "the model alone",
    "interpolated": "between measured loads, this one left out",
    "repeated": "of one load, measured again, about their mean",
}
LATENCIES = ("first token, 99 %", "between, 99 %")


def _latencies(row: Measurement) -> tuple[str, str]:
    return f"{row.first_token_p99 or 0:.2f} s", f"{1000 * (row.between_tokens_p99 or 0):,.0f} ms"


def _servers(row: Measurement) -> tuple[str, str, str]:
    return row.model.partition("/")[2], str(row.tp), _flags(row)


def _flags(row: Measurement) -> str:
    usual = Load()
    parts = [
        row.flags,
        "" if row.max_num_batched_tokens == VLLMS_STEP else f"steps of {row.max_num_batched_tokens}",
        "" if row.prompt_tokens == usual.prompt_tokens else f"prompts of {row.prompt_tokens:,}",
        "" if row.answer_tokens == usual.answer_tokens else f"answers of {row.answer_tokens:,}",
    ]
    return ", ".join(filter(None, parts))


BESIDE = ("Qwen/Qwen3-8B", 2048)
VLLMS_STEP = 8192
"""Tokens, on H200."""
TABLES: dict[str, Callable[[], Iterator[list[str]]]] = {
    "throughput": throughput,
    "nearness": nearness,
    "ways": ways,
    "flags": flags,
    "rates": rates,
    "others": others,
    "vectors": vectors,
    "starts": starts,
    "accuracy": accuracy,
    "peers": peers,
}


def replaced(text: str) -> str:
    """The document with each table between its marks made anew.

    Raises:
        ValueError: when the document lacks the marks of one.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: generated by `make docs` -->", f"<!-- /{name} -->"
        before, mark, rest = text.partition(begin)
        _, closing, after = rest.partition(end)
        if not mark or not closing:
            raise ValueError(f"no {begin} ... {end} in the document")
        text = f"{before}{begin}\n{_markdown(list(table()))}\n{end}{after}"
    return text


def _what(row: dict[str, Any]) -> str:
    config = row["config"]
    method = row["quantization"] or config.get("quantization_config", {}).get("quant_method")
    parts = [
        f"{config['architectures'][0].removesuffix('ForCausalLM')} {config['num_hidden_layers']} x "
        f"{config['hidden_size']}",
        method and (f"{method} at load" if row["quantization"] else method),
        f"TP={row['tp']}" + (f" PP={row['pp']}" if row["pp"] > 1 else ""),
        f"{row['max_num_seqs']} / {row['max_num_batched_tokens']}",
        "eager" if row["enforce_eager"] else "",
        "fp8 cache" if row["kv_cache_dtype"] == "fp8" else "",
        f"as {row['emulated_gpu_mib']:,} MiB" if row["emulated_gpu_mib"] else "",
    ]
    return ", ".join(part for part in parts if part)


def _percent(figure: float, measured: float) -> str:
    return f"{figure / measured - 1:+.2%}"


def _markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def main() -> None:
    """Rewrites the document that is named."""
    path = Path(sys.argv[1])
    path.write_text(replaced(path.read_text()))


if __name__ == "__main__":
    main()
