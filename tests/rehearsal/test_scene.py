"""The project's own program in a workspace, before any account is asked."""

from __future__ import annotations

import pytest

from pulumi_rehearsal.engine import Engine
from rehearsal.scene import open_workspace

pytestmark = pytest.mark.engine


def test_what_is_wrong_with_the_settings_is_all_that_is_said(pulumi_engine: Engine) -> None:
    with open_workspace("dev", pulumi_engine, "", {}) as workspace:
        workspace.pulumi("config", "set", "tandem:platform", "nomad")
        refused = workspace.preview()
    assert not refused.succeeded
    [said] = refused.messages
    assert "platform" in said
    assert "'nomad'" in said
