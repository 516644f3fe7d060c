"""Who may do what in an AWS account: one table, from which policies, doctor's questions and docs/rights.md come."""

from __future__ import annotations

from collections.abc import Mapping

from tandem.ops.rights import (
    baking,
    boundary,
    cluster,
    entrance,
    gateway,
    hosts,
    identity,
    looking,
    messaging,
    network,
    observing,
    storage,
)
from tandem.ops.rights.right import Right

SUBJECTS: Mapping[str, tuple[Right, ...]] = {
    "network": network.ROWS,
    "entrance": entrance.ROWS,
    "hosts": hosts.ROWS,
    "storage": storage.ROWS,
    "messaging": messaging.ROWS,
    "observing": observing.ROWS,
    "gateway": gateway.ROWS,
    "identity": identity.ROWS,
    "cluster": cluster.ROWS,
    "looking": looking.ROWS,
    "baking": baking.ROWS,
    "boundary": boundary.ROWS,
}
"""All rows, by what they are about."""

RIGHTS: tuple[Right, ...] = tuple(row for rows in SUBJECTS.values() for row in rows)
