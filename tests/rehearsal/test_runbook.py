"""What docs/runbook.md promises of a production stack that is removed with everything in it."""

from __future__ import annotations

import pytest

from pulumi_rehearsal.engine import Engine
from rehearsal.account import simulated_account
from rehearsal.scene import set_the_scene
from tandem.ops import inventory

pytestmark = [pytest.mark.engine, pytest.mark.long]


def test_an_ephemeral_production_stack_leaves_nothing_behind(pulumi_engine: Engine) -> None:
    with simulated_account() as account, set_the_scene("prod-ec2", pulumi_engine, account) as scene:
        stack = scene.workspace
        assert stack.up().succeeded
        assert [step for step in stack.resources() if step.get("protect")], "production protects something"

        stack.pulumi("config", "set", "--path", "tandem:loadBalancer.deletionProtection", "false")
        stack.pulumi("config", "set", "tandem:ephemeral", "true")
        assert stack.up().succeeded
        destroy = stack.destroy_with_preview()

        assert destroy.succeeded, destroy.messages
        assert stack.resources() == []
        assert inventory.find(scene.clients, "prod-ec2").resources == []
