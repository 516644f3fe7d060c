"""The tables agree with pulumi_aws and with botocore, and with themselves."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import botocore.session
import jmespath
import pytest
from botocore import xform_name

from pulumi_rehearsal.aws.account import Region
from pulumi_rehearsal.aws.expressions import inputs_in
from pulumi_rehearsal.aws.lifecycle import mapped, provided
from pulumi_rehearsal.aws.row import Call, ResourceType, Text, as_tuple
from pulumi_rehearsal.aws.schema import schema
from pulumi_rehearsal.aws.tables import TABLE
from pulumi_rehearsal.moto import SimulatedAccount

ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
REGION = Region(SimulatedAccount("http://127.0.0.1:1"), "us-east-1")

SESSION = botocore.session.get_session()


@cache
def operations(service: str) -> set[str]:
    return {xform_name(name) for name in SESSION.get_service_model(service).operation_names}


def calls(row: ResourceType) -> Iterator[Call]:
    steps = [row.create, row.after_create, row.read, row.update, row.after_update, row.delete]
    steps += [change.steps for change in row.changes]
    if row.tags:
        steps += [row.tags.add, row.tags.remove, row.tags.read]
    for step in (one for several in steps for one in as_tuple(several)):
        if isinstance(step, Call):
            yield step


@ROWS
def test_the_type_exists(row: ResourceType) -> None:
    assert schema(row.type) is not None


@ROWS
def test_it_names_only_properties_that_exist(row: ResourceType) -> None:
    known = schema(row.type)
    assert known is not None
    named = {
        *(name for change in row.changes for name in change.inputs),
        *(row.recorded + row.provider_only + row.replaces + row.takes),
        *row.defaults,
        *([row.autoname.input] if row.autoname else []),
        *(name for call in calls(row) for part in (call.params, call.when, call.each) for name in inputs_in(part)),
    } - {"tagsAll"}
    assert named - known.inputs == set()
    outputs = {*row.outputs, *row.unread, *row.secrets, *row.computed_on_update}
    assert outputs - set(known.outputs) == set()


@ROWS
def test_each_input_has_one_place(row: ResourceType) -> None:
    reached = mapped(row, REGION).known
    assert reached & set(row.provider_only) == set()
    assert set(row.recorded) & set(row.provider_only) == set()


@ROWS
def test_what_is_required_can_be_given(row: ResourceType) -> None:
    known = schema(row.type)
    assert known is not None
    assert known.required - mapped(row, REGION).known - set(row.recorded) - provided(row) == set()


@ROWS
def test_it_is_tagged_if_the_provider_tags_it(row: ResourceType) -> None:
    known = schema(row.type)
    assert known is not None
    if not row.in_moto:
        assert row.tags is None
    else:
        assert (row.tags is not None) == ("tagsAll" in known.outputs)


@ROWS
def test_its_calls_are_operations_of_the_service(row: ResourceType) -> None:
    for call in calls(row):
        assert call.operation in operations(call.service or row.service)


@ROWS
def test_its_expressions_compile(row: ResourceType) -> None:
    parts = [row.id, row.import_id, *(text for text in row.outputs.values() if not isinstance(text, Text))]
    parts += [part for call in calls(row) for part in (call.params, call.when, call.each, call.at)]
    for part in filter(None, parts):
        jmespath.compile(part)


@ROWS
def test_no_expression_negates_by_mistake(row: ResourceType) -> None:
    """`!inputs.x` reads (!inputs).x, which is null whatever x is."""
    for call in calls(row):
        for part in (call.params, call.when, call.each):
            assert "!inputs." not in part


def test_rows_are_found_by_their_type() -> None:
    assert all(token == row.type for token, row in TABLE.items())
