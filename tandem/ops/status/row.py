"""A stack in one line, for a list of all of them: a look that failed must not read as a stack that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tandem.errors import Problem, UserError, merged
from tandem.ops.aws import aws_clients
from tandem.ops.status.look import look
from tandem.ops.status.report import Absent, Cluster, Fleet, Status, Unknown
from tandem.settings import Settings


@dataclass(frozen=True)
class Row:
    """One stack of the project.

    Attributes:
        status: None where AWS did not say who asks.
    """

    stack: str
    settings: Settings
    status: Status | None
    problems: tuple[Problem, ...] = ()

    @property
    def well(self) -> bool:
        """It serves with as much as it should, or AWS says that it is not there."""
        if self.status is None:
            return False
        servers = self.status.servers
        return isinstance(servers, Absent) or not (isinstance(servers, Unknown) or not servers.enough)

    @property
    def serves(self) -> bool:
        """Somebody who asks it now is answered, as far as the load balancer tells."""
        servers = self.status.servers if self.status else None
        return isinstance(servers, Fleet | Cluster) and servers.replicas_serving > 0

    def as_json(self) -> dict[str, Any]:
        found = self.status
        return {
            "stack": self.stack,
            "region": self.settings.region,
            "image": _image(found),
            "model": _model(self.settings, found),
            "serving": _serving(found),
            "token": _token(found),
            "usdPerHour": _usd_now(found),
            "expires": _expires(found),
            "well": self.well,
            "problems": [str(problem) for problem in merged(self.problems)],
        }


def row(stack: str, settings: Settings, profile: str | None, *, probe: bool) -> Row:
    """Looks at one stack; what cannot be looked at is in the row, too."""
    try:
        clients = aws_clients(settings.region, profile)
    except UserError as error:
        return Row(stack, settings, None, tuple(replace(problem, key=stack) for problem in error.problems))
    found = look(clients, stack, settings, datetime.now(UTC), probe=probe)
    return Row(stack, settings, found, tuple(_unknown(stack, found)))


def _unknown(stack: str, found: Status) -> Iterator[Problem]:
    """What AWS refused to say; what is not there, or not asked for, is no problem."""
    running = () if isinstance(found.servers, Cluster) else (found.running,)
    for value in (found.servers, found.expires_at, found.url, *running):
        if isinstance(value, Unknown) and not isinstance(value, Absent):
            yield Problem(key=stack, wrong=value.why)


def _image(found: Status | None) -> str:
    if found is None:
        return "unknown"
    if not isinstance(found.running, Unknown):
        return found.running["image"].rpartition("/")[2].partition("@")[0]
    if isinstance(found.servers, Cluster):
        return "ask the cluster"
    return "not up" if isinstance(found.servers, Absent) else "unknown"


def _model(settings: Settings, found: Status | None) -> str:
    if found is None or isinstance(found.running, Unknown):
        return settings.inference.model
    return found.running["model"]


def _serving(found: Status | None) -> str:
    if found is None or (isinstance(found.servers, Unknown) and not isinstance(found.servers, Absent)):
        return "unknown"
    return "nothing" if isinstance(found.servers, Unknown) else found.servers.summary


def _token(found: Status | None) -> str:
    if found is None:
        return "unknown"
    token = found.last_token
    if not isinstance(token, Unknown):
        return token
    return "not asked" if token.why.startswith("not asked") else "none"


def _expires(found: Status | None) -> str:
    moment = found.expires_at if found else None
    return "unknown" if moment is None or isinstance(moment, Unknown) else moment


def _usd_now(found: Status | None) -> float | None:
    usd = found.usd_per_hour if found else None
    return None if usd is None or isinstance(usd, Unknown) else round(usd, 2)
