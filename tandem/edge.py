"""The edge: nginx before the servers of a host, of a pod and of a compose project. One configuration for all three."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tandem.ports import EDGE_AGENT_PORT, EDGE_METRICS_PORT, ROUTING_PORT, SERVING_PORT
from tandem.scripts import shared
from tandem.serving.engine import Timeouts
from tandem.settings import Settings
from tandem.settings.inference import InferenceSettings, RoutingSettings
from tandem.tasks import READ_PATHS, answers
from tandem.templates import filled_in

SEGMENT = "/[A-Za-z0-9_-]+"
"""What `/*` at the end of an API path stands for: one plain segment, so no encoded, dotted or empty one slips by."""

ERRORS = {
    400: "the request is malformed",
    401: "no API key, or one that is not known",
    403: "this key is not for this model",
    404: "no such path",
    405: "the path does not have this method",
    408: "the request did not arrive in time",
    411: "the request must say how long its body is",
    412: "the condition does not hold",
    413: "request body too large",
    414: "request line too long",
    416: "no such range",
    421: "this host is not served here",
    429: "too many requests",
    431: "request headers too large",
    494: "request headers too large",
    500: "the edge failed",
    501: "this transfer encoding is not known",
    502: "no replica answered",
    503: "no replica is ready",
    504: "the answer took too long",
    505: "this version of HTTP is not known",
}
"""Every status that nginx gives of itself, with what the client reads. 494 is its own word for 400, too large."""

UNREAD = (400, 408, 414, 494, 505)
"""Those of a request that nginx gave up while it read its line or its headers."""

BOTH_PATHS = ("/v1/responses/*",)
"""Those that are read and written: a stored answer is fetched."""


EDGE_COMMAND = ("nginx", "-c", "/etc/tandem/nginx.conf", "-e", "stderr", "-g", "daemon off;")
"""Of an edge's container: nginx as the first process, which has the signals from outside."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """What nginx lets in, and how much of it.

    Attributes:
        paths: what is forwarded; a last `/*` stands for one more segment. All else is 404.
        trusted_proxies: networks whose X-Forwarded-For names the client: the load balancer's subnets.
        port: TCP port that the load balancer connects to.
        requests_per_second: per client address, of clients without a limit of their own, with as many again at once;
            above this: 429.
        connections: requests at once per client address, likewise; above this: 429.
        unknown_per_second: requests without a key that is known, per client address, with twenty times as many at once;
            above this: 429 in place of 401. Who has a key that is known is not counted.
        max_body_mib: largest request body in MiB; above this: 413.
        cut_revoked: a stream ends when its key is revoked; else it goes on to its end.
        models: names that the servers answer to, their model's first, where those are more than one: requests of who
            may ask for some of them only are then read.
        routing: how requests find a server that has read their beginning; None spreads them by load alone.
        traced: share of requests whose trace servers are told to keep, 0 to 1; None has them know of no trace.
    """

    paths: Sequence[str]
    trusted_proxies: Sequence[str] = ()
    port: int
    requests_per_second: int
    connections: int
    unknown_per_second: int = 1
    max_body_mib: int
    cut_revoked: bool = False
    models: Sequence[str] = ()
    routing: RoutingSettings | None = None
    traced: float | None = None


def edge_of(
    settings: Settings, load_balancer_networks: Sequence[str], inference: InferenceSettings | None = None
) -> Edge:
    """The edge of a model's hosts or pods.

    Args:
        load_balancer_networks: ranges of the load balancer's subnets, whose X-Forwarded-For is believed.
        inference: what its servers serve; None for the main model.
    """
    served = inference or settings.inference
    return Edge(
        paths=[path for path in settings.load_balancer.paths if answers(served.task, path)],
        trusted_proxies=load_balancer_networks,
        port=SERVING_PORT,
        requests_per_second=settings.edge.requests_per_second_per_client,
        connections=settings.edge.connections_per_client,
        max_body_mib=settings.edge.max_body_mib,
        cut_revoked=settings.edge.revoked_streams == "cut",
        models=served.names if served.adapters else (),
        routing=served.routing,
        traced=settings.tracing.sample_ratio if settings.tracing.endpoint else None,
    )


def render_edge(
    edge: Edge,
    timeouts: Timeouts,
    *,
    place: Literal["host", "pod", "compose"],
    servers: Sequence[str] = (),
    requests: int = 0,
) -> str:
    """nginx.conf.

    Args:
        place: a host's servers come and go in a file beside it, and its health is what the watchdog says; in a pod and
            in a compose project nginx is an unprivileged container.
        servers: `name:port` of each server; none on a host.
        requests: that one of them takes at once, in its batch and its queue.
    """
    methods = {
        "GET": [path for path in edge.paths if path in READ_PATHS + BOTH_PATHS],
        "POST": [path for path in edge.paths if path not in READ_PATHS],
    }
    return filled_in(
        "nginx.conf.j2",
        edge=edge,
        timeouts=timeouts,
        patterns=[_pattern(path) for path in edge.paths],
        methods={method: [_pattern(path) for path in paths] for method, paths in methods.items() if paths},
        errors=ERRORS,
        unread=UNREAD,
        limits=shared("clients").LIMITS,
        host=place == "host",
        pod=place == "pod",
        servers=servers,
        requests=requests,
        agent_port=EDGE_AGENT_PORT,
        metrics_port=EDGE_METRICS_PORT,
        routing_port=ROUTING_PORT,
    )


def _pattern(path: str) -> str:
    prefix = path.removesuffix("/*")
    return re.escape(prefix).replace(r"\-", "-") + (SEGMENT if path.endswith("/*") else "")
