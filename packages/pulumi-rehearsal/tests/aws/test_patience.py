"""The provider asks again for a subnet's deletion while something is in it; other deletions AWS refuses once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pulumi_rehearsal.aws import provider
from pulumi_rehearsal.aws.provider import AwsError
from pulumi_rehearsal.aws.tables import TABLE

SUBNET = "aws:ec2/subnet:Subnet"


class Refusals:
    """What AWS answers, one after another; then nothing is in the way."""

    def __init__(self, *codes: str) -> None:
        self.left = list(codes)

    def __call__(self, _when: str, _resource: Any) -> None:
        if self.left:
            raise AwsError("EC2: Delete", self.left.pop(0), "has dependencies and cannot be deleted")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider.time, "sleep", lambda _seconds: None)


def delete(monkeypatch: pytest.MonkeyPatch, token: str, *codes: str) -> list[str]:
    refusals = Refusals(*codes)
    monkeypatch.setattr(provider.checks, "enforce", refusals)
    resource: Any = SimpleNamespace(row=TABLE[token])
    provider._enforce_delete(resource)
    return refusals.left


def test_a_subnet_goes_once_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    assert delete(monkeypatch, SUBNET, "DependencyViolation", "DependencyViolation") == []


@pytest.mark.parametrize(
    ("token", "code"), [(SUBNET, "UnauthorizedOperation"), ("aws:ec2/vpc:Vpc", "DependencyViolation")]
)
def test_what_time_does_not_mend_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, token: str, code: str) -> None:
    with pytest.raises(AwsError, match="dependencies"):
        delete(monkeypatch, token, code, code)


def test_a_subnet_that_never_empties_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "PATIENCE_SECONDS", 0)
    with pytest.raises(AwsError, match="dependencies"):
        delete(monkeypatch, SUBNET, "DependencyViolation")
