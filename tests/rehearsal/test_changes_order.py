"""What the proofs of changes rest on: nothing in them is up to chance, to the hour, or to the order of answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from tandem import lifetime
from tandem.settings.schema import BusinessHoursSettings
from tests.rehearsal.changes import Change, Stack, changed, final, in_any_order, open_hours

CHANGES: dict[str, Change] = {
    "sizes": [{"fleet.hosts": 1}, {"fleet.hosts": 3}],
    "hours": [{"costGuard.businessHours": {}}, {"costGuard.businessHours": None}],
    "tags": [{"tags": {"team": "a"}}],
}
BUCKET = {"type": "aws:s3/bucket:Bucket", "urn": "urn:pulumi:dev::tandem::aws:s3/bucket:Bucket::logs", "id": "logs-1"}
POLICY = {**BUCKET, "type": "aws:s3/bucketPolicy:BucketPolicy"}


def test_an_order_is_that_of_its_seed_and_keeps_the_steps_of_a_change_in_theirs() -> None:
    orders = [[*in_any_order(CHANGES, seed)] for seed in range(20)]
    assert orders == [[*in_any_order(CHANGES, seed)] for seed in range(20)]
    assert len({tuple(name for name, _ in order) for order in orders}) > 5
    for order in orders:
        assert [step for name, step in order if name == "sizes"] == CHANGES["sizes"]


def test_all_orders_end_in_the_same_settings() -> None:
    for seed in range(20):
        values: Any = {"region": "us-east-1"}
        for _, step in in_any_order(CHANGES, seed):
            values = changed(values, step)
        assert values == final({"region": "us-east-1"}, CHANGES)
        assert values["costGuard"] == {}


def test_an_id_of_several_resources_has_one_name_in_whatever_order_the_state_has_them() -> None:
    def names(resources: Sequence[Any]) -> dict[str, str]:
        stack = Stack(*cast("Any", (None, SimpleNamespace(resources=lambda: resources), None)))
        return stack._names()

    assert names([BUCKET, POLICY]) == names([POLICY, BUCKET]) == {"logs-1": "<aws:s3/bucket:Bucket logs>"}


def test_open_hours_hold_for_hours_to_come() -> None:
    hours, now = BusinessHoursSettings.model_validate(open_hours()), datetime.now(UTC)
    assert all(lifetime.is_open(hours, now + timedelta(hours=later)) for later in range(-6, 7))
