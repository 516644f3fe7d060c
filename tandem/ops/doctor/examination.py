"""What a check may look at: the stack as it is meant to be, and the account as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tandem import pins
from tandem.catalog.prices import HOME
from tandem.http import Http
from tandem.ops.aws import aws_clients
from tandem.ops.doctor.finding import Finding
from tandem.ops.kinds.kind import Clients
from tandem.ops.whose import Own
from tandem.pins import Pins
from tandem.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Examination:
    """One examination of one stack.

    Attributes:
        clients: of the account in the stack's region.
        home: of the account in us-east-1, where every account can say who it is and prices are told.
        now: the moment, in UTC.
        own: what the state here tells of the stack; None where none can be asked.
        http: for what is not AWS: public DNS and the model hub.
    """

    stack: str
    settings: Settings
    pins: Pins
    clients: Clients
    home: Clients
    now: datetime
    own: Own | None = None
    http: Http = field(default_factory=lambda: Http(deadline_seconds=8, timeout_seconds=4))

    @property
    def region(self) -> str:
        return self.settings.region


def examination(
    stack: str, settings: Settings, profile: str | None, own: Own | None = None, *, ask: bool = True
) -> Examination:
    """Of the account, now.

    Args:
        ask: False where a check says what is wrong with the credentials.

    Raises:
        UserError: the account cannot be asked.
    """
    return Examination(
        stack=stack,
        settings=settings,
        pins=pins.load(),
        clients=aws_clients(settings.region, profile, ask=ask),
        home=aws_clients(HOME, profile, ask=ask),
        now=datetime.now(UTC),
        own=own,
    )


Check = Callable[[Examination], Iterator[Finding]]
