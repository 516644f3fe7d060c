"""How `tandem size --requests-per-second` answers: fleets, what each gives, and the settings of the cheapest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import yaml
from rich.table import Table

from tandem.ops.fleet_settings import COPIED, Named, Stack, rounded
from tandem.ops.options import print_json
from tandem.ops.screen import Screen
from tandem.ops.sizing import prices_source
from tandem.sizing.fleet import SPARE_HOSTS, Demand, Fleet, Given, Lack, Way
from tandem.sizing.measured import Errors
from tandem.sizing.support import TENSOR_PARALLEL_SIZE
from tandem.sizing.turning import TurningPoint, turning_point

SHOWN = 5
SPOT = (
    "Spot: AWS sells the same at a price that changes, and takes it back at two minutes' notice. --spot-price TYPE=USD "
    "or --spot-discount PERCENT counts such fleets, too; the host beyond those that the load needs may be spot alone "
    "(fleet.onDemandBase: {needed}, onDemandPercentage: 0). `tandem cost STACK --live` asks for the price."
)
GUESSES = (
    "--speculative-tokens: counted with their memory, and as if no guess were right. What right ones give depends on "
    "what is asked: the acceptance of a running stack tells it."
)
AS_SPOT = (
    "Spot at the prices that --spot-price and --spot-discount say: such a fleet keeps this as long as AWS takes back "
    "one host at a time. fleet.onDemandBase keeps so many on demand; more types in fleet.instanceTypes come sooner."
)


def print_fleets(
    name: str,
    model: Named,
    found: tuple[Stack, ...],
    missing: tuple[Lack, ...],
    demand: Demand,
    errors: tuple[Errors, Errors],
    region: str,
    **how: bool,
) -> None:
    """The cheapest fleets; the settings of the first; or what is missing.

    Args:
        errors: of modelled first tokens and times between tokens.
        how: `every` for all fleets and what each other type lacks, `as_json` for programs.
    """
    shown = found if how["every"] else found[:SHOWN]
    turns = next(filter(None, (_turning_point(one.fleet) for one in shown if demand.load.answer_tokens)), None)
    if how["as_json"]:
        print_json(
            {
                "model": name,
                "fleets": [_fleet_json(one) for one in shown],
                "turning_point": turns and {"instance_type": turns[0].instance_type.name, **asdict(turns[1])},
                "missing": {lack.name: lack.why for lack in missing},
                "errors": {"first_token": asdict(errors[0]), "between_tokens": asdict(errors[1])},
                "prices": prices_source(region),
            }
        )
        return
    console = Screen(wrap=True)
    if not shown:
        console.print(f"no fleet that a stack can have keeps this: {_wanted(demand)}", style="red")
        for lack in missing if how["every"] else _nearest(missing, demand):
            console.print(f"{lack.name}: {lack.why}", highlight=False)
        console.print(f"What would help: {_remedy(missing, demand)}. --all says what each type lacks.")
        return
    console.print(f"{name}, {_wanted(demand)}: fleets with one host more than that needs, the cheapest first")
    fleets = [one.fleet for one in shown]
    console.print(_table(fleets))
    console.print(
        "replicas x GPUs of each; 1st: first token; next: between tokens, 99 of 100 come sooner; ~ modelled. "
        "$/M: prompts in, answers out"
        if demand.load.answer_tokens
        else "replicas x GPUs of each; 1st: 99 of 100 vectors or scores come sooner; ~ modelled. $/M: prompts in"
    )
    for given in fleets[0].given[::2]:
        console.print(_elsewhere(given, demand), highlight=False)
    if turns:
        console.print(_where_it_turns(*turns), highlight=False)
    if how["every"]:
        for lack in missing:
            console.print(f"{lack.name}: {lack.why}", highlight=False)
    for text, style in _pasted(shown[0], model):
        console.print(text, highlight=False, style=style)
    for line in rounded(demand):
        console.print(line, highlight=False)
    if fleets[0].way.sizing.serving.speculation:
        console.print(GUESSES)
    any_spot = any(one.fleet.spot_usd for one in found)
    console.print(AS_SPOT if any_spot else SPOT.format(needed=fleets[0].needed))
    console.print(f"{_sources(fleets, errors)} Prices: {prices_source(region)}.")


def _turning_point(fleet: Fleet) -> tuple[Way, TurningPoint] | None:
    """Of the fleet's model on its type, where that has a pair of GPUs and one of them holds the model."""
    way = fleet.way
    found = turning_point(way.sizing.shape, way.sizing.serving, way.instance_type, way.load, way.measured)
    return found and (way, found)


def _where_it_turns(way: Way, point: TurningPoint) -> str:
    where = f"{way.instance_type.name}, {way.quantization or 'as it is'}: a server of two GPUs (--tp 2) makes more"
    if point.at_once is None:
        return f"{where} tokens a second than two of one, however many ask."
    how = "measured" if point.measured else "~modelled: within a factor of three"
    return f"{where} tokens a second than two of one below {point.at_once} requests at once on both ({how})."


def _pasted(stack: Stack, model: Named) -> Iterator[tuple[str, str | None]]:
    """The settings on the first platform that takes them, and what is other on the other; each with its style."""
    (platform, settings), *others = stack.settings.items()
    other = "".join(f" (with {name}: {_instead(settings, one)})" for name, one in others)
    yield f"\nSettings of the first, for platform {platform}{other}:", None
    yield yaml.safe_dump(settings, sort_keys=False).rstrip(), "bold"
    for name, problem in stack.refused.items():
        wrong = f"{problem.key} {problem.wrong}; is {problem.value}; allowed: {problem.allowed}"
        yield f"Not on platform {name}: {wrong}.", None
    if model.copy:
        yield f"Before that, copy {model.copy} to {COPIED} in the project.", None


def _instead(settings: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What is other there: the hosts are said in other words."""
    here, there = (dict(_flat(one["config"])) for one in (settings, other))
    gone, come = [key for key in here if key not in there], [key for key in there if here.get(key) != there[key]]
    said = ", ".join(f"{key}: {there[key]}" for key in come)
    return f"in place of {' and '.join(gone)}, which have no effect there: {said}"


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, section in config.items():
        key = name.partition(":")[2]
        if isinstance(section, dict):
            yield from ((f"{key}.{inner}", value) for inner, value in section.items())
        else:
            yield key, section


def _wanted(demand: Demand) -> str:
    load = demand.load
    first = f", first token in {demand.first_token:g} s" if demand.first_token else ""
    between = f", {1000 * demand.between_tokens:g} ms between tokens" if demand.between_tokens else ""
    answers = f", answers of {load.answer_tokens:,}" if load.answer_tokens else ""
    return f"{demand.rate:g} requests a second, prompts of {load.prompt_tokens:,} tokens{answers}{first}{between}"


def _remedy(missing: tuple[Lack, ...], demand: Demand) -> str:
    """What stops all types alike has a fix of its own; else what the nearest types lack."""
    fixes = list(dict.fromkeys(lack.fix.replace(TENSOR_PARALLEL_SIZE, "--tp") for lack in missing))
    if len(fixes) in (1, 2) and all(fixes):
        return ", or ".join(fixes)
    nearest = _nearest(missing, demand)
    found = [lack.best for lack in nearest if lack.best]
    overrun = not found and any(not lack.fix for lack in missing)
    choices = [
        *(["fewer requests a second, by several stacks"] if overrun else []),
        *(["a longer --ttft"] if any(one.first_token > (demand.first_token or math.inf) for one in found) else []),
        *(["a longer --itl"] if any(one.between_tokens > (demand.between_tokens or math.inf) for one in found) else []),
        *(["a shorter --max-model-len"] if not overrun and any(lack.fix for lack in nearest) else []),
        "a smaller model, or one in fewer bits",
    ]
    return ", ".join(choices)


def _nearest(missing: tuple[Lack, ...], demand: Demand) -> list[Lack]:
    """The types that come nearest to the objective; where none gives anything, the cheapest. Each reason once."""
    firsts: dict[str, Lack] = {}
    for lack in sorted(missing, key=lambda lack: demand.excess(lack.best) if lack.best else math.inf):
        firsts.setdefault(lack.why, lack)
    return list(firsts.values())[:3]


def _table(fleets: Sequence[Fleet]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in ("fleet", "as"):
        table.add_column(heading, no_wrap=True)
    for heading in ("replicas", "$/h", "1st, s", "next, ms", "mean", "$/M in", "out"):
        table.add_column(heading, justify="right", no_wrap=True)
    for fleet in fleets:
        now, (prompt, answer) = fleet.given[1].latency, fleet.usd_per_million()
        assert now is not None
        mark = "" if now.measured else "~"
        tokens = (f"{mark}{1000 * now.between_tokens:.0f}", f"{1000 * now.between_tokens_mean:.0f}")
        makes = bool(fleet.demand.load.answer_tokens)
        table.add_row(
            f"{fleet.needed}+1 {fleet.way.instance_type.name}",
            f"{fleet.way.quantization or 'is'}{', spot' if fleet.spot_usd else ''}",
            f"{fleet.replicas}x{fleet.way.sizing.serving.tensor_parallel_size}",
            f"{fleet.usd_per_hour:.2f}",
            f"{mark}{now.first_token:.2f}",
            *(tokens if makes else ("-", "-")),
            f"{prompt:.2f}",
            f"{answer:.2f}" if makes else "-",
        )
    return table


def _elsewhere(given: Given, demand: Demand) -> str:
    found = given.latency
    gives = demand.times(found) if found else "more than it can take in: the queue grows"
    needs = f"needs {given.hosts - SPARE_HOSTS}+1" if given.hosts else "needs more hosts than a stack has"
    return f"the first at {given.rate:g} requests a second: {gives} ({'kept' if given.kept else 'not kept'}); {needs}"


def _sources(fleets: Sequence[Fleet], errors: tuple[Errors, Errors]) -> str:
    cards = {fleet.way.gpu.name: fleet.way.gpu.tables for fleet in fleets}
    kinds = [
        f"{name}: {'own measurements' if not tables else f'NVIDIA kernel tables of {tables}'}"
        for name, tables in cards.items()
    ]
    first, between = errors
    if not fleets[0].demand.load.answer_tokens:
        return (
            f"~ is modelled (docs/sizing.md; rates of {'; '.join(kinds)}). No model that makes no tokens was measured: "
            "try the fleet before it is relied on."
        )
    return (
        f"~ is modelled (docs/sizing.md; rates of {'; '.join(kinds)}). On {first.loads} measured loads first tokens "
        f"were {first.median:.0%} off in the median and {first.worst:+.0%} at worst, between tokens "
        f"{between.median:.0%} and {between.worst:+.0%}: hold the fleet against `tandem load` before it is relied on."
    )


def _fleet_json(stack: Stack) -> dict[str, Any]:
    fleet = stack.fleet
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
        "purchase": "spot" if fleet.spot_usd else "on demand",
        "usd_per_hour": round(fleet.usd_per_hour, 4),
        "usd_per_million_prompt_tokens": round(prompt, 4),
        "usd_per_million_answer_tokens": round(answer, 4),
        "rates_of_card": fleet.way.gpu.tables or "own measurements",
        "at_half": half,
        "at_load": same,
        "at_twice": twice,
        "settings": stack.settings.get("ec2"),
        "settings_on_eks": stack.settings.get("eks"),
        "refused": {name: f"{problem.key} {problem.wrong}" for name, problem in stack.refused.items()},
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
