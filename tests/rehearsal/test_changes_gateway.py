"""Settings of a gateway for teams are changed one after another, in any order, and the account ends as if made so; it
comes to a stack that is up, and goes from it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.rehearsal.changes import DOMAIN, ZONE, Change, Open, Stack, changed, differences, final, in_any_order
from tests.rehearsal.changes import account as account
from tests.rehearsal.changes import open_stack as open_stack
from tests.rehearsal.watched import done

pytestmark = [pytest.mark.engine, pytest.mark.long]

WITHOUT: dict[str, Any] = {
    "region": "us-east-1",
    "ephemeral": True,
    "network": {"zones": ["us-east-1a", "us-east-1b"], "egress": "singleNat"},
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 1},
    "inference": {"model": "Qwen/Qwen3-8B"},
    "loadBalancer": {"domainName": DOMAIN, "hostedZoneId": ZONE},
    "costGuard": {"expiresAfter": "8h", "alertEmails": ["ops@example.com"]},
}
START = WITHOUT | {"gateway": {"hostName": f"teams.{DOMAIN}"}}
NOVA = {
    "model": "bedrock/us.amazon.nova-lite-v1:0",
    "maxUsdPerDay": 20,
    "promptUsdPerMillion": 1,
    "answerUsdPerMillion": 1,
}
CHANGES: dict[str, Change] = {
    "one copy without a cache, then three": [{"gateway.replicas": 1}, {"gateway.replicas": 3}],
    "open to all, and closed again": [{"gateway.publicAdmin": True}, {"gateway.publicAdmin": False}],
    "a fallback, then for tagged requests": [{"gateway.fallback": NOVA}, {"gateway.fallback.when": ["tagged"]}],
    "a larger database, with a standby": [{"gateway.databaseClass": "db.m7g.large", "gateway.databaseStandby": True}],
    "more storage, more days": [{"gateway.databaseMaxGib": 200, "gateway.databaseBackupDays": 14}],
    "prompts are kept": [{"gateway.keepPrompts": True}],
}


def end(stack: Stack) -> list[str]:
    """Without the value by which the firewall knows the gateway, which each stack makes up."""
    return sorted(re.sub(r"\b[A-Za-z0-9]{48}\b", "…", line) for line in stack.end())


@pytest.fixture(scope="module")
def fresh(open_stack: Open) -> list[str]:
    with open_stack() as made:
        made.up(final(START, CHANGES))
        return end(made)


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_the_account_ends_as_a_fresh_one(seed: int, open_stack: Open, fresh: list[str]) -> None:
    with open_stack() as stack:
        stack.up(START)
        [database] = stack.clients("rds").describe_db_instances()["DBInstances"]
        for _, change in in_any_order(CHANGES, seed):
            stack.up(changed(stack.values, change))
        [now] = stack.clients("rds").describe_db_instances()["DBInstances"]
        assert now["InstanceCreateTime"] == database["InstanceCreateTime"], "it is the same"
        different = differences(end(stack), fresh)
        assert not different, different


def test_it_comes_to_a_stack_that_is_up_and_goes_from_it(open_stack: Open) -> None:
    with open_stack() as stack:
        stack.up(START)
        with_it = end(stack)
    with open_stack() as stack:
        stack.up(WITHOUT)
        without = end(stack)
        stack.up(START)
        different = differences(end(stack), with_it)
        assert not different, different
        stack.up(WITHOUT)
        different = differences(end(stack), without)
        assert not different, different
        assert done(stack.workspace.up()).changing() == []
