"""New tags of nodes are said before they replace any."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from infra.components.node_tags import warn_of_new_tags
from tests.infra.declared import declared

TEMPLATE = {"tagSpecifications": [{"resourceType": "instance", "tags": {"team": "search"}}], "name": "a"}
NODE_CLASS = {"spec": {"tags": {"team": "search"}, "role": "nodes"}}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (TEMPLATE, {**TEMPLATE, "name": "b"}, False),
        (
            TEMPLATE,
            {**TEMPLATE, "tagSpecifications": [{"resourceType": "instance", "tags": {"team": "answers"}}]},
            True,
        ),
        (NODE_CLASS, {"spec": {**NODE_CLASS["spec"], "role": "others"}}, False),
        (NODE_CLASS, {"spec": {**NODE_CLASS["spec"], "tags": {"team": "search", "cost": "7"}}}, True),
    ],
)
def test_a_change_of_tags_is_said_and_no_other(
    old: dict[str, Any], new: dict[str, Any], said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", heard.append)
    bound: list[pulumi.ResourceHookBinding] = []
    declared(lambda: bound.append(warn_of_new_tags("gpu", "GPU nodes")))
    [hook] = bound[0].before_update or []
    assert isinstance(hook, pulumi.ResourceHook)
    assert hook.opts is not None
    assert hook.opts.on_dry_run
    hook(pulumi.ResourceHookArgs(urn="", id="", name="gpu", type="", old_inputs=old, new_inputs=new))
    assert heard == (["tags: new ones replace the GPU nodes, one after another; pods move with them"] if said else [])
