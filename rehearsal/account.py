"""The simulated account as tandem needs it: the instance types of its catalog, with their prices, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pulumi_rehearsal import account_gaps as gaps
from pulumi_rehearsal import moto
from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.moto import SimulatedAccount
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.tags import STACK_TAG


@contextmanager
def simulated_account() -> Iterator[SimulatedAccount]:
    """Starts a simulated account, and ends it with the block."""
    with moto.simulated_account(INSTANCE_TYPES) as account:
        yield account


@contextmanager
def account_gaps(moto_url: str) -> Iterator[AccountGaps]:
    """Fills moto's gaps until the block ends; costs are allocated by the stack's tag, as the way in says."""
    with gaps.account_gaps(moto_url, INSTANCE_TYPES) as filled:
        filled.allocation_tags[STACK_TAG] = "Active"
        yield filled
