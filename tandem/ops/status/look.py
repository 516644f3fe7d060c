"""Looks at a stack: everything is read from the account by tags and from the API, never from the program's state."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TypeVar

from tandem import costs, lifetime
from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops import endpoint, figures, key_store, lives
from tandem.ops.aws import AwsError, problem_of
from tandem.ops.endpoint import Endpoint
from tandem.ops.kinds import ours
from tandem.ops.kinds.kind import Clients
from tandem.ops.smoke import Smoke, Surprise, Target, send
from tandem.ops.status import cluster, group
from tandem.ops.status.gateway import gateway
from tandem.ops.status.report import Absent, Cluster, Fleet, Machine, Serving, Status, Unknown
from tandem.ops.whose import Own
from tandem.settings import Settings
from tandem.settings.types import OWN_CLIENTS
from tandem.tags import MAIN_MODEL
from tandem.tasks import Task

RECENT = timedelta(hours=1)
QUEUE = ("load", "queued_seconds")
UNTOLD = "metrics.cloudwatch is false, so that only the Prometheus which scrapes the servers knows"
PLATFORMS = {"ec2": group, "eks": cluster}
T = TypeVar("T")


def look(
    clients: Clients,
    stack: str,
    settings: Settings,
    now: datetime,
    *,
    probe: bool = True,
    key: str = "",
    own: Own | None = None,
) -> Status:
    """The status of one stack.

    Args:
        probe: ask the API for one token; that needs a way to it.
        key: of the stack, to ask with; empty asks whether the edge refuses who has none.
        own: what the state here tells; None where none does, and the only life of the name is meant.
    """
    platform = PLATFORMS[settings.platform]
    ids = _ids(clients, stack)
    stack_id = _whose(own, ids)
    if isinstance(stack_id, Unknown):
        return _unknown(stack, settings, stack_id, () if isinstance(ids, Unknown) else tuple(ids))
    with ThreadPoolExecutor(6) as pool:
        way_in = pool.submit(_known, lambda: _endpoint(clients, stack, settings, stack_id))
        servers = pool.submit(_known, lambda: platform.servers(clients, stack, settings, stack_id))
        running = pool.submit(_known, lambda: platform.running(clients, stack, stack_id))
        ends = pool.submit(_known, lambda: lives.expires_at(clients, stack, stack_id))
        names = pool.submit(_known, lambda: _clients(clients, stack, settings, stack_id, now))
        requests = pool.submit(_known, lambda: _requests(clients, stack, now, stack_id))
        queue = pool.submit(_known, lambda: _queue(clients, stack, settings, now))
        start = pool.submit(_known, lambda: _start(clients, stack, settings, now))
        teams = pool.submit(_known, lambda: gateway(clients, stack, stack_id) if settings.gateway else None)
        found, serving = way_in.result(), servers.result()
        token = pool.submit(_known, lambda: _token(found, serving, probe, key, settings.inference.task))
    return Status(
        stack=stack,
        region=settings.region,
        url=found if isinstance(found, Unknown) else found.url,
        servers=serving,
        running=running.result(),
        last_token=token.result(),
        clients=names.result(),
        requests=requests.result(),
        queue=queue.result(),
        start=start.result(),
        gateway=teams.result(),
        usd_per_hour=cost_now(settings, serving, found),
        cost_so_far=serving if isinstance(serving, Unknown) else cost_so_far(settings, serving, now),
        expires_at=_expires_at(ends.result()),
        stopped=_stopped(settings, serving, ends.result(), now),
        other_lives=tuple(id for id in ids if id != stack_id) if isinstance(ids, list) and stack_id is not None else (),
    )


def serving(clients: Clients, stack: str, settings: Settings, own: Own | None) -> Serving:
    """Of a status what changes by the minute, by as few calls as that takes; the arguments are those of `look`."""
    stack_id = _whose(own, [] if own else _ids(clients, stack))
    if isinstance(stack_id, Unknown):
        return Serving(servers=stack_id, usd_per_hour=stack_id)
    servers = _known(lambda: PLATFORMS[settings.platform].servers(clients, stack, settings, stack_id))
    # Without servers only a load balancer tells whether anything is there that costs.
    there = _known(lambda: _endpoint(clients, stack, settings, stack_id)) if isinstance(servers, Absent) else servers
    return Serving(servers=servers, usd_per_hour=cost_now(settings, servers, there))


def _ids(clients: Clients, stack: str) -> list[str] | Unknown:
    """Of all lives of the name."""
    return _known(lambda: [life.id for life in lives.lives(clients, stack)])


def _whose(own: Own | None, ids: list[str] | Unknown) -> str | Unknown | None:
    """The life that is meant; None for all that carries the name."""
    if own is not None:
        return own.life
    if isinstance(ids, Unknown) or not ids:
        return None
    if len(ids) > 1:
        return Unknown("two lives of this name are in the account, and no state here tells which is meant")
    return ids[0]


def _unknown(stack: str, settings: Settings, why: Unknown, ids: tuple[str, ...]) -> Status:
    names = (
        "url",
        "servers",
        "running",
        "last_token",
        "clients",
        "requests",
        "queue",
        "start",
        "usd_per_hour",
        "cost_so_far",
        "expires_at",
    )
    teams = why if settings.gateway else None
    return Status(stack=stack, region=settings.region, other_lives=ids, gateway=teams, **dict.fromkeys(names, why))


def _known(look_up: Callable[[], T | Unknown]) -> T | Unknown:
    """What a look-up finds; why it is unknown, where AWS does not tell."""
    try:
        return look_up()
    except AwsError as error:
        problem = problem_of(error, "")
        return Unknown(f"{problem.wrong} ({problem.fix})")
    except UserError as error:
        return Unknown(error.problems[0].wrong)


def _endpoint(clients: Clients, stack: str, settings: Settings, stack_id: str | None) -> Endpoint | Unknown:
    found = endpoint.find(clients, stack, settings.load_balancer.domain_name, stack_id)
    return found or Absent("the stack has no load balancer in this account and region")


def _expires_at(ends: datetime | Unknown | None) -> str | Unknown:
    """As the stack itself says it."""
    return f"{ends:%Y-%m-%dT%H:%M:%SZ}" if isinstance(ends, datetime) else ends or "never"


def _stopped(
    settings: Settings, servers: Fleet | Cluster | Unknown, ends: datetime | Unknown | None, now: datetime
) -> str:
    """Why nothing is to run, and what brings it back; empty where something is."""
    if isinstance(servers, Unknown) or not (servers.stopped or (isinstance(servers, Fleet) and servers.asleep)):
        return ""
    return (
        lifetime.why_stopped(settings, ends if isinstance(ends, datetime) else None, now)
        or lifetime.why_idle(settings)
        or "its settings, or somebody by hand, have set it to 0; `pulumi up --refresh` sets it as the settings say"
    )


def _requests(clients: Clients, stack: str, now: datetime, stack_id: str | None) -> str | Unknown:
    balancers = ours(clients, stack, types.LOAD_BALANCER, stack_id)
    if not balancers:
        return Absent("there is no load balancer")
    dimension = balancers[0].arn.partition(":loadbalancer/")[2]

    def total(metric: str) -> int | None:
        points = clients("cloudwatch").get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName=metric,
            Dimensions=[{"Name": "LoadBalancer", "Value": dimension}],
            StartTime=now - RECENT,
            EndTime=now,
            Period=int(RECENT.total_seconds()),
            Statistics=["Sum"],
        )["Datapoints"]
        return int(sum(point["Sum"] for point in points)) if points else None

    requests = total("RequestCount")
    if requests is None:
        return "none in the last hour"
    failed = (total("HTTPCode_Target_5XX_Count") or 0) + (total("HTTPCode_ELB_5XX_Count") or 0)
    return f"{requests} in the last hour, {failed} failed"


def _queue(clients: Clients, stack: str, settings: Settings, now: datetime) -> str | Unknown:
    """Of the main model, as its machines have told CloudWatch; `tandem top` shows all."""
    if not settings.metrics.cloudwatch:
        return Unknown(UNTOLD)
    found = figures.told(clients, stack, MAIN_MODEL, now, [one for one in figures.FIGURES if one.name in QUEUE])
    if not all(found.values()):
        return Absent("no server has told CloudWatch of itself in the last half hour")
    load, queued = (found[name][0][1] for name in QUEUE)
    return f"{load:.3g} requests in each server, {f'some wait for {queued:.0f} s' if queued else 'none waits'}"


def _start(clients: Clients, stack: str, settings: Settings, now: datetime) -> str | Unknown:
    """Of the main model's machine that came last, likewise."""
    if not settings.metrics.cloudwatch:
        return Unknown(UNTOLD)
    told = figures.told(clients, stack, MAIN_MODEL, now, figures.STARTS, figures.WEEK)
    if not (said := figures.cold_start(told)):
        return Absent("no machine has come in a week")
    return f"{said}, in the hour from {told['start_seconds'][0][0]:%Y-%m-%d %H:%MZ}"


def _clients(
    clients: Clients, stack: str, settings: Settings, stack_id: str | None, now: datetime
) -> tuple[str, ...] | Unknown:
    issued = key_store.find(clients, stack, stack_id).read()[0]
    named = {name for name, one in issued.clients.items() if one.working(now) and not name.startswith(OWN_CLIENTS)}
    return tuple(sorted({*named, *settings.clients}))


def _token(
    way_in: Endpoint | Unknown, servers: Fleet | Cluster | Unknown, probe: bool, key: str, task: Task
) -> str | Unknown:
    """One token, or what the model makes in its place, asked for now. Without a key, what servers prove by themselves
    to be in service, which takes one each, and that the edge before them answers."""
    if isinstance(servers, Fleet) and servers.asleep:
        return Absent("no host is wanted")
    if not probe:
        return Unknown("not asked for (--no-probe)")
    if isinstance(way_in, Unknown):
        return way_in
    if isinstance(servers, Cluster) and servers.asleep:
        return Unknown("no replica runs, as scaling.minReplicas: 0 allows; asking for a token would start a node")
    target = Target(way_in.url, key, way_in.ca_pem, 30, way_in.internal)
    try:
        if key:
            return f"now, after {Smoke(target, task=task).once().seconds:.2f} s"
        send(target, "GET", "/v1/models").expect(401, 429)  # the latter where too many of this address had no key
    except Surprise as surprise:
        return Unknown(f"the API makes none: {target.redact(str(surprise))}")
    if isinstance(servers, Unknown) or not servers.replicas_serving:
        return Unknown("no server is in service")
    return f"by the servers' own probes; without a key the edge answers 401 ({endpoint.KEY_VARIABLE} asks for one now)"


def cost_so_far(settings: Settings, servers: Fleet | Cluster, now: datetime) -> float | Unknown:
    """Machines since their start, what always runs since the oldest of them; machines that are gone are not in it."""
    started = [machine.since for machine in servers.machines if machine.since]
    if not started:
        return Unknown("no GPU runs, and what ran before is told by `tandem cost --actual` only")
    try:
        hosts = sum(_usd_per_hour(settings, one) * _hours(now - one.since) for one in servers.machines if one.since)
    except KeyError as error:
        return _no_price(error)
    return hosts + costs.total(costs.fixed_costs(settings)) * _hours(now - min(started))


def cost_now(settings: Settings, servers: Fleet | Cluster | Unknown, way_in: object) -> float | Unknown:
    """US dollars an hour of the machines that run now, each at its on-demand price, and of what always runs.

    Args:
        way_in: where there are no servers, absent tells that there is nothing else.
    """
    if isinstance(servers, Absent):
        machines = ()
        if isinstance(way_in, Absent):
            return 0.0
    elif isinstance(servers, Unknown):
        return servers
    else:
        machines = servers.machines
    try:
        running = sum(_usd_per_hour(settings, machine) for machine in machines)
    except KeyError as error:
        return _no_price(error)
    return running + costs.total(costs.fixed_costs(settings))


def _usd_per_hour(settings: Settings, machine: Machine) -> float:
    return costs.total(costs.host_costs(settings.groups.get(machine.model, settings), 1, machine.type))


def _no_price(error: KeyError) -> Unknown:
    return Unknown(f"the catalog has no price of {error.args[0]}")


def _hours(span: timedelta) -> float:
    return max(span, timedelta()) / timedelta(hours=1)
