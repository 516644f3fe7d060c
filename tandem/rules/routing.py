"""What must hold where requests that begin alike are to meet."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.settings.commands import removed, set_to
from tandem.settings.inference import InferenceSettings, RoutingSettings
from tandem.settings.schema import Settings

WITHOUT_CACHE = "--no-enable-prefix-caching"
NO_SESSION = frozenset(
    (
        *("accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect"),
        *("host", "te", "traceparent", "tracestate", "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id"),
        *("x-forwarded-port", "x-forwarded-proto", "x-request-id"),
    )
)
"""What HTTP's libraries and the load balancer write into each request."""


def caches_can_be_kept_warm(settings: Settings) -> Iterator[Problem]:
    """There are several servers to choose from, each with a cache, and the choice has an effect."""
    for prefix, inference, scaling in models(settings):
        if inference.routing:
            yield from _there_is_a_choice(settings, prefix, inference, scaling.max_replicas)
            yield from _of_one(prefix, inference, inference.routing)


def _there_is_a_choice(settings: Settings, prefix: str, inference: InferenceSettings, most: int) -> Iterator[Problem]:
    key, types = f"{prefix}inference.routing", settings.fleet.instance_types
    if settings.platform == "eks":
        if most > 1:
            return
        wrong, allowed = "the model has one server", f"with {prefix}scaling.maxReplicas of 2 or more"
    elif all(name in INSTANCE_TYPES and INSTANCE_TYPES[name].gpus <= inference.gpus for name in types):
        wrong = f"a host of {' or '.join(types)} has one server, and the load balancer chooses the host"
        allowed = f"types with more than {inference.gpus} GPUs, or fewer of them to a server"
    else:
        return
    yield Problem(key=key, wrong=wrong, value=_said(inference.routing), allowed=allowed, fix=removed(key))


def _of_one(prefix: str, inference: InferenceSettings, routing: RoutingSettings) -> Iterator[Problem]:
    key, most = f"{prefix}inference.routing", inference.max_num_seqs
    if routing.by == "prefix" and "header" in routing.model_fields_set:
        yield Problem(
            key=f"{key}.header",
            wrong="is not read where requests go by what they begin with",
            value=routing.header,
            allowed="with by: session",
            fix=f"{set_to(f'{key}.by', 'session')}, or {removed(f'{key}.header')}",
        )
    if routing.by == "session" and routing.header.lower() in NO_SESSION:
        yield Problem(
            key=f"{key}.header",
            wrong="names no session: all requests have the same, and would meet at one server, or each its own",
            value=routing.header,
            allowed="a header that clients write for this, such as X-Session-Id",
            fix=removed(f"{key}.header"),
        )
    if most and routing.up_to_requests > most:
        yield Problem(
            key=f"{key}.upToRequests",
            wrong="is more than a batch: requests would wait for the sake of a cache while another server has room",
            value=routing.up_to_requests,
            allowed=f"1 to {most}, which is {prefix}inference.maxNumSeqs",
            fix=set_to(f"{key}.upToRequests", most),
        )
    for number, argument in enumerate(inference.extra_arguments):
        if argument == WITHOUT_CACHE:
            yield Problem(
                key=f"{prefix}inference.extraArguments[{number}]",
                wrong="turns off the caches that requests are sent to",
                value=argument,
                allowed=f"without {key}",
                fix=f"{removed(f'{prefix}inference.extraArguments[{number}]')}, or {removed(key)}",
            )


def _said(routing: RoutingSettings | None) -> object:
    return routing and routing.model_dump(by_alias=True, exclude_defaults=True)
