"""Calls of boto3, as they are made in a test, and what policies say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore.client import BaseClient

from pulumi_rehearsal.policy_evaluator import Policy
from rehearsal.policy_calls import Call, bound
from rehearsal.policy_questions import decided, questions


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Call]]:
    """All calls of boto3 in this process that succeed, in order."""
    calls: list[Call] = []
    call = BaseClient._make_api_call

    def noted(self: BaseClient, operation: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = call(self, operation, params)
        calls.append(Call(self.meta.service_model.service_name, operation, params, answer, self.meta.region_name))
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
        yield calls


def unread(calls: Sequence[Call], identity: Sequence[Policy]) -> list[str]:
    """What policies do not allow to be looked at: these actions are allowed on all resources, or on none."""
    granted = [
        name
        for policy in identity
        for statement in policy["Statement"]
        for name in statement["Action"]
        if "*" in statement["Resource"]
    ]
    asked = {call.action for call in calls if not bound(call) and call.service != "sts"}
    return sorted(action for action in asked if not any(fnmatchcase(action, name) for name in granted))


def refused(
    calls: Sequence[Call],
    identity: Sequence[Policy],
    since: int = 0,
    tags: Mapping[str, Mapping[str, str]] | None = None,
) -> list[str]:
    """What policies do not allow of the calls that the resource decides. Arguments: of `questions`."""
    return decided(questions(calls, since, tags), identity, False)
