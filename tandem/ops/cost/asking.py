"""What AWS is asked about a stack's cost: prices of the moment, other ways to pay, the bill."""

from __future__ import annotations

from datetime import UTC, datetime

from tandem.catalog.prices import HOME
from tandem.errors import Problem
from tandem.ops.aws import AwsError, aws_clients, problem_of, user_errors
from tandem.ops.cost.bill import Spent, spent
from tandem.ops.cost.live import live_prices
from tandem.ops.cost.parts import Prices
from tandem.ops.cost.purchases import Way, ways
from tandem.ops.doctor.examination import Examination
from tandem.settings import Settings


def prices(asked: Examination) -> Prices:
    """Of the moment.

    Raises:
        UserError: AWS does not tell.
    """
    with user_errors("prices"):
        return live_prices(asked)


def purchases(settings: Settings, known: Prices, asked: Examination) -> list[Way]:
    """Ways to pay, at what AWS asks for them now.

    Raises:
        UserError: AWS does not tell.
    """
    with user_errors("purchases"):
        return ways(settings, known, asked)


def bill(stack: str, profile: str | None) -> Spent | Problem:
    """The bill, or why there is none: the plan is worth printing either way."""
    try:
        return spent(aws_clients(HOME, profile), stack, datetime.now(UTC).date())
    except AwsError as error:
        return problem_of(error, "Cost Explorer")
