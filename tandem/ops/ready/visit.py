"""What a line may look at: what the doctor may, and how the stack is now; and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tandem.ops import kinds
from tandem.ops.doctor.examination import Examination
from tandem.ops.kinds.kind import Found
from tandem.ops.status import Cluster, Fleet, Status, Unknown


@dataclass(frozen=True, kw_only=True)
class Visit(Examination):
    """One visit to a stack that is up.

    Attributes:
        status: of `tandem status`, without a token asked for.
        project: that keeps what `tandem load` found.
        prometheus: address of one that scrapes the servers; empty for none.
    """

    status: Status
    project: Path
    prometheus: str = ""

    @property
    def life(self) -> str | None:
        """The only one to look at; None for all that carries the name."""
        return self.own.life if self.own and self.own.made else None

    @property
    def serving(self) -> Fleet | Cluster | Unknown:
        """What runs; unknown where nothing is to run now."""
        servers = self.status.servers
        if isinstance(servers, Unknown) or not (servers.stopped or servers.asleep):
            return servers
        return Unknown(self.status.stopped or "no server runs, as the settings allow")

    def ours(self, type_: str) -> list[Found]:
        """Resources of one type. Raises botocore's errors."""
        return kinds.ours(self.clients, self.stack, type_, self.life)

    @property
    def servers_targets(self) -> list[Found]:
        """Where servers register."""
        return kinds.servers_targets(self.clients, self.stack, self.life)


@dataclass(frozen=True)
class Unmet:
    """What is wrong.

    Attributes:
        mends: in place of what mends the line in general.
        known: it was seen; False where the look failed.
    """

    why: str
    mends: str = ""
    known: bool = True


Seen = str | Unmet | Unknown
"""What a line finds: a text where it is met. Unknown is not met: nobody has seen that it is well."""
