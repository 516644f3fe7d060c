"""How `tandem size --requests-per-second` answers: fleets, what each gives, and the settings of the cheapest."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import yaml
from rich.table import Table

from tandem.catalog.instances import GPUS_PER_REPLICA
from tandem.ops.options import print_json
from tandem.ops.screen import Screen
from tandem.ops.sizing import prices_source
from tandem.settings.types import BETWEEN_TOKENS, FIRST_TOKEN
from tandem.sizing.fleet import SPARE_HOSTS, Answer, Demand, Fleet, Given, Lack
from tandem.sizing.measured import Errors

SHOWN = 5
SPOT = (
    "Spot: AWS sells the same for up to 70 % less, and takes it back at two minutes' notice. The host beyond those "
    "that the load needs may be one (fleet.onDemandBase: {needed}, onDemandPercentage: 0); `tandem cost STACK --live` "
    "asks for the price."
)


def print_fleets(
    name: str,
    model: str | None,
    answer: Answer,
    demand: Demand,
    errors: tuple[Errors, Errors],
    region: str,
    **how: bool,
) -> None:
    """The cheapest fleets; the settings of the first; or what is missing.

    Args:
        model: its id; None where only its config.json is known.
        errors: of modelled first tokens and times between tokens.
        how: `every` for all fleets and what each other type lacks, `as_json` for programs.
    """
    shown = answer.fleets if how["every"] else answer.fleets[:SHOWN]
    if how["as_json"]:
        print_json(
            {
                "model": name,
                "fleets": [_fleet_json(fleet, model, region) for fleet in shown],
                "missing": {lack.name: lack.why for lack in answer.missing},
                "errors": {"first_token": asdict(errors[0]), "between_tokens": asdict(errors[1])},
                "prices": prices_source(region),
            }
        )
        return
    console = Screen(wrap=True)
    if not shown:
        console.print(f"no fleet that a stack can have keeps this: {_wanted(demand)}", style="red")
        for lack in answer.missing if how["every"] else _nearest(answer.missing):
            console.print(f"{lack.name}: {lack.why}", highlight=False)
        console.print(f"What would help: {_remedy(demand)}. --all says what each type lacks.")
        return
    console.print(f"{name}, {_wanted(demand)}: fleets with one host more than that needs, the cheapest first")
    console.print(_table(shown))
    console.print("1st: first token; next: between tokens, 99 of 100 come sooner; ~ modelled. $/M: prompts, answers")
    for given in shown[0].given[::2]:
        console.print(_elsewhere(given), highlight=False)
    if how["every"]:
        for lack in answer.missing:
            console.print(f"{lack.name}: {lack.why}", highlight=False)
    console.print(f"\nSettings of the first, for platform ec2 (with eks: {_on_eks(shown[0])}):", highlight=False)
    console.print(settings_of(shown[0], model, region), highlight=False, style="bold")
    console.print(f"{SPOT.format(needed=shown[0].needed)}\n{_sources(shown, errors)} Prices: {prices_source(region)}.")


def settings_of(fleet: Fleet, model: str | None, region: str) -> str:
    """Of a stack file."""
    way, demand = fleet.way, fleet.demand
    serving = way.sizing.serving
    inference = {
        "model": model or "ORGANISATION/MODEL",
        "quantization": way.quantization,
        "tensorParallelSize": tp if (tp := serving.tensor_parallel_size) != GPUS_PER_REPLICA else None,
        "kvCacheDtype": None if serving.kv_cache_dtype == "auto" else serving.kv_cache_dtype,
        "maxModelLen": serving.max_model_len,
        "maxNumSeqs": serving.max_num_seqs,
        "maxNumBatchedTokens": serving.max_num_batched_tokens,
    }
    objectives = {
        "firstTokenSeconds": _bound(FIRST_TOKEN, demand.first_token),
        "betweenTokensSeconds": _bound(BETWEEN_TOKENS, demand.between_tokens),
    }
    hosts = {"instanceTypes": [way.instance_type.name], "hosts": fleet.needed, "spareHosts": SPARE_HOSTS}
    sections = {"region": region, "fleet": hosts, "inference": inference, "objectives": objectives}
    config = {f"tandem:{key}": _set(value) for key, value in sections.items() if _set(value)}
    return yaml.safe_dump({"config": config}, sort_keys=False).rstrip()


def _set(section: Any) -> Any:
    return {key: value for key, value in section.items() if value is not None} if isinstance(section, dict) else section


def _bound(bounds: tuple[float, ...], wanted: float | None) -> float | None:
    """The nearest that vLLM counts by, not below what is wanted."""
    return next((bound for bound in bounds if wanted and bound >= wanted), None)


def _on_eks(fleet: Fleet) -> str:
    return f"platform: eks, fleet.maxHosts: {fleet.hosts + 1}, scaling.minReplicas and maxReplicas: {fleet.replicas}"


def _wanted(demand: Demand) -> str:
    load = demand.load
    first = f", first token in {demand.first_token:g} s" if demand.first_token else ""
    between = f", {1000 * demand.between_tokens:g} ms between tokens" if demand.between_tokens else ""
    return (
        f"{demand.rate:g} requests a second, prompts of {load.prompt_tokens:,} tokens, answers of "
        f"{load.answer_tokens:,}{first}{between}"
    )


def _remedy(demand: Demand) -> str:
    choices = [
        *(["a longer --ttft"] if demand.first_token else []),
        *(["a longer --itl"] if demand.between_tokens else []),
        "a shorter --max-model-len",
        "a smaller model, or one in fewer bits",
    ]
    return ", ".join(choices)


def _nearest(missing: tuple[Lack, ...]) -> list[Lack]:
    """The types that are quickest; those on which the model does not fit only where there are no others."""
    return sorted(missing, key=lambda lack: lack.between_tokens)[:3]


def _table(fleets: tuple[Fleet, ...]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("fleet", "as"):
        table.add_column(heading, no_wrap=True)
    for heading in ("replicas", "$/h", "1st, s", "next, ms", "mean", "$/M prompt", "answer"):
        table.add_column(heading, justify="right", no_wrap=True)
    for fleet in fleets:
        now, (prompt, answer) = fleet.given[1].latency, fleet.usd_per_million()
        assert now is not None
        mark = "" if now.measured else "~"
        table.add_row(
            f"{fleet.needed}+1 {fleet.way.instance_type.name}",
            fleet.way.quantization or "is",
            str(fleet.replicas),
            f"{fleet.usd_per_hour:.2f}",
            f"{mark}{now.first_token:.2f}",
            f"{mark}{1000 * now.between_tokens:.0f}",
            f"{1000 * now.between_tokens_mean:.0f}",
            f"{prompt:.2f}",
            f"{answer:.2f}",
        )
    return table


def _elsewhere(given: Given) -> str:
    found = given.latency
    gives = (
        f"first token in {found.first_token:.2f} s, {1000 * found.between_tokens:.0f} ms between tokens"
        if found
        else "more than it can take in: the queue grows"
    )
    needs = f"needs {given.hosts - SPARE_HOSTS}+1" if given.hosts else "needs more hosts than a stack has"
    return f"the first at {given.rate:g} requests a second: {gives} ({'kept' if given.kept else 'not kept'}); {needs}"


def _sources(fleets: tuple[Fleet, ...], errors: tuple[Errors, Errors]) -> str:
    cards = {fleet.way.gpu.name: fleet.way.gpu.tables for fleet in fleets}
    kinds = [
        f"{name}: {'own measurements' if not tables else f'NVIDIA kernel tables of {tables}'}"
        for name, tables in cards.items()
    ]
    first, between = errors
    return (
        f"~ is modelled (docs/sizing.md; rates of {'; '.join(kinds)}). On {first.loads} measured loads first tokens "
        f"were {first.median:.0%} off in the median and {first.worst:+.0%} at worst, between tokens "
        f"{between.median:.0%} and {between.worst:+.0%}: hold the fleet against `tandem load` before it is relied on."
    )


def _fleet_json(fleet: Fleet, model: str | None, region: str) -> dict[str, Any]:
    prompt, answer = fleet.usd_per_million()
    half, same, twice = (_given_json(given) for given in fleet.given)
    return {
        "instance_type": fleet.way.instance_type.name,
        "quantization": fleet.way.quantization,
        "tensor_parallel_size": fleet.way.sizing.serving.tensor_parallel_size,
        "max_num_batched_tokens": fleet.way.sizing.batch.tokens,
        "hosts_needed": fleet.needed,
        "spare_hosts": SPARE_HOSTS,
        "replicas": fleet.replicas,
        "purchase": "on demand",
        "usd_per_hour": round(fleet.usd_per_hour, 4),
        "usd_per_million_prompt_tokens": round(prompt, 4),
        "usd_per_million_answer_tokens": round(answer, 4),
        "rates_of_card": fleet.way.gpu.tables or "own measurements",
        "at_half": half,
        "at_load": same,
        "at_twice": twice,
        "settings": yaml.safe_load(settings_of(fleet, model, region)),
    }


def _given_json(given: Given) -> dict[str, Any]:
    found = given.latency
    times = {
        "first_token_seconds": found and round(found.first_token, 4),
        "between_tokens_seconds": found and round(found.between_tokens, 4),
        "between_tokens_seconds_mean": found and round(found.between_tokens_mean, 4),
        "at_once_each": found and round(found.at_once, 1),
        "measured": bool(found and found.measured),
    }
    return {"requests_per_second": given.rate, "kept": given.kept, "hosts": given.hosts, **times}
