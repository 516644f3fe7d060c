"""One row of the table of what is ours."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.kinds import KINDS
from ops.kinds.kind import Item, Scope

TOPIC = KINDS["aws:sns/topic:Topic"]
CLIENT = SimpleNamespace(meta=SimpleNamespace(region_name="us-east-1"))
TAGS = {"tandem:project": "tandem", "tandem:stack": "dev"}


def tags_of(code: str) -> Any:
    def tags(_client: Any, item: Item) -> dict[str, str]:
        if item["TopicArn"].endswith("gone"):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ListTagsForResource")
        return TAGS

    return tags


def find(code: str) -> list[str]:
    arns = [f"arn:aws:sns:us-east-1:123456789012:{name}" for name in ("gone", "stays")]
    kind = replace(TOPIC, listing=lambda *_: ({"TopicArn": arn} for arn in arns), tags=tags_of(code))
    return [found.id.rsplit(":", 1)[1] for found in kind.find(Scope(lambda _service: CLIENT, "dev"))]


def test_what_went_since_it_was_listed_is_left_out() -> None:
    assert find("ResourceNotFound") == ["stays"]


def test_what_may_not_be_read_is_not_taken_for_gone() -> None:
    with pytest.raises(ClientError):
        find("AccessDenied")
