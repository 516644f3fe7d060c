"""What a batch will take, and how long its money lasts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from tandem import costs
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import UserError
from tandem.ops.batches.requests import Requests
from tandem.settings import Settings
from tandem.sizing.gpus import gpu_of
from tandem.sizing.throughput import Load, prompt_token_seconds
from tandem.speed import on_each_type

START = timedelta(minutes=30)
"""Until a machine's first token: driver, image, weights; 15 to 40 minutes."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a batch will run.

    Attributes:
        hosts: machines, all at once.
        usd_per_hour: of all of them on demand, of the dearest type: the most that they can cost.
        max_usd: after so much they end.
        lasts: until then.
        work: of one machine, as estimated; None for a model that is not sized.
    """

    hosts: int
    usd_per_hour: float
    max_usd: float
    lasts: timedelta
    work: timedelta | None

    @property
    def takes(self) -> timedelta | None:
        """With the start."""
        return None if self.work is None else START + self.work / self.hosts

    @property
    def usd(self) -> float | None:
        """As estimated."""
        return None if self.takes is None else self.usd_per_hour * self.takes.total_seconds() / 3600


def usd_per_machine_hour(settings: Settings) -> float:
    """With its volume and address."""
    return costs.total(costs.host_costs(settings, 1, costs.dearest_type(settings)))


def planned(settings: Settings, parts: int, work: timedelta | None, usd: float) -> Plan:
    """As many machines as there may be; but no more than there are parts for, and than have work for as long as a start
    takes, each of which is paid."""
    assert settings.batch
    replicas = min(
        INSTANCE_TYPES[name].servers(settings.inference.tensor_parallel_size) for name in settings.fleet.instance_types
    )
    hosts = min(settings.batch.max_hosts, -(-parts // replicas))
    if work is not None:
        hosts = min(hosts, work // START)
    hosts = max(1, hosts)
    hour = hosts * usd_per_machine_hour(settings)
    return Plan(hosts=hosts, usd_per_hour=hour, max_usd=usd, lasts=timedelta(hours=max(0.0, usd) / hour), work=work)


def refuse_too_little(plan: Plan) -> None:
    """
    Raises:
        UserError: the money does not last for a start, or for what is estimated.
    """
    needs = max(2 * START, plan.takes or START)
    if plan.lasts < needs:
        wrong = "does not last for what the batch takes" if needs > 2 * START else "does not last for a machine's start"
        raise UserError.of(
            key="--max-usd",
            wrong=wrong,
            value=f"{plan.max_usd:.2f} USD, {shown(plan.lasts)} of {plan.hosts} machines at "
            f"{plan.usd_per_hour:.2f} USD an hour on demand",
            allowed=f"from {plan.usd_per_hour * needs.total_seconds() / 3600:.2f} USD, {shown(needs)}",
            fix="raise batch.maxUsd or --max-usd, lower batch.maxHosts, or send fewer requests",
        )


def shown(span: timedelta) -> str:
    """`3 h 20 min`."""
    minutes = int(span.total_seconds()) // 60
    return f"{minutes // 60} h {minutes % 60} min"


def work_of(settings: Settings, requests: Requests) -> timedelta | None:
    """Of one machine of the slowest type; None for a model that is not sized."""
    load = Load(prompt_tokens=requests.prompt_tokens, answer_tokens=requests.answer_tokens)
    found = on_each_type(settings, load)
    if not found:
        return None
    if not settings.inference.makes_tokens:
        token = max(prompt_token_seconds(one.sizing, gpu_of(one.instance_type)[1]) / one.replicas for one in found)
        return timedelta(seconds=len(requests.lines) * requests.prompt_tokens * token)
    rate = min(one.tokens_per_second for one in found)
    return timedelta(seconds=len(requests.lines) * requests.answer_tokens / rate)
